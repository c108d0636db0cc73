"""How noisy are gradients on the way to a level? LeNet-5 on mnist5k, its batches taken in parts of 16.

The simple noise scale of McCandlish et al. (2018) from runs in batches of 64 and of 256, at the rates that
`studies/batch_mnist5k.py` found best for these, beside the critical batch that it fitted. Five seeds each, evaluated
four times an epoch, to AlexNet's level. Ten minutes of two cores.

    python -m efficiency.study --study=studies/noise_mnist5k.py --changed_code
    python -m efficiency.report --runs=results/noise_mnist5k --out=report

(--changed_code, as the records that are kept are of an earlier version of this package, docs/records.md.)
"""

_RATES = {64: 0.04, 256: 0.11314}


def get_study():
    return {
        'baseline': 'batch_64',
        'seeds': range(5),
        'overrides': {'eval_every': 0.25},
        'systems': {
            f'batch_{batch}': {
                'config': 'configs/lenet5.py:mnist5k',
                'overrides': {'batch_size': batch, 'microbatches': batch // 16, 'learning_rate': rate},
            }
            for batch, rate in _RATES.items()
        },
    }
