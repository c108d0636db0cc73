"""VGG-11 (Simonyan & Zisserman, 2014, arXiv:1409.1556).

Published 2014-09-04. The paper's recipe on ImageNet (Hernandez & Brown, 2020, section 3): SGD, momentum 0.9, weight
decay 1e-4, batch 256, learning rate 0.01 falling smoothly by 1,000 times in 90 epochs. There it takes 12 epochs and
4.26 teraflop/s-days of macs to AlexNet's level, 1.38 times more than AlexNet itself (Table 3).

    python -m efficiency.main --config=configs/vgg11.py
    python -m efficiency.main --config=configs/vgg11.py:imagenet2012 --workdir=/data/runs/vgg11
"""

from configs import common


def get_config(dataset=None):
    return common.paper_recipe('vgg11', dataset, learning_rate=0.01)
