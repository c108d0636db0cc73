"""ResNet-34 (He et al., 2015, arXiv:1512.03385).

Published 2015-12-10. The paper's recipe on ImageNet (Hernandez & Brown, 2020, section 3): SGD, momentum 0.9, weight
decay 1e-4, batch 256, learning rate 0.1 falling smoothly by 1,000 times in 90 epochs. There it takes 9 epochs and
1.37 teraflop/s-days of macs to AlexNet's level, 2.25 times less than AlexNet (Table 3).

    python -m efficiency.main --config=configs/resnet34.py
    python -m efficiency.main --config=configs/resnet34.py:imagenet2012 --workdir=/data/runs/resnet34
"""

from configs import common


def get_config(dataset=None):
    return common.paper_recipe('resnet34', dataset, learning_rate=0.1)
