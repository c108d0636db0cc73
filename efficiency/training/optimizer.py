"""Optimizers by the names that configs use, each with keys of its own.

`register_optimizer` adds one of your own; `efficiency.training.parameter_groups` gives parts of a network one each.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from efficiency.errors import named
from efficiency.registration import register
from efficiency.training.own_keys import check_own_keys, own_keys
from efficiency.training.schedules import Schedule

_optimizers: dict[str, Callable[..., optax.GradientTransformation]] = {}
# What stands beside an optimizer's own keys, in a config or in `make_optimizer`.
_TAKEN = {'name', 'groups', 'params', 'rank', 'schedule', 'learning_rate', 'weight_decay', 'clip_norm'}


def register_optimizer(name: str) -> Callable:
    """Registers an optimizer; a decorator for a function of (schedule, weight_decay, keys of its own).

    The function returns any optax transformation that makes updates of gradients, the learning rate included, which
    `schedule` gives by step. What its signature has after the first two is what a config may set beside its name:
    `def lamb(schedule, weight_decay, momentum=0.9, trust=1.0)` is `config.optimizer = {'name': 'lamb', 'trust': 0.5}`.
    A key without a default must be set. One that another optimizer here has means the same, and has its range; any
    other must be like its default.

    Raises:
        ValueError: if the name is taken, or one of a key.
    """

    def add(function):
        taken = _TAKEN.intersection(own_keys(function))
        if taken:
            raise ValueError(f'an optimizer cannot have a key named {min(taken)!r}, which means something else')
        register(_optimizers, 'an optimizer', name, function)
        return function

    return add


@register_optimizer('sgd')
def _sgd(schedule, weight_decay, momentum=0.9, nesterov=False):
    """SGD with momentum and L2 weight decay on every parameter, as torch's and the paper's."""
    return optax.chain(
        optax.add_decayed_weights(weight_decay), optax.sgd(schedule, momentum=momentum, nesterov=nesterov)
    )


@register_optimizer('adamw')
def _adamw(schedule, weight_decay, momentum=0.9, b2=0.999, eps=1e-8):
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019, arXiv:1711.05101); momentum is its beta 1."""
    return optax.adamw(schedule, b1=momentum, b2=b2, eps=eps, weight_decay=weight_decay)


@register_optimizer('rmsprop')
def _rmsprop(schedule, weight_decay, b2=0.95, eps=0.01):
    """RMSprop, gradients centred, as of Mnih et al. (2015, doi:10.1038/nature14236); L2 weight decay."""
    return optax.chain(
        optax.add_decayed_weights(weight_decay), optax.rmsprop(schedule, decay=b2, eps=eps, centered=True)
    )


@register_optimizer('radam')
def _radam(schedule, weight_decay, momentum=0.9, b2=0.999, eps=1e-8):
    """Rectified Adam (Liu et al., 2019, arXiv:1908.03265), with L2 weight decay; momentum is its beta 1."""
    return optax.chain(optax.add_decayed_weights(weight_decay), optax.radam(schedule, b1=momentum, b2=b2, eps=eps))


@register_optimizer('lion')
def _lion(schedule, weight_decay, momentum=0.9, b2=0.99):
    """The sign of a momentum (Chen et al., 2023, arXiv:2302.06675), with decoupled weight decay.

    A step moves every parameter by the learning rate: a third to a tenth of AdamW's, and as many times its weight
    decay, is where to begin. `momentum` is its beta 1, between gradient and average; `b2` is the average's own.
    """
    return optax.lion(schedule, b1=momentum, b2=b2, weight_decay=weight_decay)


@register_optimizer('muon')
def _muon(schedule, weight_decay, momentum=0.95, nesterov=True, ns_steps=5, output_axes=1, fixed_norm=False):
    """Momentum orthogonalised by Newton-Schulz (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon).

    A parameter is a matrix if it has more axes than `output_axes`: the last so many are its outputs, all before them
    its inputs. A convolution's kernel (h, w, in, out) is one of (h * w * in, out), as there; of attention's projections
    to (in, heads, width), 2 axes are outputs. Its momentum is brought near an orthogonal matrix by `ns_steps`
    iterations X <- aX + (bA + cAA)X of A = XX^T, and scaled by sqrt(max(1, outputs / inputs)). Of an (m, n) matrix,
    m <= n, an iteration is 2 m^2 n + m^3 multiply-adds, whatever the batch: they are in the train step's count, and in
    the optimizer's part of it, once; of several devices each does all of them.

    What is no matrix is AdamW's, as in optax, at the same rate, of Nesterov's momentum (0.9, beta 2 of 0.999) where
    `nesterov`. Embeddings and a last layer are matrices too, and for most recipes better in a group of another
    optimizer. Weight decay is decoupled, on every parameter.

    With `fixed_norm` each matrix is scaled, before its step, to the norm of one whose outputs are orthonormal, the
    square root of their number, so that a step turns it as far at any time (as in cifar10-airbench).
    """

    def matrices(params):
        return jax.tree.map(as_matrix, params)

    def as_matrix(leaf):
        axes, inputs = tuple(range(leaf.ndim)), leaf.ndim - output_axes
        return optax.contrib.MuonDimensionNumbers(axes[:inputs], axes[inputs:]) if inputs > 0 else None

    muon = optax.contrib.muon(
        schedule, ns_steps=ns_steps, beta=momentum, nesterov=nesterov, weight_decay=weight_decay,
        adam_weight_decay=weight_decay, muon_weight_dimension_numbers=matrices,
    )  # fmt: skip
    return _from_fixed_norm(muon, output_axes) if fixed_norm else muon


def _from_fixed_norm(optimizer: optax.GradientTransformation, output_axes: int) -> optax.GradientTransformation:
    """An optimizer whose steps begin at matrices scaled to a norm; see `_muon`."""

    def scaled(leaf):
        if leaf.ndim <= output_axes:
            return leaf
        norm = math.sqrt(math.prod(leaf.shape[-output_axes:]))
        return leaf * (norm / jnp.maximum(jnp.linalg.norm(leaf.ravel()), jnp.finfo(leaf.dtype).tiny))

    def update(updates, state, params):
        begin = jax.tree.map(scaled, params)
        updates, state = optimizer.update(updates, state, begin)
        return jax.tree.map(lambda step, new, old: step + (new - old), updates, begin, params), state

    return optax.GradientTransformation(optimizer.init, update)


def make_optimizer(
    name: str, schedule: Schedule, weight_decay: float, clip_norm: float = 0, **keys: Any
) -> optax.GradientTransformation:
    """The optimizer of that name, for all parameters alike.

    Args:
        name: 'sgd', 'adamw', 'lion', 'muon' or a registered one.
        schedule: learning rate by step.
        weight_decay: the optimizer's.
        clip_norm: see `clipped`.
        **keys: its own, see `optimizer_with`.

    Raises:
        UserError: if there is no optimizer of that name, or it has no such keys, or not with such values.
    """
    return clipped(optimizer_with(keys, name, schedule, weight_decay), clip_norm)


def optimizer_with(
    keys: Mapping[str, Any], name: str, schedule: Schedule, weight_decay: float, where: str = 'config.optimizer'
) -> optax.GradientTransformation:
    """The optimizer of that name with keys of a config.

    Args:
        keys: the optimizer's own, which its signature names; what is left out has its default there.
        name, schedule, weight_decay: as in `make_optimizer`.
        where: the keys stand, for a message.

    Raises:
        UserError: as `make_optimizer`.
    """
    function = named(_optimizers, 'optimizer', name)
    check_own_keys('optimizer', name, function, keys, where)
    return function(schedule, weight_decay, **keys)


def clipped(optimizer: optax.GradientTransformation, clip_norm: float) -> optax.GradientTransformation:
    """An optimizer that is given the gradient as a whole scaled down to a norm, where it is larger; 0 for no bound."""
    return optax.chain(optax.clip_by_global_norm(clip_norm), optimizer) if clip_norm else optimizer
