"""The networks by name: what each is, when it and its parts were published, and how to make one."""

import dataclasses
import datetime
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.data.tokens import UNKNOWN
from efficiency.errors import UserError, shown
from efficiency.tasks.language.networks.parts import PARTS, WORDS
from efficiency.tasks.registry import Registry, check_option
from efficiency.values import is_whole


@dataclasses.dataclass(frozen=True)
class Entry:
    """A registered network.

    Attributes:
        name: what a config calls it.
        network: makes the module from `vocabulary`, `context` and `dtype`.
        paper: where it was published, as 'arXiv:1706.03762'.
        published: the day it was.
        options: attributes of the module that a config may set, as `config.model.<option>`.
        objective: what it is asked, of `efficiency.tasks.language.data.objectives.OBJECTIVES`.
        vocabulary, context: of a network of the paper's size, its own.
    """

    name: str
    network: Callable[..., nn.Module]
    paper: str
    published: datetime.date
    options: tuple[str, ...]
    objective: str
    vocabulary: int | None
    context: int | None

    def published_with(self, options: Mapping[str, Any]) -> datetime.date:
        """The day on which the last of what it is made of was published, with these options of a config."""
        defaults = inspect.signature(self.network).parameters
        asked = {name: options.get(name, each.default) for name, each in defaults.items()}
        chosen = [of(asked) for option, of in PARTS.items() if option in self.options]
        return max([self.published, *(part.published for part in chosen if part)])


_registry = Registry[Entry]()
list_models, model_entry = _registry.list_models, _registry.model_entry


def register(
    name: str,
    *,
    paper: str,
    published: str,
    options: tuple[str, ...] = (),
    objective: str = 'next',
    vocabulary: int | None = None,
    context: int | None = None,
) -> Callable:
    """Registers a network under a name; a decorator for its module class, or for a partial of one.

    Args:
        name: unique among the networks.
        paper: as 'arXiv:1706.03762'.
        published: ISO date.
        options, objective, vocabulary, context: see `Entry`.

    Raises:
        ValueError: if the name is taken.
    """

    def entry_of(network):
        date = datetime.date.fromisoformat(published)
        return Entry(name, network, paper, date, tuple(options), objective, vocabulary, context)

    return _registry.register(name, entry_of)


def create_model(
    name: str,
    vocabulary: int | None = None,
    context: int | None = None,
    dtype: DTypeLike = jnp.float32,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> nn.Module:
    """Makes a network: a linen module from tokens to logits, see `efficiency.tasks.language.networks`.

    Args:
        name: see `list_models`.
        vocabulary: how many tokens there are; by default the paper's, of a network of the paper's size.
        context: how many tokens a row may have; by default the paper's likewise.
        dtype: what it computes in; parameters stay float32.
        options: the network's own, as {'dropout': 0.3}.

    Raises:
        UserError: if no network has that name, it has no such option or not with such a value, or `vocabulary` or
            `context` are not given or too small. What options say of one another is found when the network is applied
            or its shapes are asked for.
    """
    entry = model_entry(name)
    sizes = {}
    for what, says, size, own, least in (
        ('vocabulary', 'there are', vocabulary, entry.vocabulary, UNKNOWN + 1),
        ('context', 'a row has', context, entry.context, 1),
    ):
        if size is None and own is None:
            raise UserError(f'{name} is of no published {what}; {what} must say how many tokens {says}')
        sizes[what] = own if size is None else size
        if not is_whole(sizes[what]) or sizes[what] < least:
            raise UserError(f'{what} is {shown(size)}; it must be a whole number, {least} or more')
    for option, value in options.items():
        check_option(entry, option, value, WORDS)
    return entry.network(**sizes, dtype=dtype, **options)
