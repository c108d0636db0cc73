"""GoogLeNet (Szegedy et al., 2014, arXiv:1409.4842), without its auxiliary heads unless they are asked for.

Published 2014-09-17. The paper's recipe on ImageNet (Hernandez & Brown, 2020, section 3): SGD, momentum 0.9, weight
decay 1e-4, batch 256, learning rate 0.01 falling smoothly by 1,000 times in 90 epochs. There it takes 8 epochs and
0.711 teraflop/s-days of macs to AlexNet's level, 4.33 times less than AlexNet (Table 3).

    python -m efficiency.main --config=configs/googlenet.py
    python -m efficiency.main --config=configs/googlenet.py:imagenet2012 --workdir=/data/runs/googlenet
"""

from configs import common


def get_config(dataset=None):
    config = common.paper_recipe('googlenet', dataset, learning_rate=0.01)
    config.model.auxiliary_heads = False  # the network's own paper trains with them
    config.model.transform_input = False  # True for torchvision's pretrained weights
    return config
