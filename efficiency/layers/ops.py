"""Convolution and pooling, each in the formulation that suits the platform it is compiled for.

XLA's convolutions are the right program for a GPU or a TPU. On a CPU several of them, above all the
gradients of grouped, depthwise and strided convolutions, fall off the fast path by factors of 5 to 100;
there the same sums are written as matrix multiplies and shifted multiply-adds instead, and those of wide 3x3
kernels by Winograd's algorithm.

Every operation here is two functions of the same value, `stock` (plain XLA) and `cpu`, joined by
`jax.lax.platform_dependent`: which one is lowered follows from the platform that the program is compiled
for, also ahead of time for a machine that is not here. The analytic count of compute follows the default
branch, so it is of the stock formulation whatever runs. `override` forces one of them, for tests and
benchmarks.

Images are (batch, height, width, channels), kernels (height, width, in channels / groups, out channels).
"""

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator
from functools import partial

import jax
from jax import lax

from efficiency.layers import pooling
from efficiency.layers.convolution import STOCK, ConvSpec, Pair, stock_conv
from efficiency.layers.formulations import cpu_formulation

_override: contextvars.ContextVar[str | None] = contextvars.ContextVar('formulation', default=None)


@contextlib.contextmanager
def override(formulation: str) -> Iterator[None]:
    """While active, traces one formulation for every platform.

    Args:
        formulation: 'stock' or 'cpu'.

    Raises:
        ValueError: if it is neither.
    """
    if formulation not in ('stock', 'cpu'):
        raise ValueError(f"no formulation {formulation!r}: 'stock' or 'cpu'")
    token = _override.set(formulation)
    try:
        yield
    finally:
        _override.reset(token)


# jax traces a branch once for all calls of the very same function on operands of the same shapes, as of layers that
# repeat each other; a `partial` that is made anew is another function.
_with = functools.lru_cache(maxsize=4096)(partial)


def by_platform(cpu: Callable, stock: Callable, *args: jax.Array) -> jax.Array:
    """Of two functions that have the same value the one for the platform compiled for; `stock` is what is counted."""
    match _override.get():
        case 'cpu':
            return cpu(*args)
        case 'stock':
            return stock(*args)
        case _:
            return lax.platform_dependent(*args, cpu=cpu, default=stock)


def conv2d(
    x: jax.Array,
    kernel: jax.Array,
    *,
    strides: Pair = (1, 1),
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> jax.Array:
    """2-D convolution (cross-correlation, as every network framework means it).

    Args:
        x: (n, h, w, in) images.
        kernel: (kh, kw, in / groups, out).
        strides, padding, dilation: height first; padding as (before, after) in zeros.
        groups: number of independent groups of channels; `in` of them is a depthwise convolution.

    Returns:
        (n, out h, out w, out), in x's dtype.
    """
    return _conv(ConvSpec(tuple(strides), tuple(map(tuple, padding)), tuple(dilation), groups), x, kernel)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _conv(spec: ConvSpec, x: jax.Array, kernel: jax.Array) -> jax.Array:
    cpu = cpu_formulation(spec, x.shape, kernel.shape).forward
    return by_platform(_with(cpu, spec), _with(stock_conv, spec), x, kernel)


def _conv_forward(spec, x, kernel):
    return _conv(spec, x, kernel), (x, kernel)


def _conv_backward(spec, residuals, dy):
    # The two gradients are separate programs, so that a first layer's unused input gradient can be dropped.
    x, kernel = residuals
    cpu = cpu_formulation(spec, x.shape, kernel.shape)
    dx = by_platform(_with(cpu.input_gradient, spec, x.shape), _with(STOCK.input_gradient, spec, x.shape), kernel, dy)
    dkernel = by_platform(
        _with(cpu.kernel_gradient, spec, kernel.shape), _with(STOCK.kernel_gradient, spec, kernel.shape), x, dy
    )
    return dx, dkernel


_conv.defvjp(_conv_forward, _conv_backward)


# Floats of a row whose columns all fall into the same few sets of a cache.
_ALIASED = 512


def sum_of_products(a: jax.Array, b: jax.Array) -> jax.Array:
    """Every feature of one with every of the other, summed over all else: (..., i), (..., o) -> (i, o).

    Where reading down the columns of either misses the cache, a CPU first writes out the one transposed: for 512 by
    2,048 features that is half the time. It should be for arrays that stand in memory anyway: what computes one would
    be computed in that order, too.
    """

    def stock(a, b):
        return a.T @ b

    def cpu(a, b):
        aliased = any(x.shape[1] % _ALIASED == 0 for x in (a, b))
        return lax.optimization_barrier(a.T) @ b if aliased else stock(a, b)

    return by_platform(cpu, stock, *(x.reshape(-1, x.shape[-1]) for x in (a, b)))


def max_pool(x: jax.Array, window: Pair, strides: Pair, padding: tuple[Pair, Pair] = ((0, 0), (0, 0))) -> jax.Array:
    """The largest value of every window; padding counts as minus infinity.

    Args:
        x: (n, h, w, c). window, strides, padding: height first.

    Returns:
        (n, out h, out w, c). The gradient goes to the first of equal values, in row order.
    """
    return _max_pool(_window(window, strides, padding), x)


def avg_pool(x: jax.Array, window: Pair, strides: Pair, padding: tuple[Pair, Pair] = ((0, 0), (0, 0))) -> jax.Array:
    """The mean of every window, padding counted as zeros (as torch's `count_include_pad=True`).

    Args:
        x: (n, h, w, c). window, strides, padding: height first.

    Returns:
        (n, out h, out w, c).
    """
    return _sum_pool(_window(window, strides, padding), x.shape, x) / (window[0] * window[1])


def _window(size, strides, padding):
    return pooling.Window(tuple(size), tuple(strides), tuple(map(tuple, padding)))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _max_pool(window, x):
    return by_platform(_with(pooling.cpu_max, window), _with(pooling.stock_max, window), x)


def _max_pool_forward(window, x):
    y = _max_pool(window, x)
    return y, (x, y)


def _max_pool_backward(window, residuals, dy):
    cpu, stock = pooling.cpu_max_gradient, pooling.stock_max_gradient
    return (by_platform(_with(cpu, window), _with(stock, window), *residuals, dy),)


_max_pool.defvjp(_max_pool_forward, _max_pool_backward)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _sum_pool(window, shape, x):
    return by_platform(_with(pooling.cpu_sum, window), _with(pooling.stock_sum, window), x)


def _sum_pool_backward(window, shape, _, dy):
    cpu, stock = pooling.cpu_sum_gradient, pooling.stock_sum_gradient
    return (by_platform(_with(cpu, window, shape), _with(stock, window, shape), dy),)


_sum_pool.defvjp(lambda window, shape, x: (_sum_pool(window, shape, x), None), _sum_pool_backward)
