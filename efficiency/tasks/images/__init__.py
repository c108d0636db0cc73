"""Classifying images: the paper's own domain."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from efficiency.errors import UserError
from efficiency.layers.precision import FIXED, FLOATING
from efficiency.metrics import OF_CLASSES
from efficiency.tasks import register_task
from efficiency.values import NAME, SHARE_BELOW_1, Rule, is_whole, one_of, or_none, whole

if TYPE_CHECKING:
    from efficiency.tasks.images.task import Images

# Far above what any machine trains at once, far below what the smallest slip of a key makes of a number.
_MOST_EXAMPLES, _LARGEST_IMAGE = 2**20, 2**12
# Of an image in evaluation, and how many forward passes they take; see `efficiency.tasks.images.views`.
PASSES = {'one': 1, 'mirrored': 2, 'mirrored_and_shifted': 6}

_SETTINGS = {
    'augmentation': or_none(NAME, 'shift, or resized_crop_flip where images differ in size'),
    'batch_norm_group': Rule(
        lambda v: is_whole(v) and 0 <= v <= _MOST_EXAMPLES,
        'a whole number of examples that divides batch_size, or 0: the whole batch',
    ),
    'eval_batch_size': whole(1, _MOST_EXAMPLES),
    'eval_views': one_of(tuple(PASSES)),
    'eval_split': or_none(NAME, 'the first there is of validation, val and test'),
    'image_size': or_none(whole(1, _LARGEST_IMAGE), "the images' own"),
    'label_smoothing': SHARE_BELOW_1,
    'precision': one_of((*FLOATING, *FIXED)),
    'train_split': NAME,
}


def _check(config: ConfigDict) -> None:
    batch, group = config.batch_size, config.batch_norm_group
    if group and batch % group:
        near = min((size for size in range(1, batch + 1) if batch % size == 0), key=lambda size: abs(size - group))
        raise UserError(f'config.batch_norm_group {group} does not divide batch_size {batch}; {near} would')


def _check_names(config: ConfigDict) -> None:
    from efficiency.tasks.images.data.augment import augmentation
    from efficiency.tasks.images.task import network

    network(config, 1)  # for its name and options
    if config.augmentation:
        augmentation(config.augmentation)


def _outline(config: ConfigDict, data_dir: str | os.PathLike | None, known: Mapping[str, Any]) -> 'Images':
    from efficiency.tasks.images.task import outlined

    return outlined(config, data_dir, known)


@register_task(
    'images', metrics=OF_CLASSES.values(), settings=_SETTINGS,
    stage_keys=('augmentation', 'batch_norm_group', 'image_size', 'label_smoothing'), check=_check,
    check_names=_check_names, outline=_outline, networks='efficiency.tasks.images.alone',
)  # fmt: skip
def _open(config: ConfigDict, data_dir: str | os.PathLike | None) -> 'Images':
    from efficiency.tasks.images.task import opened

    return opened(config, data_dir)
