"""What a config must hold, checked before anything is made or compiled."""

import difflib
import json
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from efficiency.errors import UserError, shown
from efficiency.layers.precision import FLOATING
from efficiency.metrics import Metric
from efficiency.records import LATER_CONFIG_KEYS, later_config_keys
from efficiency.stages import check_stages, stages_of
from efficiency.tasks import known_tasks, task_entry
from efficiency.values import (
    ABOVE_ZERO,
    AT_LEAST_ZERO,
    NAME,
    SECTION,
    SHARE_BELOW_1,
    TRUTH,
    Rule,
    is_number,
    number,
    one_of,
    or_none,
    whole,
)

# Far above what any machine trains at once.
_MOST_EXAMPLES = 2**20
# Keys that a config may leave out, and what they are then.
_DEFAULTS = {
    'gradient_clip_norm': 0.0,
    'init_from': '',
    'precision': 'float32',
    'seed': 0,
    'stop_at_target': True,
    'warmup_epochs': 0.0,
    'weight_decay': 0.0,
}

# What begins the names of keys that those whom a config names check themselves.
_WITH_OWN_KEYS = ('averaging.', 'model.', 'optimizer.')
# Of these the ones that several have, which have defaults for what a config leaves out.
OWN_RULES: dict[str, Rule] = {
    'averaging.count': whole(1, 1000),
    'averaging.decay': Rule(lambda v: is_number(v) and 0 < v < 1, 'a number above 0 and below 1'),
    'averaging.every': number(1e-9, 1e9),
    'optimizer.b2': SHARE_BELOW_1,
    'optimizer.eps': number(1e-300, 1),
    'optimizer.groups': Rule(
        lambda v: isinstance(v, list | tuple),
        "a list of groups, as [{'params': 'bias|scale', 'weight_decay': 0.0}]",
    ),
    'optimizer.momentum': SHARE_BELOW_1,
    'optimizer.nesterov': TRUTH,
    'optimizer.ns_steps': whole(1, 100),
    'optimizer.output_axes': whole(1, 8),
}
# Of every task; what else a config has is its task's.
_RULES: dict[str, Rule] = {
    **OWN_RULES,
    'averaging': SECTION,
    'averaging.name': NAME,
    'batch_size': whole(1, _MOST_EXAMPLES),
    'dataset': NAME,
    'eval_every': number(1e-9, 1e9),
    'gradient_clip_norm': AT_LEAST_ZERO,
    'init_from': Rule(lambda v: isinstance(v, str), 'the path of a safetensors file, or nothing'),
    'learning_rate': ABOVE_ZERO,
    'microbatches': whole(1, 4096),
    'model': SECTION,
    'model.name': NAME,
    'num_epochs': number(1e-9, 1e9),
    'optimizer': SECTION,
    'optimizer.name': NAME,
    'precision': one_of(FLOATING),
    'schedule': NAME,
    'schedule_epochs': or_none(number(1e-9, 1e9), "the run's own"),
    'seed': whole(0, 2**31 - 1),
    'stages': Rule(lambda v: isinstance(v, list | tuple), 'a sequence of pairs, (from epoch, {keys}), or empty'),
    'stop_at_target': TRUTH,
    'target': SECTION,
    'task': NAME,
    'warmup_epochs': number(0, 1e9),
    'weight_decay': AT_LEAST_ZERO,
}


def _of_target(metrics: Mapping[str, Metric], target: Any = None) -> dict[str, Rule]:
    """The rules of a target on one of these metrics; `target` is its name, where it is known."""
    known = isinstance(target, str) and target in metrics
    levels = [metrics[target]] if known else list(metrics.values())
    return {
        'target.metric': one_of(tuple(metrics)),
        'target.value': Rule(
            lambda v: v is None or any(metric.is_level(v) for metric in levels),
            ' or '.join(dict.fromkeys(metric.wanted for metric in levels)),
        ),
    }


def wanted(key: str) -> str | None:
    """What the value of a key must be, in words; None where no task has such a key."""
    rules, metrics = {}, {}
    for entry in known_tasks():
        rules |= entry.settings
        metrics |= entry.metrics
    rules |= _RULES | _of_target(metrics)
    return rules[key].words if key in rules else None


def check_value(key: str, value: Any, where: str | None = None) -> None:
    """Checks a value as that of a key that configs of every task may have.

    Args:
        key: that key.
        value: anything.
        where: it stands, for the message; `config.<key>` where None.

    Raises:
        UserError: if it cannot be, with what would be right.
    """
    _check(_RULES[key], value, where or f'config.{key}')


def _check(rule: Rule, value: Any, where: str) -> None:
    if not rule.allows(value):
        raise UserError(f'{where} is {shown(value)}; it must be {rule.words}')


def check_config(config: ConfigDict) -> ConfigDict:
    """Checks that a config has every key that it needs, each with a value that can be, and no other.

    The keys of its network and optimizer that are their own are for these to check.

    Returns:
        The config with what it left out.

    Raises:
        UserError: for the first that is wrong, with what would be right.
    """
    if not isinstance(config, ConfigDict):
        raise UserError(f'get_config returned {type(config).__name__}; it must return an ml_collections.ConfigDict')
    task = config.get('task', LATER_CONFIG_KEYS['task'])
    if not _RULES['task'].allows(task):
        raise UserError(f'config.task is {shown(task)}; it must be {_RULES["task"].words}')
    entry = task_entry(task)
    target = config.get('target')
    metric = target.get('metric') if isinstance(target, ConfigDict) else None
    rules = _RULES | dict(entry.settings) | _of_target(entry.metrics, metric)
    defaults = _DEFAULTS | later_config_keys({'task': task}) | dict(entry.defaults)
    left_out = {key: value for key, value in defaults.items() if key in rules}
    config = ConfigDict({**left_out, **config.to_dict()})
    _check_keys(config, rules)
    _check_values(config, rules)
    check_stages(config, entry.stage_keys)
    entry.check(config)
    for from_epoch, stage in stages_of(config) if config.stages else ():
        try:
            _check_keys(stage, rules)
            _check_values(stage, rules)
            entry.check(stage)
        except UserError as error:
            raise UserError(f'in the stage from epoch {from_epoch:g}, {error}') from error
    try:
        json.dumps(config.to_dict(), allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise UserError(f'the config cannot be kept in a record: {error}; its values must be plain ones') from error
    return config


def _check_keys(config: ConfigDict, rules: dict[str, Rule]) -> None:
    for key in sorted(rules):
        *sections, name = key.split('.')
        holder = config
        for section in sections:
            holder = holder[section]
            if not isinstance(holder, ConfigDict):
                raise UserError(f'config.{section} is {shown(holder)}; it must be {rules[section].words}')
        if name not in holder and key not in OWN_RULES:
            raise UserError(f'the config has no {key}; configs/common.py shows what a config needs')
    inside = [f'{key}.{name}' for key in config if isinstance(config[key], ConfigDict) for name in config[key]]
    for key in [*config, *inside]:
        if key not in rules and not key.startswith(_WITH_OWN_KEYS):
            near = difflib.get_close_matches(str(key), rules, n=1)
            hint = f'did you mean {near[0]}?' if near else 'configs/common.py shows those there are'
            raise UserError(f'the config has the key {shown(key)}, which means nothing here; {hint}')


def _check_values(config: ConfigDict, rules: dict[str, Rule]) -> None:
    for key, rule in sorted(rules.items()):
        *sections, name = key.split('.')
        holder = config
        for section in sections:
            holder = holder[section]
        if name in holder:
            _check(rule, holder[name], f'config.{key}')
