"""Training steps on images: SGD with momentum and weight decay, ours of bytes, torch's of normalised floats."""

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks import steps
from benchmarks.steps import Steps, TrainStep

MODELS = (
    'resnet18', 'resnet50', 'vgg11', 'alexnet', 'googlenet', 'densenet121', 'resnext50_32x4d', 'squeezenet1_1',
    'mobilenet_v1', 'mobilenet_v2', 'shufflenet_v1_x1_0', 'shufflenet_v2_x1_0', 'efficientnet_b0',
)  # fmt: skip
SIZE, UNIT = 'image_size', 'px'
NUM_CLASSES = 10
COUNTED = {'num_classes': NUM_CLASSES}
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 1e-3, 0.9, 1e-4


def make_step(
    name: str, num_classes: int, image_size: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[TrainStep, Any]:
    """Our train step, and the state before the first."""
    import jax

    from efficiency.tasks.images.data.augment import augmentation
    from efficiency.tasks.images.loss import loss_of
    from efficiency.tasks.images.networks import create_model
    from efficiency.tasks.images.networks.variables import initialise
    from efficiency.training.optimizer import make_optimizer
    from efficiency.training.schedules import make_schedule
    from efficiency.training.step import init_state, make_train_step

    model = create_model(name, num_classes, image_size)
    loss = loss_of(model, augmentation('none'), mean, std)
    schedule = make_schedule('cosine', LEARNING_RATE, 10**6, 0)
    optimizer = make_optimizer('sgd', schedule, WEIGHT_DECAY, momentum=MOMENTUM)
    variables = {'batch_stats': {}, **initialise(model, jax.random.key(0), image_size)}
    return make_train_step(loss, optimizer), init_state(variables, optimizer, jax.random.key(0))


def compile_step(
    name: str, num_classes: int, batch: Mapping[str, Any], mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[TrainStep, Any]:
    """Our train step, compiled for such batches, and the state before the first."""
    return steps.compiled(*make_step(name, num_classes, batch['image'].shape[1], mean, std), batch)


def ours(name: str, image_size: int, batch_size: int) -> Steps:
    """Our train step."""
    import numpy as np

    images, labels = _batch(image_size, batch_size)
    batch = {'image': images, 'label': labels.astype(np.int32)}
    return steps.ours(*make_step(name, NUM_CLASSES, image_size, (0.5,) * 3, (0.25,) * 3), batch)


def _of_torch(name: str, image_size: int, batch_size: int, channels_last: bool) -> Steps:
    """Torch's, in one of its two layouts."""
    import torch

    from benchmarks import torch_networks

    steps.use_all_cores()
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = torch_networks.create(name, NUM_CLASSES, image_size).to(memory_format=layout)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, foreach=True
    )
    images, labels = _batch(image_size, batch_size)
    images = (torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).float() / 255 - 0.5) / 0.25
    images, labels = images.to(memory_format=layout), torch.from_numpy(labels)
    return steps.of_torch(lambda: torch.nn.functional.cross_entropy(network(images), labels), optimizer)


# Torch's forms of the step, of which the fastest counts.
TORCH: dict[str, Callable[..., Steps]] = {
    'torch default': lambda *args: _of_torch(*args, channels_last=False),
    'torch channels_last': lambda *args: _of_torch(*args, channels_last=True),
}


def _batch(image_size, batch_size):
    import numpy as np

    draw = np.random.RandomState(0)
    images = draw.randint(0, 256, (batch_size, image_size, image_size, 3)).astype(np.uint8)
    return images, draw.randint(0, NUM_CLASSES, batch_size)
