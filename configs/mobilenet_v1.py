"""MobileNet v1 (Howard et al., 2017, arXiv:1704.04861).

Published 2017-04-17. The paper's recipe on ImageNet (Hernandez & Brown, 2020, section 3): SGD, momentum 0.9, weight
decay 1e-4, batch 256, learning rate 0.1 falling smoothly by 1,000 times in 90 epochs. There it takes 11 epochs and
0.278 teraflop/s-days of macs to AlexNet's level, 11.1 times less than AlexNet (Table 3).

    python -m efficiency.main --config=configs/mobilenet_v1.py
    python -m efficiency.main --config=configs/mobilenet_v1.py:imagenet2012 --workdir=/data/runs/mobilenet_v1
"""

from configs import common


def get_config(dataset=None):
    return common.paper_recipe('mobilenet_v1', dataset, learning_rate=0.1)
