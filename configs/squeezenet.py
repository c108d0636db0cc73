"""SqueezeNet v1.1 (Iandola et al., 2016, arXiv:1602.07360).

Published 2016-02-24. The paper's recipe on ImageNet (Hernandez & Brown, 2020, section 3): SGD, momentum 0.9, weight
decay 1e-4, batch 256, learning rate 0.01 falling smoothly by 1,000 times in 90 epochs. There it takes 53 epochs and
0.846 teraflop/s-days of macs to AlexNet's level, 3.64 times less than AlexNet (Table 3).
The paper gives 0.01 to "pre-batch-norm architectures (GoogLeNet and VGG)" and 0.1 to all others; SqueezeNet, which has
no batch norm either, is taken with the former.

    python -m efficiency.main --config=configs/squeezenet.py
    python -m efficiency.main --config=configs/squeezenet.py:imagenet2012 --workdir=/data/runs/squeezenet
"""

from configs import common


def get_config(dataset=None):
    return common.paper_recipe('squeezenet1_1', dataset, learning_rate=0.01)
