"""The networks by name: what each is, when it was published, and how to make one."""

import dataclasses
import datetime
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.errors import UserError, shown
from efficiency.tasks.registry import Registry, check_has_option


@dataclasses.dataclass(frozen=True)
class Entry:
    """A registered network.

    Attributes:
        name: what a config calls it.
        network: makes the module from `num_classes`, `image_size` and `dtype`.
        paper: where it was published, as 'arXiv:1707.01083'.
        published: the day it was.
        image_size: pixels a side that it was designed for.
        options: attributes of the module that a config may set, as `config.model.<option>`.
        torch_names: what torch calls the modules and variables that are named otherwise here, by their names here.
        torch_legacy: names in published files of weights that torch itself reads as others: a regular expression,
            and what to put for each match of it.
        torch_extras: modules that torch's weights hold, and that are left out here unless an option asks for them.
        flattened: channels of the map that a linear layer sees flattened, by the layer's name.
    """

    name: str
    network: Callable[..., nn.Module]
    paper: str
    published: datetime.date
    image_size: int
    options: tuple[str, ...]
    torch_names: Mapping[str, str]
    torch_legacy: tuple[str, str] | None
    torch_extras: tuple[str, ...]
    flattened: Mapping[str, int]


_registry = Registry[Entry]()
list_models, model_entry = _registry.list_models, _registry.model_entry


def register(
    name: str,
    *,
    paper: str,
    published: str,
    image_size: int,
    options: tuple[str, ...] = (),
    torch_names: Mapping[str, str] = MappingProxyType({}),
    torch_legacy: tuple[str, str] | None = None,
    torch_extras: tuple[str, ...] = (),
    flattened: Mapping[str, int] = MappingProxyType({}),
) -> Callable:
    """Registers a network under a name; a decorator for its module class, or for a partial of one.

    Args:
        name: unique among the networks.
        paper: as 'arXiv:1707.01083'.
        published: ISO date.
        image_size: native size in pixels.
        options: attributes of the module that a config may set, as `config.model.<option>`.
        torch_names, torch_legacy, torch_extras, flattened: for `torch_weights`, see `Entry`.

    Raises:
        ValueError: if the name is taken.
    """

    def entry_of(network):
        return Entry(
            name, network, paper, datetime.date.fromisoformat(published), image_size, tuple(options), torch_names,
            torch_legacy, tuple(torch_extras), flattened,
        )  # fmt: skip

    return _registry.register(name, entry_of)


def create_model(
    name: str,
    num_classes: int = 1000,
    image_size: int | None = None,
    dtype: DTypeLike = jnp.float32,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> nn.Module:
    """Makes a network: a linen module from (n, size, size, 3) images to (n, num_classes) float32 logits.

    Its call takes the images and `train`, a bool: batch statistics and dropout as in training, or not. GoogLeNet with
    auxiliary heads gives, in training, (logits, (logits of a head, of the other)).

    Args:
        name: see `list_models`.
        num_classes: width of the last layer.
        image_size: pixels a side of the images it will see, by default the network's own; at 64 and below it
            takes its small-image form (`efficiency.tasks.images.networks.small`).
        dtype: what it computes in; parameters and logits stay float32.
        options: the network's own, as GoogLeNet's {'auxiliary_heads': True}.

    Raises:
        UserError: if no network has that name, or it has no such option or not with such a value, or a size or
            number of classes is no whole number above 0. Images too small for the network are found when it is applied
            or its shapes are asked for.
    """
    entry = model_entry(name)
    image_size = entry.image_size if image_size is None else image_size
    for what, number in (('image_size', image_size), ('num_classes', num_classes)):
        if not isinstance(number, int) or number < 1:
            raise UserError(f'{what} is {shown(number)}; it must be a whole number above 0')
    for option, value in options.items():
        check_has_option(entry, option)
        default = inspect.signature(entry.network).parameters[option].default
        if default is not inspect.Parameter.empty and type(value) is not type(default):
            raise UserError(f'option {option} of {name} is {shown(value)}; it must be like {default!r}')
    return entry.network(num_classes=num_classes, image_size=image_size, dtype=dtype, **options)
