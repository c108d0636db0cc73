"""AlexNet's level on mnist5k by five seeds that are billed for nothing else.

`studies/mnist5k.py` bills seeds 0 to 4 of AlexNet; a level that was chosen by these is flattered by their luck. These
five choose it alone, by the same config. An hour of two cores.

    python -m efficiency.study --study=studies/alexnet_level.py
    python -m efficiency.baselines --runs=results/mnist5k --level=results/alexnet_level --say_only
"""


def get_study():
    # As in `studies/mnist5k.py`: trained to the end, with a provisional target.
    overrides = {'stop_at_target': False, 'target.value': 0.95}
    alexnet = {'config': 'configs/alexnet.py:mnist5k', 'seeds': range(5, 10), 'overrides': overrides}
    return {'baseline': 'alexnet', 'systems': {'alexnet': alexnet}}
