"""Little train compute to a high accuracy on CIFAR-10: a small airbench94, by its size, its length and its rates.

Every run that is made in looking for a recipe is one of tuning here, and stands on the bill: each round chooses one
more of the recipe's settings, and begins where the round before it ended. Of the last, over short runs, the recipe
takes the shortest that is above AlexNet's level by more than seeds differ: `configs/speedrun/cifar10.py`, from five
seeds that chose nothing. AlexNet is trained by `studies/cifar10.py`; a report over both has the factor.

    python -m efficiency.study --study=studies/speedrun_cifar10.py --changed_code

(--changed_code, as the records that are kept are of an earlier version of this package, docs/records.md.)
"""

_CONFIG = 'configs/speedrun/cifar10.py:cifar10'
_START = {'model.width': 16, 'learning_rate': 0.24, 'num_epochs': 4.0, 'eval_every': 2.0}
# Of each round: what the rounds before it chose, and what it chooses from.
_ROUNDS = {
    'size': ({}, {'model.width': [16, 24], 'num_epochs': [2.0, 4.0]}),
    'rates': (
        {'num_epochs': 2.0},
        {
            'augmentation': ['none', 'shift_alternating_flip'],
            'label_smoothing': [0.0, 0.2],
            'learning_rate': [0.12, 0.48],
        },
    ),
    'slower': (
        {'augmentation': 'none', 'label_smoothing': 0.2},
        {'learning_rate': [0.03, 0.06], 'model.components': [12, 24]},
    ),
    'longer': (
        {'augmentation': 'shift_alternating_flip', 'model.width': 24, 'eval_every': 4.0},
        {'learning_rate': [0.06, 0.12], 'num_epochs': [4.0]},
    ),
    'short': (
        {'learning_rate': 0.12, 'eval_every': 2.0},
        {'model.width': [12, 16], 'num_epochs': [1.0, 1.5]},
    ),
}


def get_study():
    systems, overrides = {}, dict(_START)
    for name, (chosen, settings) in _ROUNDS.items():
        overrides |= chosen
        tune = {'settings': settings, 'seeds': [100], 'rule': 'best median final metric'}
        systems[name] = {'config': _CONFIG, 'overrides': dict(overrides), 'tune': tune}
    systems['speedrun'] = {'config': _CONFIG, 'seeds': range(5)}
    return {'baseline': 'speedrun', 'seeds': [0], 'systems': systems}
