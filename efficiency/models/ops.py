"""Convolution and pooling, each in the formulation that suits the platform it is compiled for.

XLA's convolutions are the right program for a GPU or a TPU. On a CPU several of them, above all the
gradients of grouped, depthwise and strided convolutions, fall off the fast path by factors of 5 to 100;
there the same sums are written as matrix multiplies and shifted multiply-adds instead.

Every operation here is two functions of the same value, `stock` (plain XLA) and `cpu`, joined by
`jax.lax.platform_dependent`: which one is lowered follows from the platform that the program is compiled
for, also ahead of time for a machine that is not here. The analytic count of compute follows the default
branch, so it is of the stock formulation whatever runs. `override` forces one of them, for tests and
benchmarks.

Images are (batch, height, width, channels), kernels (height, width, in channels / groups, out channels).
"""

import contextlib
import contextvars
import dataclasses
from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from efficiency.models.formulations import STOCK, ConvSpec, Pair, cpu_formulation, stock_conv, taps_of

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


def _by_platform(cpu: Callable, stock: Callable, *args: jax.Array) -> jax.Array:
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
    return _by_platform(partial(cpu, spec), partial(stock_conv, spec), x, kernel)


def _conv_forward(spec, x, kernel):
    return _conv(spec, x, kernel), (x, kernel)


def _conv_backward(spec, residuals, dy):
    # The two gradients are separate programs, so that a first layer's unused input gradient can be dropped.
    x, kernel = residuals
    cpu = cpu_formulation(spec, x.shape, kernel.shape)
    dx = _by_platform(
        partial(cpu.input_gradient, spec, x.shape), partial(STOCK.input_gradient, spec, x.shape), kernel, dy
    )
    dkernel = _by_platform(
        partial(cpu.kernel_gradient, spec, kernel.shape), partial(STOCK.kernel_gradient, spec, kernel.shape), x, dy
    )
    return dx, dkernel


_conv.defvjp(_conv_forward, _conv_backward)


def max_pool(x: jax.Array, window: Pair, strides: Pair, padding: tuple[Pair, Pair] = ((0, 0), (0, 0))) -> jax.Array:
    """The largest value of every window; padding counts as minus infinity.

    Args:
        x: (n, h, w, c). window, strides, padding: height first.

    Returns:
        (n, out h, out w, c). The gradient goes to the first of equal values, in row order.
    """
    return _max_pool(window, ConvSpec(tuple(strides), tuple(map(tuple, padding))), x)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _max_pool(window, spec, x):
    return _by_platform(partial(_cpu_max_pool, window, spec), partial(_stock_max_pool, window, spec), x)


def _max_pool_forward(window, spec, x):
    return _max_pool(window, spec, x), x


def _max_pool_backward(window, spec, x, dy):
    def gradient(pool, x, dy):
        return jax.vjp(partial(pool, window, spec), x)[1](dy)[0]

    return (_by_platform(partial(gradient, _cpu_max_pool), partial(gradient, _stock_max_pool), x, dy),)


_max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def _stock_max_pool(window, spec, x):
    return lax.reduce_window(
        x, -jnp.inf, lax.max, (1, *window, 1), (1, *spec.strides, 1), ((0, 0), *spec.padding, (0, 0))
    )


def _cpu_max_pool(window, spec, x):
    padded = jnp.pad(x, ((0, 0), *spec.padding, (0, 0)), constant_values=-jnp.inf)
    out = spec.output_size(x.shape, (*window, 1, 1))
    taps = taps_of(dataclasses.replace(spec, padding=((0, 0), (0, 0))), window, out, padded)
    largest, *others = [tap for row in taps for tap in row]
    for tap in others:
        # Strictly larger, so that the first of equal values keeps the gradient; a NaN always shows.
        largest = jnp.where((tap > largest) | jnp.isnan(tap), tap, largest)
    return largest


def avg_pool(x: jax.Array, window: Pair, strides: Pair, padding: tuple[Pair, Pair] = ((0, 0), (0, 0))) -> jax.Array:
    """The mean of every window, padding counted as zeros (as torch's `count_include_pad=True`).

    Args:
        x: (n, h, w, c). window, strides, padding: height first.

    Returns:
        (n, out h, out w, c).
    """
    spec = ConvSpec(tuple(strides), tuple(map(tuple, padding)))

    def stock(x):
        return lax.reduce_window(
            x, 0.0, lax.add, (1, *window, 1), (1, *spec.strides, 1), ((0, 0), *spec.padding, (0, 0))
        )

    def cpu(x):
        taps = taps_of(spec, window, spec.output_size(x.shape, (*window, 1, 1)), x)
        return sum(tap for row in taps for tap in row)

    return _linear_by_platform(cpu, stock, x) / (window[0] * window[1])


def _linear_by_platform(cpu: Callable, stock: Callable, x: jax.Array) -> jax.Array:
    """A platform switch between two forms of one linear map, whose gradient needs nothing from the forward pass."""

    @jax.custom_vjp
    def switch(x):
        return _by_platform(cpu, stock, x)

    def backward(_, dy):
        shape = jax.ShapeDtypeStruct(x.shape, dy.dtype)
        cpu_t, stock_t = ((lambda dy, f=f: jax.linear_transpose(f, shape)(dy)[0]) for f in (cpu, stock))
        return (_by_platform(cpu_t, stock_t, dy),)

    switch.defvjp(lambda x: (switch(x), None), backward)
    return switch(x)
