"""Wide ResNet-50-2 (Zagoruyko & Komodakis, 2016, arXiv:1605.07146).

Published 2016-05-23. The paper's recipe on ImageNet (Hernandez & Brown, 2020, section 3): SGD, momentum 0.9, weight
decay 1e-4, batch 256, learning rate 0.1 falling smoothly by 1,000 times in 90 epochs. There it takes 7 epochs and
3.56 teraflop/s-days of macs to AlexNet's level, 1.16 times more than AlexNet itself (Table 3).

    python -m efficiency.main --config=configs/wide_resnet50.py
    python -m efficiency.main --config=configs/wide_resnet50.py:imagenet2012 --workdir=/data/runs/wide_resnet50
"""

from configs import common


def get_config(dataset=None):
    return common.paper_recipe('wide_resnet50_2', dataset, learning_rate=0.1)
