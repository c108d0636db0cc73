"""The least train compute to AlexNet's level on CIFAR-10 that `studies/speedrun_cifar10.py` has found so far.

airbench94's recipe but for batches of 250, as a short run has few steps otherwise; a stem of patches of 4 x 4 pixels,
every second one, so that the groups see a map of 15 x 15 in place of 31 x 31; a quarter of the width; half the rate of
Muon; the whitening's bias is trained to the end. Evaluated once, after 1.5 epochs: 4.97e11 train macs, which
docs/speedrun.md holds against AlexNet's.

    python -m efficiency.main --config=configs/speedrun/cifar10.py
"""

from configs.speedrun import airbench94


def get_config(dataset=None):
    config = airbench94.get_config(dataset, batch_size=250)
    config.model.update({'width': 16, 'groups': (1, 4, 4), 'components': 12, 'patch': 4, 'patch_stride': 2})
    config.learning_rate = 0.12
    config.num_epochs, config.eval_every = 1.5, 2.0
    config.stages = ()
    return config
