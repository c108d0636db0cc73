"""The network and recipe of configs/speedrun/mnist5k.py in parts, to see what each is worth.

What follows the colon are parts, joined by +; with none it is the same network, its first layer an ordinary one, by the
recipe of configs/common.py. Runs are longer than the recipe's and evaluated ten times an epoch, so that those with few
parts get there, too.

    python -m efficiency.main --config=configs/speedrun/mnist5k_parts.py:whitened+muon
"""

from configs import common
from configs.speedrun import mnist5k

PARTS = ('whitened', 'muon', 'small_batch', 'still', 'smoothed')
EPOCHS = 6.0


def get_config(parts=None):
    parts = parts.split('+') if parts else []
    if unknown := set(parts) - set(PARTS):
        raise ValueError(f'{sorted(unknown)} are no parts; there are {", ".join(PARTS)}')
    whole = mnist5k.get_config()
    config = common.paper_recipe(whole.model.name, 'mnist5k', learning_rate=0.1)
    config.num_epochs, config.eval_every = EPOCHS, 0.1
    config.stop_at_target = False
    config.model = whole.model
    config.model.whitened = 'whitened' in parts
    if 'muon' in parts:  # with its schedule, and neither decay nor clipping
        for key in ('optimizer', 'learning_rate', 'schedule', 'warmup_epochs', 'weight_decay', 'gradient_clip_norm'):
            config[key] = whole[key]
    stays = [group for group in whole.optimizer.groups if group['params'] == mnist5k.WHITENING]
    others = [group for group in config.optimizer.get('groups', ()) if group not in stays]
    config.optimizer.groups = tuple((stays if 'whitened' in parts else []) + others)
    for part, key in (('small_batch', 'batch_size'), ('still', 'augmentation'), ('smoothed', 'label_smoothing')):
        if part in parts:
            config[key] = whole[key]
    return config
