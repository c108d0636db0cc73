"""What a config comes to: its data set, network, optimizer and number of steps, every mistake in it found."""

import math
import os
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from efficiency import console
from efficiency.data import datasets
from efficiency.data.augment import ON_HOST, augmentation
from efficiency.data.catalogue import open_source
from efficiency.data.datasets import Dataset
from efficiency.errors import UserError
from efficiency.metrics import OF_CLASSES
from efficiency.models import create_model
from efficiency.models.layers import NormInGroups
from efficiency.training.mesh import DataParallel
from efficiency.training.metrics import check_tensorboard
from efficiency.training.optimizer import make_optimizer, make_schedule
from efficiency.training.settings import check_config
from efficiency.training.step import make_train_step


def opened(config: ConfigDict, data_dir: str | os.PathLike | None) -> tuple[ConfigDict, Dataset, int]:
    """The config with what it left to the data set, the data set, and the number of steps; all mistakes found."""
    check_config(config, OF_CLASSES)
    network(config, 1)  # for its name and options
    if config.augmentation:
        augmentation(config.augmentation)
    if config.tensorboard:
        check_tensorboard()
    # Names and divisions are checked before a large data set is read.
    DataParallel(config.batch_size)
    optimizer_of(config, 1, 1)
    if config.target.value is None:
        _open(config, data_dir)  # whether it is there at all is the first question
        raise UserError(f'which target on {config.dataset}? It has no preset, so pass --config.target.value')
    dataset = _load(config, data_dir)
    if config.target.metric == 'top5' and dataset.num_classes <= 5 and not config.eval_only:
        raise UserError(
            f'config.target.metric is top5, and {config.dataset} has {dataset.num_classes} classes, of which any five '
            'guesses are right; pass --config.target.metric=top1, and --config.target.value'
        )
    # Rounded, as 16.12 epochs of 4,000 are 2,015 steps of 32 and not a hair more.
    total_steps = math.ceil(round(config.num_epochs * len(dataset.train) / config.batch_size, 6))
    if not 1 <= total_steps < 2**31:
        raise UserError(
            f'config.num_epochs of {config.num_epochs:g} are {total_steps:g} steps; they must be from 1 to 2**31 - 1'
        )
    return settled(config, dataset), dataset, total_steps


def _open(config, data_dir):
    with console.hushed():
        return open_source(config.dataset, data_dir)


def _load(config, data_dir):
    with console.hushed():
        return datasets.load(
            config.dataset, (config.train_split, config.eval_split), config.image_size, data_dir,
            as_stored=config.augmentation in ON_HOST,
        )  # fmt: skip


def settled(config: ConfigDict, dataset: Dataset) -> ConfigDict:
    """The config with what it left to the data set."""
    config = ConfigDict(config.to_dict())
    config.image_size, config.eval_split = dataset.image_size, dataset.eval_split
    config.augmentation = config.augmentation or ('shift' if dataset.one_size else 'resized_crop_flip')
    return config


def shapes_of_data(config: ConfigDict, data_dir: str | os.PathLike | None) -> tuple[ConfigDict, int, int]:
    """The config with what it left to the data set, and the data's classes and channels; no image is read for a preset.

    Raises:
        UserError: if the data set is not there.
    """
    if config.image_size and config.augmentation:
        source = _open(config, data_dir)
        return config, source.num_classes, source.image_shape[2] if source.image_shape else 3
    dataset = _load(config, data_dir)
    return settled(config, dataset), dataset.num_classes, dataset.train.image_shape[2]


def train_step_of(config: ConfigDict, dataset: Dataset, total_steps: int) -> tuple[nn.Module, Any, Callable]:
    """The network of a settled config, its optimizer, and the train step of both on a data set."""
    model = network(config, dataset.num_classes)
    optimizer = optimizer_of(config, total_steps, len(dataset.train))
    augment = augmentation(config.augmentation)
    return model, optimizer, make_train_step(model, optimizer, augment, dataset.mean, dataset.std)


def network(config: ConfigDict, num_classes: int) -> nn.Module:
    """The network of a config, which normalises as the config says."""
    name, options = network_and_options(config)
    model = create_model(name, num_classes, config.image_size, jnp.dtype(config.precision), options)
    return NormInGroups(model, config.batch_norm_group) if config.batch_norm_group else model


def network_and_options(config: ConfigDict) -> tuple[str, dict[str, Any]]:
    """The name of a config's network, and the options that the config sets."""
    options = config.model.to_dict()
    return options.pop('name'), options


def optimizer_of(config: ConfigDict, total_steps: int, num_train: int) -> Any:
    """The optimizer of a config, with its schedule over a run of that many steps; warm-up takes half at the most."""
    warmup_steps = min(round(config.warmup_epochs * num_train / config.batch_size), total_steps // 2)
    schedule = make_schedule(config.schedule, config.learning_rate, total_steps, warmup_steps)
    return make_optimizer(
        config.optimizer.name, schedule, config.weight_decay, config.optimizer.momentum, config.gradient_clip_norm
    )
