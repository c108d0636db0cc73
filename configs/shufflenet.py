"""ShuffleNet v1 1x, 3 groups (Zhang et al., 2017, arXiv:1707.01083).

Published 2017-07-03. The paper's recipe on ImageNet (Hernandez & Brown, 2020, section 3): SGD, momentum 0.9, weight
decay 1e-4, batch 256, learning rate 0.1 falling smoothly by 1,000 times in 90 epochs. There it takes 24 epochs and
0.149 teraflop/s-days of macs to AlexNet's level, 20.6 times less than AlexNet (Table 3). On mnist5k it reaches
AlexNet's level, 95.4 % top-1, after 10 epochs (7 to 10 over 3 seeds) and 5.06e11 train macs, 20 times less than
AlexNet: about a minute on 2 cores.

    python -m efficiency.main --config=configs/shufflenet.py
    python -m efficiency.main --config=configs/shufflenet.py:imagenet2012 --workdir=/data/runs/shufflenet
"""

from configs import common


def get_config(dataset=None):
    return common.paper_recipe('shufflenet_v1_x1_0', dataset, learning_rate=0.1)
