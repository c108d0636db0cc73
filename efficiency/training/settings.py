"""What a config must hold, checked before anything is made or compiled."""

import difflib
import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from efficiency.errors import UserError, shown
from efficiency.metrics import Metric
from efficiency.records import LATER_CONFIG_KEYS

# Far above what any machine trains at once, far below what the smallest slip of a key makes of a number.
_MOST_EXAMPLES, _LARGEST_IMAGE = 2**20, 2**12
_PRECISIONS = ('float32', 'bfloat16')

_Rule = tuple[Callable[[Any], bool], str]


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_whole(value) or isinstance(value, float)


def _whole(low: int, high: int) -> _Rule:
    return lambda v: _is_whole(v) and low <= v <= high, f'a whole number from {low} to {high}'


def _number(low: float, high: float) -> _Rule:
    return lambda v: _is_number(v) and low <= v <= high, f'a number from {low:g} to {high:g}'


def _above_zero() -> _Rule:
    return lambda v: _is_number(v) and 0 < v < math.inf, 'a number above 0'


def _at_least_zero() -> _Rule:
    return lambda v: _is_number(v) and 0 <= v < math.inf, 'a number, at least 0'


def _one_of(values: tuple[str, ...]) -> _Rule:
    return lambda v: isinstance(v, str) and v in values, ' or '.join(values)


def _or_none(rule: _Rule, otherwise: str) -> _Rule:
    return lambda v: v is None or rule[0](v), f'{rule[1]}, or nothing: {otherwise}'


_NAME: _Rule = (lambda v: isinstance(v, str) and v != '', 'a name')
_TRUTH: _Rule = (lambda v: isinstance(v, bool), 'True or False')
_SECTION: _Rule = (lambda v: isinstance(v, ConfigDict), 'a section with keys of its own')

_RULES: dict[str, _Rule] = {
    'augmentation': _or_none(_NAME, 'shift, or resized_crop_flip where images differ in size'),
    'batch_norm_group': (
        lambda v: _is_whole(v) and 0 <= v <= _MOST_EXAMPLES,
        'a whole number of examples that divides batch_size, or 0: the whole batch',
    ),
    'batch_size': _whole(1, _MOST_EXAMPLES),
    'dataset': _NAME,
    'eval_batch_size': _whole(1, _MOST_EXAMPLES),
    'eval_only': _TRUTH,
    'eval_every': _number(1e-9, 1e9),
    'eval_split': _or_none(_NAME, 'the first there is of validation, val and test'),
    'gradient_clip_norm': _at_least_zero(),
    'image_size': _or_none(_whole(1, _LARGEST_IMAGE), "the images' own"),
    'init_from': (lambda v: isinstance(v, str), 'the path of a safetensors file, or nothing'),
    'learning_rate': _above_zero(),
    'model': _SECTION,
    'model.name': _NAME,
    'num_epochs': _number(1e-9, 1e9),
    'optimizer': _SECTION,
    'optimizer.momentum': (lambda v: _is_number(v) and 0 <= v < 1, 'a number, at least 0 and below 1'),
    'optimizer.name': _NAME,
    'precision': _one_of(_PRECISIONS),
    'preset': _NAME,
    'schedule': _NAME,
    'seed': _whole(0, 2**31 - 1),
    'stop_at_target': _TRUTH,
    'target': _SECTION,
    'tensorboard': _TRUTH,
    'train_split': _NAME,
    'warmup_epochs': _number(0, 1e9),
    'weight_decay': _at_least_zero(),
}


def _rules(metrics: Mapping[str, Metric], target: Any = None) -> dict[str, _Rule]:
    """All rules, those of a target on one of these metrics among them; `target` is its name, where it is known."""
    of_target = [metrics[target]] if isinstance(target, str) and target in metrics else list(metrics.values())
    return _RULES | {
        'target.metric': _one_of(tuple(metrics)),
        'target.value': (
            lambda v: v is None or any(metric.is_level(v) for metric in of_target),
            ' or '.join(dict.fromkeys(metric.wanted for metric in of_target)),
        ),
    }


def wanted(key: str, metrics: Mapping[str, Metric]) -> str | None:
    """What the value of a key must be, in words, of a task with these metrics; None where there is no such key."""
    rules = _rules(metrics)
    return rules[key][1] if key in rules else None


def check_config(config: ConfigDict, metrics: Mapping[str, Metric]) -> None:
    """Checks that a config has every key, no other, and each with a value that can be.

    Args:
        metrics: of the config's task, any of which can be its target.

    Raises:
        UserError: for the first that is wrong, with what would be right.
    """
    if not isinstance(config, ConfigDict):
        raise UserError(f'get_config returned {type(config).__name__}; it must return an ml_collections.ConfigDict')
    target = config.get('target')
    rules = _rules(metrics, target.get('metric') if isinstance(target, ConfigDict) else None)
    for key, (ok, words) in sorted(rules.items()):
        *sections, name = key.split('.')
        holder = config
        for section in sections:
            holder = holder[section]
        if name not in holder:
            raise UserError(f'the config has no {key}; configs/common.py shows what a config needs')
        value = holder[name]
        if not ok(value):
            raise UserError(f'config.{key} is {shown(value)}; it must be {words}')
    inside = [f'{key}.{name}' for key in config if isinstance(config[key], ConfigDict) for name in config[key]]
    for key in [*config, *inside]:
        if key not in rules and not key.startswith('model.'):  # those are the network's to check
            near = difflib.get_close_matches(str(key), rules, n=1)
            hint = f'did you mean {near[0]}?' if near else 'configs/common.py shows those there are'
            raise UserError(f'the config has the key {shown(key)}, which means nothing here; {hint}')
    try:
        json.dumps(config.to_dict(), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UserError(f'the config cannot be kept in a record: {error}; its values must be plain ones') from error
    if config.preset != config.dataset:
        raise UserError(
            f'config.dataset is {shown(config.dataset)}, but target and recipe are those of {config.preset}; choose '
            f'a data set together with its recipe, as in --config=configs/shufflenet.py:{config.dataset}'
        )
    batch, group = config.batch_size, config.batch_norm_group
    if group and batch % group:
        near = min((size for size in range(1, batch + 1) if batch % size == 0), key=lambda size: abs(size - group))
        raise UserError(f'config.batch_norm_group {group} does not divide batch_size {batch}; {near} would')


def run_name(config: ConfigDict) -> str:
    """'<model>-<dataset>-<hash of the config>-s<seed>': the same for every seed but for its end.

    A key that is younger than the first runs changes nothing at the value that they stand for.
    """
    settings = dict(item for item in config.to_dict().items() if item not in LATER_CONFIG_KEYS.items())
    del settings['seed']
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    name = re.sub(r'[^\w.+-]', '_', f'{config.model.name}-{config.dataset}')
    return f'{name}-{digest}-s{config.seed}'


def differing_keys(ours: dict, theirs: dict, prefix: str = '') -> list[str]:
    """Dotted names of the keys in which two configs differ, either lacking one included.

    A value of ours that is None differs from nothing: it stands for what their data set made of it.
    """
    names = []
    for key in sorted(ours.keys() | theirs.keys()):
        mine, other = ours.get(key), theirs.get(key)
        if isinstance(mine, dict) and isinstance(other, dict):
            names += differing_keys(mine, other, f'{prefix}{key}.')
        elif mine != other and not (key in ours and key in theirs and mine is None):
            names.append(prefix + key)
    return names
