"""What it takes to reach AlexNet's level on CIFAR-10: twelve networks by one recipe, no tuning beyond it.

AlexNet's level takes five seeds (`efficiency.baselines`), other points of the frontier three; those train on after the
target, so that their curves are whole. The others, one seed each, stop at 0.8, the provisional target.

    python -m efficiency.study --study=studies/cifar10.py
"""

# (system, config): the system is the network.
FRONTIER = (
    ('shufflenet_v2_x1_0', 'shufflenet_v2'),
    ('shufflenet_v1_x1_0', 'shufflenet'),
    ('mobilenet_v1', 'mobilenet_v1'),
    ('efficientnet_b0', 'efficientnet'),
)
OTHERS = (
    ('mobilenet_v2', 'mobilenet_v2'),
    ('squeezenet1_1', 'squeezenet'),
    ('resnet18', 'resnet18'),
    ('resnet50', 'resnet50'),
    ('googlenet', 'googlenet'),
    ('densenet121', 'densenet121'),
    ('vgg11', 'vgg11'),
)


def get_study():
    whole = {'stop_at_target': False}
    systems = {'alexnet': {'config': 'configs/alexnet.py:cifar10', 'seeds': range(5), 'overrides': whole}}
    for system, config in FRONTIER:
        systems[system] = {'config': f'configs/{config}.py:cifar10', 'seeds': range(3), 'overrides': whole}
    for system, config in OTHERS:
        systems[system] = {'config': f'configs/{config}.py:cifar10', 'seeds': [0]}
    return {'baseline': 'alexnet', 'systems': systems}
