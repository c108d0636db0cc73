"""The domains: what is trained on, to which metric. `register_task` adds one of your own.

`Task` is the contract that training asks, `DataTask` what most domains share of it.
"""

import dataclasses
import importlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from efficiency import registration
from efficiency.errors import named
from efficiency.metrics import Metric
from efficiency.values import Rule

if TYPE_CHECKING:
    from efficiency.tasks.task import Task

# The modules that register the tasks of this package, each imported when its task is asked for.
_OWN = {
    'arcade_games': 'efficiency.tasks.games',
    'board_games': 'efficiency.tasks.games',
    'cloze': 'efficiency.tasks.language.cloze',
    'images': 'efficiency.tasks.images',
    'language': 'efficiency.tasks.language',
    'translation': 'efficiency.tasks.translation',
}


@dataclasses.dataclass(frozen=True)
class Entry:
    """A registered task.

    Attributes:
        name: what a config calls it, as `config.task`.
        open: makes the task of a config and a --data_dir.
        metrics: what its evaluation gives, by name, any of which can be the target.
        settings: the keys of a config that are the task's own, and what their values may be.
        defaults: of those keys of `settings` that a config may leave out.
        stage_keys: those of `settings` that a stage may change.
        check: checks what keys of a config say of one another; jax is not imported for it.
        check_names: checks that what a config names is there, as its network; before its data are opened.
        outline: makes the task of a config as far as its shapes go, for counting: of the config, a --data_dir, and what
            is known of the data in place of that, as 'num_classes'. None where only the data tell.
        networks: the name of a module that has its networks alone (`efficiency.tasks.networks`); '' for none.
    """

    name: str
    open: Callable[[ConfigDict, str | os.PathLike | None], 'Task']
    metrics: Mapping[str, Metric]
    settings: Mapping[str, Rule]
    defaults: Mapping[str, Any]
    stage_keys: Sequence[str]
    check: Callable[[ConfigDict], None]
    check_names: Callable[[ConfigDict], None]
    outline: Callable[[ConfigDict, str | os.PathLike | None, Mapping[str, Any]], 'Task'] | None
    networks: str


_entries: dict[str, Entry] = {}


def register_task(
    name: str,
    *,
    metrics: Iterable[Metric],
    settings: Mapping[str, Rule] = MappingProxyType({}),
    defaults: Mapping[str, Any] = MappingProxyType({}),
    stage_keys: Sequence[str] = (),
    check: Callable[[ConfigDict], None] = lambda config: None,
    check_names: Callable[[ConfigDict], None] = lambda config: None,
    outline: Callable | None = None,
    networks: str = '',
) -> Callable:
    """Registers a task under a name that configs can use as `config.task`; a decorator for what opens it.

    That is a class or function of a checked config and the folder that --data_dir names (None where it was not given),
    which gives a `Task` and finds every mistake that the config makes about its data.

    Args:
        name: unique among the tasks.
        metrics, settings, defaults, stage_keys, check, check_names, outline, networks: see `Entry`.

    Raises:
        ValueError: if the name is taken, two metrics have one name, there is none, or keys do not fit together.
    """
    listed = list(metrics)
    by_name = {metric.name: metric for metric in listed}
    if not listed or len(by_name) < len(listed):
        raise ValueError(
            f'the task {name!r} has the metrics {[m.name for m in listed]}; it must have one or more, once each'
        )
    if isinstance(stage_keys, str) or not {*stage_keys, *defaults} <= settings.keys():
        raise ValueError(
            f'stage_keys and defaults of the task {name!r} must be keys of its settings, {", ".join(settings)}'
        )

    def add(opens):
        if name in _OWN and not opens.__module__.startswith(_OWN[name]):
            raise ValueError(f'a task named {name!r} is registered already')
        entry = Entry(name, opens, by_name, settings, defaults, stage_keys, check, check_names, outline, networks)
        registration.register(_entries, 'a task', name, opens, entry)
        return opens

    return add


def task_entry(name: str) -> Entry:
    """The registered task of that name.

    Raises:
        UserError: if there is none; names the nearest.
    """
    if name in _OWN:
        importlib.import_module(_OWN[name])
    return named({**dict.fromkeys(_OWN), **_entries}, 'task', name)


def known_tasks() -> list[Entry]:
    """Those of this package, and those that were registered so far."""
    for name in _OWN:
        task_entry(name)
    return list(_entries.values())


def open_task(config: ConfigDict, data_dir: str | os.PathLike | None) -> 'Task':
    """The task of a checked config, with its data.

    Raises:
        UserError: for a mistake in the config, or if its data are not there.
        DataError: if an example that must be read for it is damaged.
    """
    return task_entry(config.task).open(config, data_dir)


def outline_task(
    config: ConfigDict, data_dir: str | os.PathLike | None = None, known: Mapping[str, Any] = MappingProxyType({})
) -> 'Task':
    """The task of a checked config as far as the shapes of its programs go, for which no example is read.

    Args:
        config: checked.
        data_dir: where its data are asked for what they look like, if `known` does not say so.
        known: what a record says of the data (`Task.description`), or a part of that, in place of them.

    Raises:
        UserError: for a mistake in the config, or if its data are not there.
    """
    entry = task_entry(config.task)
    return entry.outline(config, data_dir, known) if entry.outline else entry.open(config, data_dir)


def __getattr__(name: str) -> Any:
    # What takes jax to import is there when it is asked for.
    if name in ('Arrays', 'DataTask', 'Task'):
        return getattr(importlib.import_module('efficiency.tasks.task'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
