"""Where the search for the speed-run on mnist5k began.

The rounds of `studies/speedrun_mnist5k.py` set its keys.

python -m efficiency.main --config=configs/speedrun/mnist5k_start.py
"""

from configs.speedrun import mnist5k


def get_config(dataset=None):
    config = mnist5k.get_config(dataset)
    config.batch_size = 50
    config.num_epochs = config.eval_every = 3.0
    config.augmentation = 'shift'
    config.label_smoothing = 0.0
    del config.optimizer['momentum']
    return config
