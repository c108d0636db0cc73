"""DenseNet-121 (Huang et al., 2016, arXiv:1608.06993).

Published 2016-08-25. The paper's recipe on ImageNet (Hernandez & Brown, 2020, section 3): SGD, momentum 0.9, weight
decay 1e-4, batch 256, learning rate 0.1 falling smoothly by 1,000 times in 90 epochs. There it takes 8 epochs and
0.960 teraflop/s-days of macs to AlexNet's level, 3.21 times less than AlexNet (Table 3).

    python -m efficiency.main --config=configs/densenet121.py
    python -m efficiency.main --config=configs/densenet121.py:imagenet2012 --workdir=/data/runs/densenet121
"""

from configs import common


def get_config(dataset=None):
    return common.paper_recipe('densenet121', dataset, learning_rate=0.1)
