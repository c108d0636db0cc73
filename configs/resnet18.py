"""ResNet-18 (He et al., 2015, arXiv:1512.03385).

Published 2015-12-10. The paper's recipe on ImageNet (Hernandez & Brown, 2020, section 3): SGD, momentum 0.9, weight
decay 1e-4, batch 256, learning rate 0.1 falling smoothly by 1,000 times in 90 epochs. There it takes 15 epochs and
1.13 teraflop/s-days of macs to AlexNet's level, 2.72 times less than AlexNet (Table 3).

    python -m efficiency.main --config=configs/resnet18.py
    python -m efficiency.main --config=configs/resnet18.py:imagenet2012 --workdir=/data/runs/resnet18
"""

from configs import common


def get_config(dataset=None):
    return common.paper_recipe('resnet18', dataset, learning_rate=0.1)
