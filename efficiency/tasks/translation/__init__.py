"""Translating sentences: the paper's second domain, from Seq2Seq to the Transformer."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from efficiency.errors import UserError
from efficiency.metrics import Metric
from efficiency.tasks import register_task
from efficiency.values import NAME, SHARE_BELOW_1, Rule, is_whole, number, whole

if TYPE_CHECKING:
    from efficiency.tasks.translation.task import Translation

METRICS = (
    Metric('bleu', 'BLEU', True, 0, 100),
    Metric('chrf', 'chrF2', True, 0, 100),
    Metric('bits_per_byte', 'bits per byte', False, 0),
)
_LONGEST = 4096


def _are_lengths(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) > 0
        and all(is_whole(each) and 2 <= each <= _LONGEST for each in value)
        and list(value) == sorted(set(value))
    )


_SETTINGS = {
    'beam': whole(1, 64),
    'buckets': Rule(_are_lengths, f'lengths in tokens that rise, from 2 to {_LONGEST}, as (16, 24, 40)'),
    'eval_batch_size': whole(1, 2**20),
    'eval_length': whole(2, _LONGEST),
    'eval_split': NAME,
    'label_smoothing': SHARE_BELOW_1,
    'length_penalty': number(0, 10),
    'test_split': NAME,
    'train_split': NAME,
    'vocabulary': whole(8, 2**20),
}


def _check(config: ConfigDict) -> None:
    from efficiency.tasks.translation.data.text import names_of

    names_of(config.dataset)
    if config.eval_length < config.buckets[-1]:
        raise UserError(
            f'config.eval_length is {config.eval_length}, and the longest of config.buckets {config.buckets[-1]}; it '
            'must be as long at least'
        )


def _check_names(config: ConfigDict) -> None:
    from efficiency.tasks.translation.evaluation import LONGER
    from efficiency.tasks.translation.task import network

    # Found out before training: perhaps only a sentence of the test, at a run's end, is as long.
    positions = getattr(network(config), 'positions', None)
    if positions is not None and config.eval_length + LONGER > positions:
        raise UserError(
            f'config.eval_length is {config.eval_length}; {config.model.name} knows {positions} positions, and a '
            f'translation may be {LONGER} tokens longer, so that it must be {positions - LONGER} at most'
        )


def _outline(config: ConfigDict, data_dir: str | os.PathLike | None, known: Mapping[str, Any]) -> 'Translation':
    from efficiency.tasks.translation.task import Translation

    return Translation(config)


@register_task(
    'translation', metrics=METRICS, settings=_SETTINGS, stage_keys=('label_smoothing',), check=_check,
    check_names=_check_names, outline=_outline, networks='efficiency.tasks.translation.alone',
)  # fmt: skip
def _open(config: ConfigDict, data_dir: str | os.PathLike | None) -> 'Translation':
    from efficiency.tasks.translation.task import opened

    return opened(config, data_dir)
