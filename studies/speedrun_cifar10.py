"""Little train compute to a high accuracy on CIFAR-10: what a small airbench94 gets to, by its size and its length.

Every run that is made in looking for a recipe is one of tuning here, and stands on the bill. AlexNet, whose level is
looked for, is trained by `studies/cifar10.py`; a report over both has the factor.

    python -m efficiency.study --study=studies/speedrun_cifar10.py
"""

_CONFIG = 'configs/speedrun/cifar10.py:cifar10'


def get_study():
    sizes = {
        'settings': {'model.width': [8, 16], 'num_epochs': [2.0, 4.0]},
        'seeds': [100],
        'rule': 'best median final metric',
    }
    return {'baseline': 'size', 'seeds': [0], 'systems': {'size': {'config': _CONFIG, 'tune': sizes}}}
