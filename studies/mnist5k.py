"""What it takes to reach AlexNet's level on mnist5k: the measured table of README.

All by the one recipe of `configs/common.py`, no tuning beyond it. AlexNet's level takes five seeds
(`efficiency.baselines`), other points of the frontier three; those train on after the target, so that their curves are
whole. The others, one seed each, stop there.

    python -m efficiency.study --study=studies/mnist5k.py
"""

# (system, config): the system is the network.
FRONTIER = (
    ('lenet5', 'lenet5'),
    ('shufflenet_v2_x1_0', 'shufflenet_v2'),
    ('shufflenet_v1_x1_0', 'shufflenet'),
    ('mobilenet_v1', 'mobilenet_v1'),
    ('efficientnet_b0', 'efficientnet'),
    ('googlenet', 'googlenet'),
)
OTHERS = (
    ('mobilenet_v2', 'mobilenet_v2'),
    ('shufflenet_v2_x1_5', 'shufflenet_v2_x1_5'),
    ('squeezenet1_1', 'squeezenet'),
    ('resnet18', 'resnet18'),
    ('resnet34', 'resnet34'),
    ('resnet50', 'resnet50'),
    ('densenet121', 'densenet121'),
    ('resnext50_32x4d', 'resnext50'),
    ('vgg11', 'vgg11'),
    ('wide_resnet50_2', 'wide_resnet50'),
)


def get_study():
    whole = {'stop_at_target': False}
    systems = {
        'alexnet': {
            'config': 'configs/alexnet.py:mnist5k',
            'seeds': range(5),
            # A provisional target: the level is found from these very runs.
            'overrides': {**whole, 'target.value': 0.95},
        },
    }
    for system, config in FRONTIER:
        systems[system] = {'config': f'configs/{config}.py:mnist5k', 'seeds': range(3), 'overrides': whole}
    for system, config in OTHERS:
        systems[system] = {'config': f'configs/{config}.py:mnist5k', 'seeds': [0]}
    return {'baseline': 'alexnet', 'systems': systems}
