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

Pair = tuple[int, int]

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


@dataclasses.dataclass(frozen=True)
class ConvSpec:
    """What a 2-D convolution does, its operands apart; hashable, so that it can be static under tracing."""

    strides: Pair = (1, 1)
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))
    dilation: Pair = (1, 1)
    groups: int = 1

    def output_size(self, image: tuple[int, ...], kernel: tuple[int, ...]) -> Pair:
        """Height and width of the result for an image (n, h, w, c) and a kernel (kh, kw, i, o)."""
        sizes = []
        for axis in (0, 1):
            span = (kernel[axis] - 1) * self.dilation[axis] + 1
            padded = image[axis + 1] + sum(self.padding[axis])
            sizes.append(max(0, (padded - span) // self.strides[axis] + 1))
        return sizes[0], sizes[1]


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
    cpu = _cpu_formulation(spec, x.shape, kernel.shape).forward
    return _by_platform(partial(cpu, spec), partial(_stock_conv, spec), x, kernel)


def _conv_forward(spec, x, kernel):
    return _conv(spec, x, kernel), (x, kernel)


def _conv_backward(spec, residuals, dy):
    # The two gradients are separate programs, so that a first layer's unused input gradient can be dropped.
    x, kernel = residuals
    cpu = _cpu_formulation(spec, x.shape, kernel.shape)
    dx = _by_platform(
        partial(_input_gradient, partial(cpu.forward, spec), x.shape),
        partial(_input_gradient, partial(_stock_conv, spec), x.shape),
        kernel,
        dy,
    )
    dkernel = _by_platform(
        partial(cpu.kernel_gradient, spec, kernel.shape),
        partial(_kernel_gradient, _stock_conv, spec, kernel.shape),
        x,
        dy,
    )
    return dx, dkernel


_conv.defvjp(_conv_forward, _conv_backward)


def _input_gradient(forward, shape, kernel, dy):
    x = jax.ShapeDtypeStruct(shape, dy.dtype)
    return jax.linear_transpose(lambda x: forward(x, kernel), x)(dy)[0]


def _kernel_gradient(forward, spec, shape, x, dy):
    kernel = jax.ShapeDtypeStruct(shape, dy.dtype)
    return jax.linear_transpose(lambda kernel: forward(spec, x, kernel), kernel)(dy)[0]


def _stock_conv(spec: ConvSpec, x: jax.Array, kernel: jax.Array) -> jax.Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=spec.strides,
        padding=spec.padding,
        rhs_dilation=spec.dilation,
        feature_group_count=spec.groups,
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )


# The CPU's formulations. `forward` is linear in each operand, so either gradient is its transpose unless a
# better kernel gradient is named.


@dataclasses.dataclass(frozen=True)
class _Formulation:
    forward: Callable  # (spec, x, kernel) -> y
    kernel_gradient: Callable  # (spec, kernel shape, x, dy) -> gradient of the kernel


def _cpu_formulation(spec: ConvSpec, image: tuple[int, ...], kernel: tuple[int, ...]) -> _Formulation:
    out = spec.output_size(image, kernel)
    padded = any(map(any, spec.padding))
    channels = image[3]
    if min(image) == 0 or min(kernel) == 0 or min(out) == 0:
        forward = _stock_conv
    elif kernel[:2] == (1, 1) and not padded:
        forward = _pointwise
    elif spec.groups == channels == kernel[3] and channels > 1:
        return _Formulation(_depthwise, _depthwise_kernel_gradient)
    elif spec.groups > 1:
        forward = _stock_conv
    elif min(image[1:3]) < min(kernel[:2]):
        forward = _unfolded
    elif max(kernel[:2]) > 3:
        forward = _stock_conv
    else:
        return _Formulation(_stock_conv, _kernel_gradient_by_rows)
    return _Formulation(forward, partial(_kernel_gradient, forward))


def _taps(spec: ConvSpec, kernel_hw: Pair, out_hw: Pair, x: jax.Array) -> list[list[jax.Array]]:
    """For every kernel position [row][column], the part of x (n, oh, ow, c) that it multiplies."""
    x = jnp.pad(x, ((0, 0), *spec.padding, (0, 0)))
    n, _, _, channels = x.shape

    def tap(row, column):
        start = (row * spec.dilation[0], column * spec.dilation[1])
        stop = tuple(s + (o - 1) * stride + 1 for s, o, stride in zip(start, out_hw, spec.strides, strict=True))
        return lax.slice(x, (0, *start, 0), (n, *stop, channels), (1, *spec.strides, 1))

    return [[tap(row, column) for column in range(kernel_hw[1])] for row in range(kernel_hw[0])]


def _pointwise(spec, x, kernel):
    """A 1x1 kernel is a matrix multiply of the strided image, one for each group."""
    x = x[:, :: spec.strides[0], :: spec.strides[1]]
    parts = jnp.split(x, spec.groups, axis=3)
    matrices = jnp.split(kernel[0, 0], spec.groups, axis=1)
    return jnp.concatenate([part @ matrix for part, matrix in zip(parts, matrices, strict=True)], axis=3)


def _depthwise(spec, x, kernel):
    """One channel in, one out: a sum of shifted multiplies."""
    out = spec.output_size(x.shape, kernel.shape)
    taps = _taps(spec, kernel.shape[:2], out, x)
    return sum(tap * kernel[i, j, 0] for i, row in enumerate(taps) for j, tap in enumerate(row))


def _depthwise_kernel_gradient(spec, shape, x, dy):
    def gradient(x, dy):
        taps = _taps(spec, shape[:2], dy.shape[1:3], x)
        return jnp.stack([jnp.stack([jnp.sum(tap * dy, axis=(0, 1, 2))[None] for tap in row]) for row in taps])

    # Two chunks: a loop's operands are computed once, where a plain sum would recompute them for every tap.
    return _sum_over_chunks(gradient, -(-x.shape[0] // 2), x, dy)


def _unfolded(spec, x, kernel):
    """A map smaller than its kernel: all shifted copies side by side, then one matrix multiply."""
    taps = _taps(spec, kernel.shape[:2], spec.output_size(x.shape, kernel.shape), x)
    columns = jnp.concatenate([tap for row in taps for tap in row], axis=3)
    return columns @ kernel.reshape(-1, kernel.shape[3])


# Bytes of unfolded rows a step of the scan in `_kernel_gradient_by_rows` works on, so that they stay in cache.
_CHUNK_BYTES = 2**21


def _kernel_gradient_by_rows(spec, shape, x, dy):
    """One matrix multiply a kernel row and chunk of the batch: (kw x in, n x oh x ow) by (n x oh x ow, out)."""

    def gradient(x, dy):
        rows = [jnp.concatenate(row, axis=3) for row in _taps(spec, shape[:2], dy.shape[1:3], x)]
        return jnp.stack([jnp.tensordot(row, dy, axes=((0, 1, 2), (0, 1, 2))) for row in rows])

    row_bytes = dy.shape[1] * dy.shape[2] * shape[1] * shape[2] * dy.dtype.itemsize
    return _sum_over_chunks(gradient, _CHUNK_BYTES // row_bytes, x, dy).reshape(shape)


def _sum_over_chunks(gradient, chunk, x, dy):
    """The sum of gradient(x, dy) over the batch, in a loop over chunks of at least one image."""
    n = x.shape[0]
    chunk = min(n, max(1, chunk))
    whole = n - n % chunk
    chunks = tuple(a[:whole].reshape(-1, chunk, *a.shape[1:]) for a in (x, dy))
    result = jax.eval_shape(gradient, x, dy)
    total, _ = lax.scan(
        lambda total, chunk: (total + gradient(*chunk), None), jnp.zeros(result.shape, result.dtype), chunks
    )
    return total + gradient(x[whole:], dy[whole:]) if n > whole else total


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
    taps = _taps(dataclasses.replace(spec, padding=((0, 0), (0, 0))), window, out, padded)
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
        taps = _taps(spec, window, spec.output_size(x.shape, (*window, 1, 1)), x)
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
