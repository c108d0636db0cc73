"""Language: what follows of a text, from LSTMs to today's Transformers, in bits a byte.

`efficiency.tasks.language.cloze` is the same of networks that are asked for what is hidden in a text.
"""

import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from efficiency.errors import UserError
from efficiency.metrics import Metric
from efficiency.tasks import register_task
from efficiency.values import NAME, Rule, is_whole, number, or_none, whole

if TYPE_CHECKING:
    from efficiency.tasks.language.task import Language

_LONGEST = 2**16
# A piece for each byte, those that every vocabulary begins with, and an end of a line.
_FEWEST_PIECES = 262
PERPLEXITY = Metric('perplexity', 'tokens', False, 1)
SETTINGS = {
    'context': whole(2, _LONGEST),
    'eval_batch_size': whole(1, 2**20),
    'eval_split': NAME,
    'text': Rule(lambda v: isinstance(v, str), 'the name of a text feature, or empty for text'),
    'train_split': NAME,
    'vocabulary': Rule(
        lambda v: v == 'bytes' or (is_whole(v) and _FEWEST_PIECES <= v <= 2**20),
        f"'bytes', or a whole number of pieces, from {_FEWEST_PIECES}",
    ),
    'z_loss': number(0, 1),
}
DEFAULTS = {'text': '', 'z_loss': 0.0}


def perplexity(loss: float) -> float:
    """Of a mean loss in nats a token; the largest number where it is beyond that."""
    return math.exp(min(loss, 690.0))


def check_names(config: ConfigDict) -> None:
    """See `efficiency.tasks.Entry`."""
    from efficiency.tasks.language.task import network

    network(config)


def outline(config: ConfigDict, data_dir: str | os.PathLike | None, known: Mapping[str, Any]) -> 'Language':
    """See `efficiency.tasks.Entry`."""
    from efficiency.tasks.language.task import Language

    return Language(config)


def _check(config: ConfigDict) -> None:
    if config.eval_stride is not None and config.eval_stride > config.context:
        raise UserError(
            f'config.eval_stride is {config.eval_stride}, longer than config.context, {config.context}: what lies '
            'between two windows would not be evaluated'
        )


@register_task(
    'language', metrics=(Metric('bits_per_byte', 'bits per byte', False, 0), PERPLEXITY),
    settings=SETTINGS | {'eval_stride': or_none(whole(1, _LONGEST), 'the context')},
    defaults=DEFAULTS | {'eval_stride': None}, stage_keys=('z_loss',), check=_check, check_names=check_names,
    outline=outline, networks='efficiency.tasks.language.alone',
)  # fmt: skip
def _open(config: ConfigDict, data_dir: str | os.PathLike | None) -> 'Language':
    from efficiency.tasks.language.task import opened

    return opened(config, data_dir)
