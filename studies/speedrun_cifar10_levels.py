"""Compute to higher levels of CIFAR-10, 80 % to 91 %, by sizes and lengths of airbench94.

Where `studies/speedrun_cifar10.py` looks for the least to AlexNet's level, this goes up from there: the recipe that it
found, wider and longer, with the small stem that sees every second pixel and with the public one. Each shape is tried
once and stands on the bill; the best of each round is trained from three seeds more.

    python -m efficiency.study --study=studies/speedrun_cifar10_levels.py
    python -m efficiency.report --runs=results/speedrun_cifar10_levels --target=top1:0.85 --out=report
"""

_CONFIG = 'configs/speedrun/cifar10.py:cifar10'
_PUBLIC_STEM = {'model.patch': 2, 'model.patch_stride': 1, 'eval_views': 'mirrored_and_shifted'}
# Of each round: what is the same in it, and what it tries.
_ROUNDS = {
    'narrow': ({}, {'model.width': [32], 'num_epochs': [4.0, 8.0]}),
    'wide': ({}, {'model.width': [64], 'num_epochs': [4.0, 8.0]}),
    'public_stem': (_PUBLIC_STEM, {'model.width': [32], 'num_epochs': [4.0, 8.0]}),
}


def get_study():
    return {
        'seeds': range(3),
        'overrides': {'eval_every': 8.0},
        'systems': {
            name: {
                'config': _CONFIG,
                'overrides': overrides,
                'tune': {'settings': settings, 'seeds': [100], 'rule': 'best median final metric'},
            }
            for name, (overrides, settings) in _ROUNDS.items()
        },
    }
