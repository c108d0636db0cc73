"""The networks by name: what each is, when it was published, and how to make one."""

import dataclasses
import datetime
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.data.tokens import UNKNOWN
from efficiency.errors import UserError, shown
from efficiency.tasks.registry import Registry, check_option


@dataclasses.dataclass(frozen=True)
class Entry:
    """A registered network.

    Attributes:
        name: what a config calls it.
        network: makes the module from `source_vocab`, `target_vocab` and `dtype`.
        paper: where it was published, as 'arXiv:1706.03762'.
        published: the day it was.
        options: attributes of the module that a config may set, as `config.model.<option>`.
        vocabularies: of source and target in the paper, of a network of the paper's size.
    """

    name: str
    network: Callable[..., nn.Module]
    paper: str
    published: datetime.date
    options: tuple[str, ...]
    vocabularies: tuple[int, int] | None


_registry = Registry[Entry]()
list_models, model_entry = _registry.list_models, _registry.model_entry


def register(
    name: str,
    *,
    paper: str,
    published: str,
    options: tuple[str, ...] = (),
    vocabularies: tuple[int, int] | None = None,
) -> Callable:
    """Registers a network under a name; a decorator for its module class, or for a partial of one.

    Args:
        name: unique among the networks.
        paper: as 'arXiv:1706.03762'.
        published: ISO date.
        options, vocabularies: see `Entry`.

    Raises:
        ValueError: if the name is taken.
    """

    def entry_of(network):
        return Entry(name, network, paper, datetime.date.fromisoformat(published), tuple(options), vocabularies)

    return _registry.register(name, entry_of)


def create_model(
    name: str,
    source_vocab: int | None = None,
    target_vocab: int | None = None,
    dtype: DTypeLike = jnp.float32,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> nn.Module:
    """Makes a network: a linen module from two sentences to logits, see `efficiency.tasks.translation.networks`.

    Args:
        name: see `list_models`.
        source_vocab, target_vocab: how many tokens each language has, the four special ones among them; by default
            the paper's, of a network of the paper's size.
        dtype: what it computes in; parameters stay float32.
        options: the network's own, as {'dropout': 0.3}.

    Raises:
        UserError: if no network has that name, or it has no such option or not with such a value, or a vocabulary is
            not given or too small. What sizes say of one another is found when the network is applied or its shapes
            are asked for.
    """
    entry = model_entry(name)
    sizes = []
    for i, (what, size) in enumerate((('source_vocab', source_vocab), ('target_vocab', target_vocab))):
        if size is None and entry.vocabularies is None:
            raise UserError(f'{name} is of no published vocabulary; {what} must say how many tokens there are')
        sizes.append(entry.vocabularies[i] if size is None else size)
        if not isinstance(sizes[i], int) or sizes[i] <= UNKNOWN:
            raise UserError(f'{what} is {shown(size)}; it must be a whole number above {UNKNOWN}')
    for option, value in options.items():
        check_option(entry, option, value)
    return entry.network(source_vocab=sizes[0], target_vocab=sizes[1], dtype=dtype, **options)
