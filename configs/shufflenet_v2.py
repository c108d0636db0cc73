"""ShuffleNet v2 1x (Ma et al., 2018, arXiv:1807.11164).

Published 2018-07-30. The paper's recipe on ImageNet (Hernandez & Brown, 2020, section 3): SGD, momentum 0.9, weight
decay 1e-4, batch 256, learning rate 0.1 falling smoothly by 1,000 times in 90 epochs. There it takes 20 epochs and
0.125 teraflop/s-days of macs to AlexNet's level, 24.6 times less than AlexNet (Table 3).

    python -m efficiency.main --config=configs/shufflenet_v2.py
    python -m efficiency.main --config=configs/shufflenet_v2.py:imagenet2012 --workdir=/data/runs/shufflenet_v2
"""

from configs import common


def get_config(dataset=None):
    return common.paper_recipe('shufflenet_v2_x1_0', dataset, learning_rate=0.1)
