"""A small airbench94 for few macs on CIFAR-10, by what the speed-run on mnist5k taught; not searched for yet.

airbench94 at a quarter of its width, by its recipe but for batches of 500, as a short run has few steps otherwise, and
a first epoch on images of 24 pixels, which costs 0.6 of one at 32. Three epochs, 3.5e12 train macs.

    python -m efficiency.main --config=configs/speedrun/cifar10.py
"""

from configs.speedrun import airbench94


def get_config(dataset=None):
    config = airbench94.get_config(dataset, batch_size=500)
    config.model.width = 16
    config.num_epochs = 3.0
    ((_, whitening_stays),) = config.stages
    config.stages = ((0.0, {'image_size': 24}), (1.0, {'image_size': 32} | whitening_stays))
    return config
