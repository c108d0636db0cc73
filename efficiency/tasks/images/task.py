"""Images as a task: a data set, a network, and what one is trained and evaluated by on the other."""

import functools
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from ml_collections import ConfigDict

from efficiency import console
from efficiency.data.batches import Host, Split, TrainBatches, shapes_of_batch
from efficiency.errors import UserError
from efficiency.layers.modules import NormInGroups
from efficiency.layers.precision import dtype_of
from efficiency.stages import stages_of
from efficiency.tasks.images.data import datasets
from efficiency.tasks.images.data.alternating import AlternatingBatches
from efficiency.tasks.images.data.augment import ALTERNATING, ON_HOST, augmentation, normalise
from efficiency.tasks.images.data.catalogue import open_source
from efficiency.tasks.images.data.splits import shapes_of_images
from efficiency.tasks.images.loss import label_rank, loss_of
from efficiency.tasks.images.networks import create_model, model_entry
from efficiency.tasks.images.networks.torch_weights import load_torch_weights
from efficiency.tasks.images.networks.variables import initialise, shapes_and_forward, variable_shapes
from efficiency.tasks.images.networks.whitening import TakesImages
from efficiency.tasks.images.views import VIEWS
from efficiency.tasks.task import DataTask, Form, Forward, Loss


class _Looks(NamedTuple):
    """What a network must know of the images of a data set."""

    num_classes: int
    channels: int
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.25, 0.25, 0.25)


class Images(DataTask):
    """A network on a data set of images.

    Attributes:
        config: `image_size` is that of evaluation.
    """

    def __init__(self, config: ConfigDict, looks: _Looks, data: datasets.Dataset | None = None):
        """`data` are None where only shapes are asked for: what images are normalised by costs the same."""
        self.config, self._looks, self._data = config, looks, data
        self.network = network(config, looks.num_classes)
        self.published = model_entry(config.model.name).published
        if data is not None:
            self.train, self.eval = data.train, data.eval
            self._train_at = functools.cache(self._split_at)

    def _split_at(self, image_size: int) -> Split:
        return self._data.train if image_size == self.config.image_size else self._data.train_at(image_size)

    @property
    def description(self) -> dict[str, Any]:
        return self._data.description

    def init(self, key: jax.Array) -> dict[str, Any]:
        variables = {'batch_stats': {}, **initialise(self.network, key, self.config.image_size)}
        network = _alone(self.network)
        if isinstance(network, TakesImages):
            first = self.train.take(np.arange(min(network.images_taken, len(self.train))), None)
            images = np.asarray(normalise(first['image'], self._looks.mean, self._looks.std))
            variables['params'] = network.with_images(variables['params'], images)
        return variables

    @property
    def init_dense_macs(self) -> int:
        return init_dense_macs(self.config, len(self.train))

    def outline(self) -> tuple[dict[str, Any], Any]:
        shapes, forward = shapes_and_forward(self.network, self.config.image_size)
        return {'batch_stats': {}, **shapes}, forward

    def weights(self) -> dict[str, Any]:
        name, options = _name_and_options(self.config)
        path, size = self.config.init_from, self.config.image_size
        return {'batch_stats': {}, **load_torch_weights(name, path, self._looks.num_classes, size, options)}

    def batches(self, config: ConfigDict, host: Host) -> TrainBatches:
        make = AlternatingBatches if config.augmentation in ALTERNATING else TrainBatches
        on_host = config.augmentation in ON_HOST
        return make(self._train_at(config.image_size), config.batch_size, config.seed, on_host, host)

    def forms(self, config: ConfigDict) -> list[Form]:
        size = config.image_size
        shapes = dict(shapes_of_images((size, size, self._looks.channels)))
        if config.augmentation in ALTERNATING:
            shapes['mirrored'] = ((), bool)
        batch = shapes_of_batch(shapes, config.batch_size)
        return [Form(batch, self.forward(config), {'image_size': size})]

    def loss(self, config: ConfigDict) -> Loss:
        model, augment = network(config, self._looks.num_classes), augmentation(config.augmentation)
        return loss_of(model, augment, self._looks.mean, self._looks.std, config.label_smoothing)

    def forward(self, config: ConfigDict) -> Forward:
        image = jax.ShapeDtypeStruct((1, config.image_size, config.image_size, 3), jnp.float32)
        return Forward(forward_pass(network(config, self._looks.num_classes)), (image,))

    def scores(self, variables: dict[str, Any], batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        images = normalise(batch['image'], self._looks.mean, self._looks.std)
        logits = VIEWS[self.config.eval_views](functools.partial(self.network.apply, variables, train=False), images)
        rank = label_rank(logits, batch['label'])
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, batch['label'])
        return {'loss': loss, 'top1': rank < 1, 'top5': rank < 5}

    def check_stage(self, config: ConfigDict) -> None:
        if config.image_size == self.config.image_size:
            return
        ours, theirs = (
            jax.tree.map(lambda leaf: leaf.shape, variable_shapes(network(each, self._looks.num_classes), size))
            for each, size in ((self.config, self.config.image_size), (config, config.image_size))
        )
        if ours != theirs:
            raise UserError(
                f'config.stages trains {config.model.name} at {config.image_size} pixels, where it is another network '
                f'than at {self.config.image_size}, at which it is evaluated; take sizes at which it is one'
            )

    def check_target(self) -> None:
        if self.config.target.metric == 'top5' and self._looks.num_classes <= 5:
            raise UserError(
                f'config.target.metric is top5, and {self.config.dataset} has {self._looks.num_classes} classes, of '
                'which any five guesses are right; pass --config.target.metric=top1, and --config.target.value'
            )

    def is_of(self, description: Mapping[str, Any]) -> bool:
        return self._data.is_of(description['fingerprint'], description.get('sample'))

    def check_readable(self) -> None:
        if self._data.sample:
            with console.hushed():
                self._data.sample.check()

    def note_damage(self) -> None:
        self._data.note_damage()


def forward_pass(model: nn.Module) -> Any:
    """(variables, images (n, size, size, 3)) -> logits, as in evaluation."""
    return functools.partial(model.apply, train=False)


def network(config: ConfigDict, num_classes: int) -> nn.Module:
    """The network of a config, which normalises as the config says."""
    name, options = _name_and_options(config)
    model = create_model(name, num_classes, config.image_size, dtype_of(config.precision), options)
    return NormInGroups(model, config.batch_norm_group) if config.batch_norm_group else model


def init_dense_macs(config: ConfigDict, num_train: int) -> int:
    """Dense multiply-adds by which a config's network takes initial values from so many training images."""
    alone = _alone(network(config, 1))
    if not isinstance(alone, TakesImages) or config.init_from:
        return 0
    return alone.macs_of_images(min(alone.images_taken, num_train), config.image_size)


def _alone(model: nn.Module) -> nn.Module:
    """A network without what has it normalise in groups."""
    return model.grouped_network if isinstance(model, NormInGroups) else model


def _name_and_options(config: ConfigDict) -> tuple[str, dict[str, Any]]:
    options = config.model.to_dict()
    return options.pop('name'), options


def opened(config: ConfigDict, data_dir: str | os.PathLike | None) -> Images:
    """The task of a config with its images; see `efficiency.tasks.open_task`."""
    data = _load(config, data_dir)
    return Images(_settled(config, data), _looks_of(data), data)


def outlined(config: ConfigDict, data_dir: str | os.PathLike | None, known: Mapping[str, Any]) -> Images:
    """The task of a config without images; see `efficiency.tasks.outline_task`."""
    num_classes, channels = known.get('num_classes'), known.get('channels', 3)
    if num_classes is None and config.image_size and config.augmentation:
        source = _source(config, data_dir)
        num_classes, channels = source.num_classes, source.image_shape[2] if source.image_shape else 3
    elif num_classes is None:
        data = _load(config, data_dir)
        return Images(_settled(config, data), _looks_of(data))
    missing = next((key for key in ('image_size', 'augmentation') if config[key] is None), None)
    if missing:
        raise UserError(f'config.{missing} is left to the data, which is not asked here; pass --config.{missing}')
    return Images(config, _Looks(num_classes, channels))


def _source(config, data_dir):
    with console.hushed():
        return open_source(config.dataset, data_dir)


def _load(config, data_dir):
    with console.hushed():
        return datasets.load(
            config.dataset, (config.train_split, config.eval_split), config.image_size, data_dir,
            as_stored=any(stage.augmentation in ON_HOST for _, stage in stages_of(config)),
        )  # fmt: skip


def _looks_of(data: datasets.Dataset) -> _Looks:
    return _Looks(data.num_classes, data.train.shapes['image'][0][2], data.mean, data.std)


def _settled(config: ConfigDict, data: datasets.Dataset) -> ConfigDict:
    """The config with what it left to the data set."""
    config = ConfigDict(config.to_dict())
    config.image_size, config.eval_split = data.image_size, data.eval_split
    config.augmentation = config.augmentation or ('shift' if data.one_size else 'resized_crop_flip')
    return config
