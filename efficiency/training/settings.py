"""What a config must hold, checked before anything is made or compiled."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from efficiency.errors import UserError
from efficiency.records import METRICS

_KEYS = (
    'augmentation', 'batch_size', 'dataset', 'eval_batch_size', 'eval_every', 'eval_split', 'gradient_clip_norm',
    'image_size', 'learning_rate', 'model', 'num_epochs', 'optimizer', 'precision', 'schedule', 'seed',
    'stop_at_target', 'target', 'tensorboard', 'train_split', 'warmup_epochs', 'weight_decay',
)  # fmt: skip
_PRECISIONS = ('float32', 'bfloat16')


def _check(key: str, value: Any, ok: Callable[[Any], bool], wanted: str) -> None:
    if not ok(value):
        raise UserError(f'config.{key} is {value!r}; it must be {wanted}')


def check_config(config: ConfigDict) -> None:
    """Checks the values of a config that no other part would refuse by itself.

    Raises:
        UserError: for the first that cannot be, with what could.
    """
    missing = [key for key in _KEYS if key not in config]
    if missing:
        raise UserError(f'the config has no {", ".join(missing)}; configs/common.py shows what it needs')
    for key in ('batch_size', 'eval_batch_size', 'image_size'):
        _check(key, config[key], lambda v: v >= 1, 'at least 1')
    for key in ('num_epochs', 'eval_every', 'learning_rate'):
        _check(key, config[key], lambda v: 0 < v < float('inf'), 'above 0')
    for key in ('weight_decay', 'warmup_epochs', 'gradient_clip_norm'):
        _check(key, config[key], lambda v: 0 <= v < float('inf'), 'at least 0')
    _check('optimizer.momentum', config.optimizer.momentum, lambda v: 0 <= v < 1, 'at least 0 and below 1')
    _check('seed', config.seed, lambda v: 0 <= v < 2**31, 'at least 0 and below 2**31')
    _check('precision', config.precision, _PRECISIONS.__contains__, ' or '.join(_PRECISIONS))
    _check('target.metric', config.target.metric, METRICS.__contains__, ' or '.join(METRICS))
    _check('target.value', config.target.value, lambda v: 0 < v <= 1, 'a share above 0 and at most 1')


def run_name(config: ConfigDict) -> str:
    """'<model>-<dataset>-<hash of the config>-s<seed>': the same for every seed but for its end."""
    settings = config.to_dict()
    del settings['seed']
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    return f'{config.model.name}-{config.dataset}-{digest}-s{config.seed}'


def differing_keys(ours: dict, theirs: dict, prefix: str = '') -> list[str]:
    """Dotted names of the keys in which two configs differ, either lacking one included."""
    names = []
    for key in sorted(ours.keys() | theirs.keys()):
        mine, other = ours.get(key), theirs.get(key)
        if isinstance(mine, dict) and isinstance(other, dict):
            names += differing_keys(mine, other, f'{prefix}{key}.')
        elif mine != other:
            names.append(prefix + key)
    return names
