"""AlexNet.

python -m efficiency.main --config=configs/alexnet.py
"""

from configs import common


def get_config(dataset=None):
    config = common.paper_recipe('alexnet', dataset, learning_rate=0.01)
    return config
