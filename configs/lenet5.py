"""LeNet-5 (LeCun et al., 1998, "Gradient-based learning applied to document recognition").

Published 1998-11-01. The paper of this measurement does not have it: it is here because the first data set that it was
made for is the one that comes inside a dependency. It has no batch norm: learning rate 0.01.

    python -m efficiency.main --config=configs/lenet5.py
"""

from configs import common


def get_config(dataset=None):
    return common.paper_recipe('lenet5', dataset, learning_rate=0.01)
