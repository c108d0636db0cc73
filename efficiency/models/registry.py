"""The networks by name: what each is, when it was published, and how to make one."""

import dataclasses
import datetime
import fnmatch
from collections.abc import Callable, Mapping
from types import MappingProxyType

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.errors import named


@dataclasses.dataclass(frozen=True)
class Entry:
    """A registered network.

    Attributes:
        name: what a config calls it.
        network: makes the module from `num_classes`, `image_size` and `dtype`.
        paper: where it was published, as 'arXiv:1707.01083'.
        published: the day it was.
        image_size: pixels a side that it was designed for.
        torch_names: what torch calls the modules that are named otherwise here, by their names here.
        flattened: pixels a side of the map that a linear layer sees flattened, by the layer's name.
    """

    name: str
    network: Callable[..., nn.Module]
    paper: str
    published: datetime.date
    image_size: int
    torch_names: Mapping[str, str]
    flattened: Mapping[str, int]


_entries: dict[str, Entry] = {}


def register(
    name: str,
    *,
    paper: str,
    published: str,
    image_size: int,
    torch_names: Mapping[str, str] = MappingProxyType({}),
    flattened: Mapping[str, int] = MappingProxyType({}),
) -> Callable:
    """Registers a network under a name; a decorator for its module class, or for a partial of one.

    Args:
        name: unique among the networks.
        paper: as 'arXiv:1707.01083'.
        published: ISO date.
        image_size: native size in pixels.
        torch_names, flattened: for `efficiency.models.torch_weights`, see `Entry`.

    Raises:
        ValueError: if the name is taken.
    """

    def add(network):
        if name in _entries:
            raise ValueError(f'a network named {name!r} is registered already')
        _entries[name] = Entry(
            name, network, paper, datetime.date.fromisoformat(published), image_size, torch_names, flattened
        )
        return network

    return add


def list_models(pattern: str = '*') -> list[str]:
    """Names of the registered networks that match a shell pattern, sorted."""
    return sorted(fnmatch.filter(_entries, pattern))


def model_entry(name: str) -> Entry:
    """The registered network of that name.

    Raises:
        UserError: if there is none; names the nearest.
    """
    return named(_entries, 'model', name)


def create_model(
    name: str, num_classes: int = 1000, image_size: int | None = None, dtype: DTypeLike = jnp.float32
) -> nn.Module:
    """Makes a network: a linen module from (n, size, size, 3) images to (n, num_classes) float32 logits.

    Its call takes the images and `train`, a bool: batch statistics and dropout as in training, or not.

    Args:
        name: see `list_models`.
        num_classes: width of the last layer.
        image_size: pixels a side of the images it will see, by default the network's own; at 64 and below it
            takes its small-image form (`efficiency.models.small`).
        dtype: what it computes in; parameters and logits stay float32.

    Raises:
        UserError: if no network has that name.
    """
    entry = model_entry(name)
    return entry.network(num_classes=num_classes, image_size=image_size or entry.image_size, dtype=dtype)
