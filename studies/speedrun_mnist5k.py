"""The least train compute to AlexNet's level on mnist5k: how it was found, what that cost, and what it comes to.

Each round chooses one more of the recipe's settings from runs that are billed as tuning, and is then trained from a
seed of its own; it begins where the round before it ended. Of the last round, over lengths, the recipe takes not the
best but the shortest whose seeds all got there: `configs/speedrun/mnist5k.py`, from ten seeds that chose nothing,
beside LeNet-5, the network that takes least in `studies/mnist5k.py`.

    python -m efficiency.study --study=studies/speedrun_mnist5k.py --changed_code

(--changed_code, as the records that are kept are of an earlier version of this package, docs/records.md.)
"""

_FIRST = 'configs/speedrun/mnist5k_start.py:mnist5k'
_THEN = 'configs/speedrun/mnist5k.py:mnist5k'
_START = {
    'model.components': 6, 'model.patch': 5, 'model.patch_stride': 3, 'model.pool': 1, 'model.width': 16,
    'model.stride': 2, 'model.hidden': 0, 'model.whitened': True, 'batch_size': 50, 'num_epochs': 3.0,
    'eval_every': 3.0, 'learning_rate': 0.05, 'augmentation': 'shift', 'label_smoothing': 0.0, 'schedule': 'linear',
    'optimizer.groups[1].learning_rate': 0.01, 'optimizer.groups[2].learning_rate': 0.01,
}  # fmt: skip
# Of each round: its config, what the round before it chose, what it chooses from, and the seeds that it does so by.
_ROUNDS = {
    'shape': (_FIRST, {}, {'model.patch_stride': [2, 3], 'model.pool': [1, 2], 'model.hidden': [0, 32]}, [100]),
    'rates': (
        _FIRST,
        {'model.patch_stride': 2, 'num_epochs': 2.0, 'eval_every': 2.0},
        {'augmentation': ['none', 'shift'], 'learning_rate': [0.05, 0.1], 'batch_size': [25, 50]},
        [100],
    ),
    'short': (
        _FIRST,
        {'augmentation': 'none', 'num_epochs': 1.0, 'eval_every': 1.0},
        {'batch_size': [10, 20], 'model.components': [4, 6], 'learning_rate': [0.05, 0.1]},
        [100],
    ),
    'steps': (
        _THEN,
        {'batch_size': 20},
        {
            'optimizer.momentum': [0.6, 0.85],
            'optimizer.groups[1].learning_rate': [0.01, 0.03],
            'label_smoothing': [0.0, 0.1],
        },
        [100],
    ),
    'patches': (
        _THEN,
        {'optimizer.momentum': 0.6},
        {'model.patch': [4, 5], 'model.patch_stride': [2, 3], 'label_smoothing': [0.1, 0.2]},
        [101],
    ),
    'length': (
        _THEN,
        {'label_smoothing': 0.2, 'eval_every': 2.0},
        {'num_epochs': [1.0, 1.25, 1.5], 'learning_rate': [0.05, 0.1]},
        [102, 103],
    ),
}


def get_study():
    systems = {'lenet5': {'config': 'configs/lenet5.py:mnist5k', 'seeds': range(5)}}
    overrides = dict(_START)
    for name, (config, chosen, settings, seeds) in _ROUNDS.items():
        overrides |= chosen
        tune = {'settings': settings, 'seeds': seeds, 'rule': 'best median final metric'}
        systems[name] = {'config': config, 'overrides': dict(overrides), 'tune': tune}
    systems['speedrun'] = {'config': _THEN, 'seeds': range(10)}
    return {'baseline': 'lenet5', 'seeds': [0], 'systems': systems}
