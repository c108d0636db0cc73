"""ShuffleNet v1 1x, 3 groups (Zhang et al., 2017, arXiv:1707.01083).

python -m efficiency.main --config=configs/shufflenet.py
"""

from configs import common


def get_config(dataset=None):
    return common.paper_recipe('shufflenet_v1_x1_0', dataset, learning_rate=0.1)
