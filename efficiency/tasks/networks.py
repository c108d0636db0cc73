"""The networks of all tasks by name, and a network alone: with neither data nor an optimizer, to be counted."""

import fnmatch
import importlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from flax import linen as nn

from efficiency.errors import UserError, named
from efficiency.tasks import Entry, known_tasks
from efficiency.tasks.task import Forward, Loss


class Alone(NamedTuple):
    """A network, and what its task trains it on, from shapes.

    Attributes:
        network: the module.
        variables: its parameters and other collections, as shapes.
        evaluation: the jaxpr of its forward pass over one example, as in evaluation; None where it has to be traced.
        forward: that pass.
        loss: of a batch.
        batch: its shapes and types, the examples first.
        sizes: what was asked for, or is its own, by name: {'image_size': 224}.
    """

    network: nn.Module
    variables: Mapping[str, Any]
    evaluation: Any
    forward: Forward
    loss: Loss
    batch: Mapping[str, tuple[tuple[int, ...], Any]]
    sizes: Mapping[str, Any]


def list_networks(pattern: str = '*', task: str | None = None) -> list[str]:
    """Names of the networks of all tasks, or one, that match a shell pattern, sorted."""
    tasks = [entry for entry in known_tasks() if entry.networks and task in (None, entry.name)]
    return sorted(fnmatch.filter((name for entry in tasks for name in _module(entry).list_models()), pattern))


def network_entry(name: str) -> tuple[Entry, Any]:
    """The task of the network of that name, and what is registered of it.

    Raises:
        UserError: if there is none; names the nearest.
    """
    found = {
        each: entry for entry in reversed(known_tasks()) if entry.networks for each in _module(entry).list_models()
    }
    entry = named(found, 'model', name)
    return entry, _module(entry).model_entry(name)


def sizes_of(entry: Entry) -> Sequence[str]:
    """What sizes the networks of a task have, as 'image_size'."""
    return _module(entry).SIZES


def alone(
    name: str, batch_size: int = 1, options: Mapping[str, Any] = MappingProxyType({}), **sizes: Any
) -> tuple[str, Alone]:
    """A network, with the name of its task.

    Args:
        name: see `list_networks`.
        batch_size: examples of a step.
        options: of the network, as `config.model` has them.
        sizes: those that its task's networks have, as `image_size` and `num_classes`, or `length`; None for its own.

    Raises:
        UserError: if there is no such network, it has no such size or option, or not with such a value.
    """
    entry, _ = network_entry(name)
    module = _module(entry)
    wanted = {size: value for size, value in sizes.items() if value is not None}
    if odd := next((size for size in wanted if size not in sizes_of(entry)), None):
        raise UserError(f'{odd} is no size of {name}, of {entry.name}; its sizes are {", ".join(sizes_of(entry))}')
    return entry.name, module.alone(name, batch_size, options, **wanted)


def _module(entry: Entry) -> Any:
    return importlib.import_module(entry.networks)
