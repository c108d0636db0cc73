"""A small airbench94 for few macs on CIFAR-10, where `studies/speedrun_cifar10.py` began to search.

airbench94's recipe but for batches of 250, as a short run has few steps otherwise; a stem of patches of 4 x 4 pixels,
every second one, so that the groups see a map of 15 x 15 in place of 31 x 31; a quarter of the width; the whitening's
bias is trained to the end.

    python -m efficiency.main --config=configs/speedrun/cifar10.py
"""

from configs.speedrun import airbench94


def get_config(dataset=None):
    config = airbench94.get_config(dataset, batch_size=250)
    config.model.update({'width': 16, 'groups': (1, 4, 4), 'components': 12, 'patch': 4, 'patch_stride': 2})
    config.num_epochs = 4.0
    config.stages = ()
    return config
