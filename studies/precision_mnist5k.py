"""What does a precision cost on the way to a level? LeNet-5 on mnist5k in five of them, all else alike.

float32, bfloat16, float16 with a scaled loss, and 16 bits of fixed point, rounded stochastically as by Gupta et al.
(2015) and to nearest, both simulated. Five seeds each, evaluated twice an epoch, to AlexNet's level. Twenty minutes of
two cores.

    python -m efficiency.study --study=studies/precision_mnist5k.py --changed_code
    python -m efficiency.report --runs=results/precision_mnist5k --out=report

(--changed_code, as the records that are kept are of an earlier version of this package, docs/records.md.)
"""

_PRECISIONS = ('float32', 'bfloat16', 'float16', 'fixed16', 'fixed16_nearest')


def get_study():
    return {
        'baseline': 'float32',
        'seeds': range(5),
        'overrides': {'eval_every': 0.5},
        'systems': {
            precision: {'config': 'configs/lenet5.py:mnist5k', 'overrides': {'precision': precision}}
            for precision in _PRECISIONS
        },
    }
