"""How large may a batch be? LeNet-5 on mnist5k, from 8 images a step to 512, each at the best of a few learning rates.

The rate of 32 images a step is the paper's rule, 0.01; with the batch it is tried at a half, one, two and four times
what grows with its square root and at one and two times what grows with it (McCandlish et al., 2018, section 2.2), each
from one seed that is billed as tuning, and the best is trained from three others. The report fits the trade of examples
against steps to AlexNet's level and the critical batch ([studies](../docs/studies.md#batches)). Half an hour of two
cores.

    python -m efficiency.study --study=studies/batch_mnist5k.py --changed_code
    python -m efficiency.report --runs=results/batch_mnist5k --out=report

(--changed_code, as the records that are kept are of an earlier version of this package, docs/records.md.)
"""

_BATCHES = (8, 16, 32, 64, 128, 256, 512)


def _rates(batch):
    root = 0.01 * (batch / 32) ** 0.5
    linear = 0.01 * batch / 32
    return sorted({round(rate, 5) for rate in (root / 2, root, 2 * root, 4 * root, linear, 2 * linear)})


def get_study():
    return {
        'baseline': 'batch_32',
        'seeds': range(3),
        'overrides': {'eval_every': 0.5},
        'systems': {
            f'batch_{batch}': {
                'config': 'configs/lenet5.py:mnist5k',
                'overrides': {'batch_size': batch},
                'tune': {
                    'settings': {'learning_rate': _rates(batch)},
                    'seeds': [3],
                    'rule': 'lowest median compute to target',
                },
            }
            for batch in _BATCHES
        },
    }
