"""Does SqueezeNet learn mnist5k at another rate than the rule's? By that, 0.01, it stays at guessing.

Five rates from 0.003 to 0.3, each from one seed that is billed as tuning; the best from three others, to AlexNet's
level. The rest of the recipe is that of `studies/mnist5k.py`. A quarter of an hour of two cores.

    python -m efficiency.study --study=studies/squeezenet_mnist5k.py
    python -m efficiency.report --runs=results/squeezenet_mnist5k --out=report
"""


def get_study():
    tune = {
        'settings': {'learning_rate': [0.003, 0.01, 0.03, 0.1, 0.3]},
        'seeds': [3],
        'rule': 'lowest median compute to target',
    }
    squeezenet = {'config': 'configs/squeezenet.py:mnist5k', 'seeds': range(3), 'tune': tune}
    return {'baseline': 'squeezenet1_1', 'systems': {'squeezenet1_1': squeezenet}}
