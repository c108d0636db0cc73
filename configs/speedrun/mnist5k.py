"""The least train compute to AlexNet's level on mnist5k that `studies/speedrun_mnist5k.py` found.

A network of three layers (`whitened_tiny`): a first one that whitens patches and is never trained, a convolution, a
linear layer. Muon for the convolution, AdamW for the rest, a linear fall to 0; 1.25 epochs of batches of 20, images as
they are, labels smoothed by 0.2. Evaluated once, at its end: 7.6e8 train macs, which docs/speedrun.md holds against
LeNet-5's, with the bill of finding it.

    python -m efficiency.main --config=configs/speedrun/mnist5k.py
"""

from configs import common

WHITENING = 'whiten/'


def get_config(dataset=None):
    config = common.paper_recipe('whitened_tiny', dataset, learning_rate=0.05)
    config.model.update({
        'components': 6, 'patch': 5, 'patch_stride': 2, 'pool': 1, 'width': 16, 'stride': 2, 'hidden': 0,
        'whitened': True,
    })  # fmt: skip
    config.batch_size = 20
    config.num_epochs, config.eval_every = 1.25, 2.0
    config.schedule, config.warmup_epochs = 'linear', 0.0
    config.gradient_clip_norm = 0.0
    config.weight_decay = 0.0
    config.augmentation = 'none'
    config.label_smoothing = 0.2
    config.stop_at_target = False
    config.optimizer = {
        'name': 'muon',
        'momentum': 0.6,
        'ns_steps': 3,
        'groups': (
            {'params': WHITENING, 'learning_rate': 0.0},
            {'params': 'head/', 'name': 'adamw', 'learning_rate': 0.01},
            {'params': 'norm', 'name': 'adamw', 'learning_rate': 0.01},
        ),
    }
    return config
