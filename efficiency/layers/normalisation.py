"""Batch normalisation's two halves, the moments of each channel and what they make of a value, with their gradients.

Written out, as derived from the sums themselves a gradient would take two more passes over the values and keep a copy
of them less their mean. Batches are (..., channels); all is computed in float32 at least.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from efficiency.layers.convolution import in_float32

Moments = tuple[jax.Array, jax.Array]


def _sum(x: jax.Array) -> jax.Array:
    """Over all but channels."""
    return jnp.sum(x, tuple(range(x.ndim - 1)))


@jax.custom_vjp
def moments(x: jax.Array) -> Moments:
    """Mean and variance of each channel: (..., c) -> (c,), (c,)."""
    return _moments(x)


def _moments(x):
    x, count = in_float32(x), math.prod(x.shape[:-1])
    mean = _sum(x) / count
    return mean, _sum(jnp.square(x - mean)) / count


def _moments_forward(x):
    mean, var = _moments(x)
    return (mean, var), (x, mean)


def _moments_backward(residuals, cotangents):
    (x, mean), (dmean, dvar) = residuals, cotangents
    count = math.prod(x.shape[:-1])
    # That the variance is taken about the mean adds nothing: what is left of each channel less its mean sums to 0.
    dx = (in_float32(x) - mean) * (2 / count * dvar) + dmean / count
    return (dx.astype(x.dtype),)


moments.defvjp(_moments_forward, _moments_backward)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def normalised(
    epsilon: float, dtype: DTypeLike, x: jax.Array, mean: jax.Array, var: jax.Array, scale: jax.Array, bias: jax.Array
) -> jax.Array:
    """(x - mean) / sqrt(var + epsilon) x scale + bias (Ioffe & Szegedy, 2015, algorithm 1), in the dtype.

    As torch does, it multiplies x by one number a channel and adds another, so that what is lost to rounding grows with
    a mean that is many deviations from 0.

    Args:
        x: (..., c). mean, var, scale, bias: (c,).
    """
    factor = jax.lax.rsqrt(var + epsilon) * scale
    return (in_float32(x) * factor + (bias - mean * factor)).astype(dtype)


def _normalised_forward(epsilon, dtype, x, mean, var, scale, bias):
    return normalised(epsilon, dtype, x, mean, var, scale, bias), (x, mean, var, scale)


def _normalised_backward(epsilon, dtype, residuals, dy):
    x, mean, var, scale = residuals
    over_deviation, dy = jax.lax.rsqrt(var + epsilon), in_float32(dy)
    dbias = _sum(dy)
    dscale = (_sum(dy * in_float32(x)) - mean * dbias) * over_deviation
    factor = over_deviation * scale
    dvar = -0.5 * dscale * factor * over_deviation
    return (dy * factor).astype(x.dtype), -factor * dbias, dvar, dscale, dbias


normalised.defvjp(_normalised_forward, _normalised_backward)
