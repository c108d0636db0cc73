"""EfficientNet-b0 (Tan & Le, 2019, arXiv:1905.11946).

Published 2019-05-28. The paper's recipe on ImageNet (Hernandez & Brown, 2020, section 3): SGD, momentum 0.9, weight
decay 1e-4, batch 256, learning rate 0.1 falling smoothly by 1,000 times in 90 epochs. There it takes 4 epochs and
0.0694 teraflop/s-days of macs to AlexNet's level, 44.4 times less than AlexNet (Table 3).
These epochs are the EfficientNet authors', with a recipe of their own and one epoch of warm-up, which the paper does
not give; the recipe here is the one of its other networks.

    python -m efficiency.main --config=configs/efficientnet.py
    python -m efficiency.main --config=configs/efficientnet.py:imagenet2012 --workdir=/data/runs/efficientnet
"""

from configs import common


def get_config(dataset=None):
    return common.paper_recipe('efficientnet_b0', dataset, learning_rate=0.1)
