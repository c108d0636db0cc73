"""Weights from torch: a state dict of torchvision's or timm's network, as the variables of ours.

A network's modules carry the names that torchvision gives them, so that the path of a parameter is its name there, but
for the last part. A family whose modules are named otherwise registers how.
"""

import math
import os
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from efficiency.errors import UserError
from efficiency.tasks.images.networks.registry import create_model, model_entry
from efficiency.tasks.images.networks.variables import variable_shapes

# Our last part of a path -> torch's.
_LEAVES = {'kernel': 'weight', 'scale': 'weight', 'bias': 'bias', 'mean': 'running_mean', 'var': 'running_var'}


def torch_name(path: tuple[str, ...], names: Mapping[str, str]) -> str:
    """What torch calls a variable: ('params', 'layer1.0', 'conv1', 'kernel') -> 'layer1.0.conv1.weight'.

    `names` are those of modules and variables that are called otherwise there.
    """
    _, *modules, leaf = path
    module, variable = '.'.join(modules), '.'.join((*modules, leaf))
    if variable in names:
        return names[variable]
    return '.'.join(part for part in (names.get(module, module), _LEAVES.get(leaf, leaf)) if part)


def from_torch(name: str, variables: dict, state: Mapping[str, np.ndarray]) -> dict:
    """The variables of a network with the values of a torch state dict.

    Args:
        name: of the network.
        variables: {'params': ..., 'batch_stats': ...}, arrays or shapes; their values are not used.
        state: arrays by torch's names; convolution kernels (out, in / groups, kh, kw), linear ones (out, in).

    Returns:
        Variables of the same structure, in the state's precision.

    Raises:
        UserError: if a variable is missing in the state, has another shape there, or the state has more than the
            network may have.
    """
    entry = model_entry(name)
    if entry.torch_legacy:
        pattern, replacement = entry.torch_legacy
        state = {re.sub(pattern, replacement, key): value for key, value in state.items()}
    left, taken = dict(state), {}
    for path, leaf in traverse_util.flatten_dict(variables).items():
        wanted = torch_name(path, entry.torch_names)
        if wanted not in left:
            raise UserError(f'the weights of {name} lack {wanted}; are they of another network?')
        value = np.asarray(left.pop(wanted))
        there = value.shape
        if path[-1] == 'kernel' and value.ndim == 4:
            value = value.transpose(2, 3, 1, 0)
        elif path[-1] == 'kernel':
            value = value.T
            channels = entry.flattened.get('.'.join(path[1:-1]))
            if channels and value.shape == leaf.shape:
                # torch flattens maps channels first.
                side = math.isqrt(value.shape[0] // channels)
                value = value.reshape(channels, side, side, -1).transpose(1, 2, 0, 3).reshape(value.shape)
        if value.shape != leaf.shape:
            raise UserError(
                f'{wanted} has the shape {there} in the weights, which is not that of {name} for these images and '
                'classes; are they for others?'
            )
        taken[path] = value
    optional = tuple(f'{module}.' for module in entry.torch_extras)
    more = [key for key in left if not key.endswith('num_batches_tracked') and not key.startswith(optional)]
    if more:
        raise UserError(f'the weights have {more[0]}, which {name} has not; are they of another network?')
    return traverse_util.unflatten_dict(taken)


def load_torch_weights(
    name: str,
    path: str | os.PathLike,
    num_classes: int = 1000,
    image_size: int | None = None,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> dict:
    """The variables of a network from torchvision's weights in a safetensors file; arguments as of `create_model`.

    Returns:
        {'params': ..., 'batch_stats': ...}, float32 whatever floating type the file has.

    Raises:
        UserError: if the file is none, holds weights of another network, or such that are no finite floating numbers.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = os.path.expanduser(path)
    if not os.path.isfile(path):
        raise UserError(f'there is no file {path}')
    try:
        open(path, 'rb').close()  # safetensors says of a file that may not be read that there is none
        state = load_file(path)
    except PermissionError as error:
        raise UserError(f'{path} may not be read: {error.strerror or error}') from error
    except (OSError, SafetensorError) as error:
        raise UserError(f'{path} is no safetensors file that can be read: {error}') from error
    except (AttributeError, KeyError) as error:  # as of 8-bit floats, which numpy has not
        raise UserError(f'{path} holds numbers of a type that cannot be read; save it as float32') from error
    model = create_model(name, num_classes, image_size, options=options)
    variables = from_torch(name, variable_shapes(model, model.image_size), state)
    for leaf in jax.tree.leaves(variables):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise UserError(f'{path} holds weights of type {leaf.dtype}; save it as float32')
    with np.errstate(over='ignore'):  # what float32 has not is infinite there
        variables = jax.tree.map(lambda leaf: leaf.astype(np.float32), variables)
    names = model_entry(name).torch_names
    for keys, leaf in traverse_util.flatten_dict(variables).items():
        if not np.isfinite(leaf).all():
            raise UserError(f'{path} holds {torch_name(keys, names)} with values that are no finite float32 numbers')
    return variables
