"""Do the factors on mnist5k survive where each network has the best of three rates?

`studies/mnist5k.py` trains all by one recipe, in which a baseline that its rate holds back would flatter everything
after it. Here AlexNet and those of the frontier that take least are each tried at 0.3, 1 and 3 times the rule's rate
from one seed, billed as tuning, and the best is trained from others. The rest of the recipe is the same. AlexNet's
level is found anew from its own runs. About two hours of two cores.

    python -m efficiency.study --study=studies/rates_mnist5k.py
    python -m efficiency.baselines --runs=results/rates_mnist5k --say_only
    python -m efficiency.report --runs=results/rates_mnist5k --target=top1:0.954 --out=report
"""

# System: config, its rate by the rule, how many seeds.
_SYSTEMS = {
    'lenet5': ('lenet5', 0.01, 3),
    'shufflenet_v1_x1_0': ('shufflenet', 0.1, 3),
    'shufflenet_v2_x1_0': ('shufflenet_v2', 0.1, 3),
    'alexnet': ('alexnet', 0.01, 5),
}


def get_study():
    return {
        'baseline': 'alexnet',
        'overrides': {'stop_at_target': False, 'target.value': 0.954},
        'systems': {
            system: {
                'config': f'configs/{config}.py:mnist5k',
                'seeds': range(seeds),
                'tune': {
                    'settings': {'learning_rate': [round(times * rate, 6) for times in (0.3, 1, 3)]},
                    'seeds': [10],
                    'rule': 'lowest median compute to target',
                },
            }
            for system, (config, rate, seeds) in _SYSTEMS.items()
        },
    }
