"""Convolutions written out in the ways that a CPU is quick at, and which of them suits which convolution.

Images are (batch, height, width, channels), kernels (height, width, in channels / groups, out channels).
"""

import dataclasses
import functools
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from efficiency.layers.convolution import (
    STOCK,
    ConvSpec,
    Formulation,
    Pair,
    joined_phases,
    padded,
    stock_conv,
    sum_over_chunks,
)
from efficiency.layers.winograd import WINOGRAD, saving

# What pays for transforming tiles, and for compiling a longer program: multiplies less, and channels, of which the
# kernel's gradient needs fewer, as its other form is slower.
_TILED_SAVING = 1.6
_TILED_WIDTH, _TILED_IN_TIMES_OUT = 32, 2048


@functools.lru_cache(maxsize=4096)  # the same functions each time, which jax need not trace anew
def cpu_formulation(spec: ConvSpec, image: tuple[int, ...], kernel: tuple[int, ...]) -> Formulation:
    """What a CPU is quickest at, for an image (n, h, w, c) and a kernel (kh, kw, i, o)."""
    out = spec.output_size(image, kernel)
    has_padding = any(map(any, spec.padding))
    channels = image[3]
    if min(image) == 0 or min(kernel) == 0 or min(out) == 0:
        return STOCK
    if kernel[:2] == (1, 1) and not has_padding:
        return Formulation(_pointwise, kernel_gradient=_pointwise_kernel_gradient)
    if spec.groups == channels == kernel[3] and channels > 1:
        return Formulation(_depthwise, _depthwise_input_gradient, _depthwise_kernel_gradient)
    if spec.groups > 1:
        return Formulation(_grouped, _grouped_input_gradient, _grouped_kernel_gradient)
    in_tiles = kernel[:2] == (3, 3) and spec.strides == spec.dilation == (1, 1) and saving(out) > _TILED_SAVING
    in_tiles = in_tiles and kernel[2] * kernel[3] >= _TILED_IN_TIMES_OUT
    if in_tiles and min(kernel[2:]) >= _TILED_WIDTH:
        return WINOGRAD
    if min(image[1:3]) < min(kernel[:2]):
        return Formulation(_unfolded, kernel_gradient=_unfolded_kernel_gradient)
    by_phases = _input_gradient_by_phases if max(spec.strides) > 1 and spec.dilation == (1, 1) else None
    if in_tiles:
        return Formulation(stock_conv, kernel_gradient=WINOGRAD.kernel_gradient)
    by_rows = _kernel_gradient_by_rows if max(kernel[:2]) <= 3 else None
    return Formulation(stock_conv, by_phases, by_rows)


def taps_of(spec: ConvSpec, kernel_hw: Pair, out_hw: Pair, x: jax.Array) -> list[list[jax.Array]]:
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


def _pointwise_kernel_gradient(spec, shape, x, dy):
    x = x[:, :: spec.strides[0], :: spec.strides[1]]
    parts = zip(jnp.split(x, spec.groups, axis=3), jnp.split(dy, spec.groups, axis=3), strict=True)
    return jnp.concatenate([_products(*part) for part in parts], axis=1).reshape(shape)


def _products(a, b):
    """Channels of a by channels of b, summed over all else.

    In two dimensions: contracting more than one, XLA first writes out an operand transposed, and in a slow loop if the
    operand is computed.
    """
    return a.reshape(-1, a.shape[-1]).T @ b.reshape(-1, b.shape[-1])


def _depthwise(spec, x, kernel):
    """One channel in, one out: a sum of shifted multiplies."""
    out = spec.output_size(x.shape, kernel.shape)
    taps = taps_of(spec, kernel.shape[:2], out, x)
    return sum(tap * kernel[i, j, 0] for i, row in enumerate(taps) for j, tap in enumerate(row))


def _depthwise_input_gradient(spec, shape, kernel, dy):
    """The shifted multiplies of the cotangent, its strides filled with zeros, and the kernel turned around.

    The transpose of `_depthwise` would pad every product by itself, and test every value of each for the padding.
    """
    edges = []
    for axis in (0, 1):
        span, stride = (kernel.shape[axis] - 1) * spec.dilation[axis], spec.strides[axis]
        before = span - spec.padding[axis][0]
        after = shape[axis + 1] + span - before - ((dy.shape[axis + 1] - 1) * stride + 1)
        edges.append((before, after))
    spread = padded(dy, edges, holes=tuple(stride - 1 for stride in spec.strides))
    return _depthwise(ConvSpec(dilation=spec.dilation, groups=spec.groups), spread, kernel[::-1, ::-1])


def _depthwise_kernel_gradient(spec, shape, x, dy):
    def gradient(x, dy):
        taps = taps_of(spec, shape[:2], dy.shape[1:3], x)
        return jnp.stack([jnp.stack([jnp.sum(tap * dy, axis=(0, 1, 2))[None] for tap in row]) for row in taps])

    # Two chunks: a loop's operands are computed once, where a plain sum would recompute them for every tap.
    return sum_over_chunks(gradient, x.shape[0] // 2, x, dy).astype(x.dtype)


# Channels of the dense convolutions that groups are put together to.
_DENSE_WIDTH = 32


def _merged(spec: ConvSpec, kernel: tuple[int, ...]) -> tuple[int, int, ConvSpec]:
    """How many dense convolutions stand for the groups, how many groups each, and what one does."""
    fit = max(1, _DENSE_WIDTH // max(kernel[2], kernel[3] // spec.groups))
    together = max(d for d in range(1, min(fit, spec.groups) + 1) if spec.groups % d == 0)
    return spec.groups // together, together, dataclasses.replace(spec, groups=1)


def _dense_kernels(spec, kernel):
    """The kernels of the dense convolutions, 0 from one group to another."""
    parts, together, _ = _merged(spec, kernel.shape)
    height, width, inputs, outputs = kernel.shape
    blocks = kernel.reshape(height, width, inputs, parts, together, outputs // spec.groups)
    blocks = jnp.einsum('hwipgo,kg->hwkipgo', blocks, jnp.eye(together, dtype=kernel.dtype))
    return jnp.split(blocks.reshape(height, width, together * inputs, outputs), parts, axis=3)


def _grouped(spec, x, kernel):
    """Thin groups side by side as dense convolutions."""
    parts, _, dense = _merged(spec, kernel.shape)
    images, kernels = jnp.split(x, parts, axis=3), _dense_kernels(spec, kernel)
    forward = cpu_formulation(dense, images[0].shape, kernels[0].shape).forward
    return jnp.concatenate([forward(dense, *pair) for pair in zip(images, kernels, strict=True)], axis=3)


def _grouped_input_gradient(spec, shape, kernel, dy):
    parts, _, dense = _merged(spec, kernel.shape)
    kernels, cotangents = _dense_kernels(spec, kernel), jnp.split(dy, parts, axis=3)
    part = (*shape[:3], shape[3] // parts)
    gradient = cpu_formulation(dense, part, kernels[0].shape).input_gradient
    return jnp.concatenate([gradient(dense, part, *pair) for pair in zip(kernels, cotangents, strict=True)], axis=3)


def _grouped_kernel_gradient(spec, shape, x, dy):
    parts, together, dense = _merged(spec, shape)
    height, width, inputs, outputs = shape
    wide = (height, width, together * inputs, outputs // parts)
    images, cotangents = jnp.split(x, parts, axis=3), jnp.split(dy, parts, axis=3)
    gradient = partial(cpu_formulation(dense, images[0].shape, wide).kernel_gradient, dense, wide)
    found = jnp.stack([gradient(*pair) for pair in zip(images, cotangents, strict=True)], axis=3)
    blocks = found.reshape(height, width, together, inputs, parts, together, outputs // spec.groups)
    return jnp.einsum('hwgipgo->hwipgo', blocks).reshape(shape)


def _input_gradient_by_phases(spec, shape, kernel, dy):
    """Of a strided convolution: one without stride for each phase of it, from the part of the kernel that meets it.

    Padded row i gets what output row o sends through kernel row i - stride x o, so that rows i = stride x q + phase see
    the kernel's rows phase, phase + stride, ...: sum over j of dy[q - j] x kernel[phase + stride x j].
    """
    (high, wide), (rows, columns) = spec.strides, phase_size(spec, shape)

    def phase(row, column):
        part = kernel[row::high, column::wide]
        if 0 in part.shape:
            return jnp.zeros((shape[0], rows, columns, shape[3]), dy.dtype)
        ends = [
            (taps - 1, count - size)
            for taps, count, size in zip(part.shape[:2], (rows, columns), dy.shape[1:3], strict=True)
        ]
        image, dense = padded(dy, ends), ConvSpec()
        flipped = part[::-1, ::-1].swapaxes(2, 3)
        return cpu_formulation(dense, image.shape, flipped.shape).forward(dense, image, flipped)

    return joined_phases(spec, shape, [[phase(row, column) for column in range(wide)] for row in range(high)])


def phase_size(spec: ConvSpec, shape: tuple[int, ...]) -> Pair:
    """Rows and columns of the longest phase of an image (n, h, w, c): of the padded rows i = stride x q + phase."""
    return tuple(
        (size + before - 1) // stride + 1
        for size, (before, _), stride in zip(shape[1:3], spec.padding, spec.strides, strict=True)
    )


def _unfolded(spec, x, kernel):
    """A map smaller than its kernel: all shifted copies side by side, then one matrix multiply."""
    return _columns(spec, kernel.shape, x) @ kernel.reshape(-1, kernel.shape[3])


def _unfolded_kernel_gradient(spec, shape, x, dy):
    return _products(_columns(spec, shape, x), dy).reshape(shape)


def _columns(spec, kernel, x):
    taps = taps_of(spec, kernel[:2], spec.output_size(x.shape, kernel), x)
    return jnp.concatenate([tap for row in taps for tap in row], axis=3)


# Bytes of unfolded rows a step of the scan in `_kernel_gradient_by_rows` works on, so that they stay in cache.
_CHUNK_BYTES = 2**21


def _kernel_gradient_by_rows(spec, shape, x, dy):
    """One matrix multiply a kernel row and chunk of the batch: (kw x in, n x oh x ow) by (n x oh x ow, out)."""

    def gradient(x, dy):
        rows = [jnp.concatenate(row, axis=3) for row in taps_of(spec, shape[:2], dy.shape[1:3], x)]
        return jnp.stack([_products(row, dy) for row in rows])

    row_bytes = dy.shape[1] * dy.shape[2] * shape[1] * shape[2] * dy.dtype.itemsize
    return sum_over_chunks(gradient, _CHUNK_BYTES // row_bytes, x, dy).reshape(shape).astype(x.dtype)
