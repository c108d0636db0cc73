"""ResNeXt-50 32x4d (Xie et al., 2016, arXiv:1611.05431).

Published 2016-11-16. The paper's recipe on ImageNet (Hernandez & Brown, 2020, section 3): SGD, momentum 0.9, weight
decay 1e-4, batch 256, learning rate 0.1 falling smoothly by 1,000 times in 90 epochs. There it takes 7 epochs and
1.33 teraflop/s-days of macs to AlexNet's level, 2.31 times less than AlexNet (Table 3).

    python -m efficiency.main --config=configs/resnext50.py
    python -m efficiency.main --config=configs/resnext50.py:imagenet2012 --workdir=/data/runs/resnext50
"""

from configs import common


def get_config(dataset=None):
    return common.paper_recipe('resnext50_32x4d', dataset, learning_rate=0.1)
