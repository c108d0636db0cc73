"""Training in 16 bits of fixed point, simulated in float32 (Gupta et al., 2015, arXiv:1502.02551, sections 3 and 4).

A number is a multiple of 2^-12 from -8 to 8 - 2^-12: four bits before the point, the sign among them, and twelve behind
it, as they train CIFAR-10 in. What a product adds up is exact to float32 and rounded once, as their accumulators of 48
bits are. Rounded are the inputs and the outputs of every layer that has parameters, what comes back through either,
the gradients of parameters, and the parameters, before a step and after it; what is between layers adds, takes maxima
and averages of such numbers. Not rounded are the loss, batch statistics, and the optimizer's own state.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from efficiency.layers.attention import RMSNorm
from efficiency.layers.modules import BatchNorm, Conv, Dense

WORD_BITS, FRACTION_BITS = 16, 12
_ONE = 2.0**FRACTION_BITS
_LARGEST = 2.0 ** (WORD_BITS - 1) - 1  # in units of the last bit
_LAYERS = (BatchNorm, Conv, Dense, RMSNorm, nn.BatchNorm, nn.Conv, nn.Dense, nn.DenseGeneral, nn.LayerNorm)


def rounded(x: jax.Array, key: jax.Array | None) -> jax.Array:
    """The nearest fixed-point numbers to x; with a key, one of the two around it, whose mean over keys is x.

    Beyond the largest and the smallest number they are these.

    Args:
        x: any shape, float32.
        key: a jax key, for stochastic rounding (Gupta et al., section 3.1); None for rounding to nearest.
    """
    x = x * _ONE
    if key is None:
        x = jnp.round(x)
    else:
        below = jnp.floor(x)
        # Of the 2^16 values of a draw as many are less than the rest as it has sixteenth bits.
        up = jax.random.bits(key, x.shape, jnp.uint16).astype(jnp.float32) < (x - below) * 2.0**16
        x = below + up
    return jnp.clip(x, -_LARGEST - 1, _LARGEST) / _ONE


def rounded_tree(tree: Any, key: jax.Array | None) -> Any:
    """`rounded` of all arrays of a pytree, each by a key of its own."""
    leaves, structure = jax.tree.flatten(tree)
    keys = [None] * len(leaves) if key is None else list(jax.random.split(key, max(1, len(leaves))))
    return structure.unflatten([rounded(leaf, own) for leaf, own in zip(leaves, keys, strict=False)])


@jax.custom_vjp
def _both_ways(x: jax.Array, key: jax.Array) -> jax.Array:
    """x rounded stochastically, and so is what comes back, which passes where x is beyond the largest number, too."""
    return rounded(x, key)


def _forward(x, key):
    return rounded(x, key), key


def _backward(key, gradient):
    return rounded(gradient, jax.random.fold_in(key, 1)), None


_both_ways.defvjp(_forward, _backward)


@jax.custom_vjp
def _both_ways_to_nearest(x: jax.Array) -> jax.Array:
    return rounded(x, None)


_both_ways_to_nearest.defvjp(lambda x: (rounded(x, None), None), lambda _, gradient: (rounded(gradient, None),))


@contextlib.contextmanager
def rounding_layers(key: jax.Array | None) -> Iterator[Callable[[], bool]]:
    """Within this, layers that have parameters take and give fixed-point numbers.

    Args:
        key: for stochastic rounding; None for rounding to nearest.

    Yields:
        What says whether there was such a layer.
    """
    number = itertools.count()

    def through(x: jax.Array) -> jax.Array:
        at = next(number)
        return _both_ways_to_nearest(x) if key is None else _both_ways(x, jax.random.fold_in(key, at))

    def in_fixed_point(layer: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext) -> Any:
        if context.method_name != '__call__' or not isinstance(context.module, _LAYERS):
            return layer(*args, **kwargs)
        first, *rest = args
        return through(layer(through(first), *rest, **kwargs))

    with nn.intercept_methods(in_fixed_point):
        yield lambda: next(number) > 0
