"""The networks of games by name: what each is, when it was published, and how to make one."""

import dataclasses
import datetime
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.errors import UserError
from efficiency.tasks.registry import Registry, check_option


@dataclasses.dataclass(frozen=True)
class Entry:
    """A registered network.

    Attributes:
        name: what a config calls it.
        network: makes the module from `actions` and `dtype`.
        task: of which task it is, 'board_games' or 'arcade_games'.
        paper: whose network this is a small one of.
        published: the day that was.
        options: attributes of the module that a config may set, as `config.model.<option>`.
    """

    name: str
    network: Callable[..., nn.Module]
    task: str
    paper: str
    published: datetime.date
    options: tuple[str, ...]


_registry = Registry[Entry]()
list_models, model_entry = _registry.list_models, _registry.model_entry


def register(name: str, *, task: str, paper: str, published: str, options: tuple[str, ...] = ()) -> Callable:
    """Registers a network under a name; a decorator for its module class.

    Args:
        name: unique among the networks.
        task, paper, options: see `Entry`.
        published: ISO date.

    Raises:
        ValueError: if the name is taken.
    """

    def entry_of(network):
        return Entry(name, network, task, paper, datetime.date.fromisoformat(published), tuple(options))

    return _registry.register(name, entry_of)


def models_of(task: str, pattern: str = '*') -> list[str]:
    """Names of a task's networks that match a shell pattern, sorted."""
    return [name for name in list_models(pattern) if model_entry(name).task == task]


def create_model(
    name: str,
    task: str,
    actions: int,
    dtype: DTypeLike = jnp.float32,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> nn.Module:
    """Makes a network.

    Args:
        name: see `list_models`.
        task: that it must be of.
        actions: how many moves a game has.
        dtype: what it computes in; parameters stay float32.
        options: the network's own, as {'width': 32}.

    Raises:
        UserError: if the task has no network of that name, or it has no such option or not with such a value.
    """
    entry = model_entry(name)
    if entry.task != task:
        there_are = ', '.join(models_of(task))
        raise UserError(f'the model {name} is of {entry.task}, and the task is {task}, whose models are {there_are}')
    for option, value in options.items():
        check_option(entry, option, value)
    return entry.network(actions=actions, dtype=dtype, **options)
