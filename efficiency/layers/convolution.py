"""What a 2-D convolution is: its numbers, the shape of a way to compute it, XLA's own way, and what other ways share.

Images are (batch, height, width, channels), kernels (height, width, in channels / groups, out channels). A `forward` is
linear in the image and in the kernel, so either gradient is its transpose, unless a better one is named.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Pair = tuple[int, int]


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


Forward = Callable[[ConvSpec, jax.Array, jax.Array], jax.Array]


class Formulation:
    """A convolution and its gradients, each a program of its own.

    Attributes:
        forward: (spec, x, kernel) -> y.
        input_gradient: (spec, x's shape, kernel, dy) -> gradient of x.
        kernel_gradient: (spec, kernel's shape, x, dy) -> gradient of the kernel.
    """

    def __init__(
        self, forward: Forward, input_gradient: Callable | None = None, kernel_gradient: Callable | None = None
    ):
        self.forward = forward
        self.input_gradient = input_gradient or partial(_transposed_input_gradient, forward)
        self.kernel_gradient = kernel_gradient or partial(_transposed_kernel_gradient, forward)


def _transposed_input_gradient(forward: Forward, spec, shape, kernel, dy):
    x = jax.ShapeDtypeStruct(shape, dy.dtype)
    return jax.linear_transpose(lambda x: forward(spec, x, kernel), x)(dy)[0]


def _transposed_kernel_gradient(forward: Forward, spec, shape, x, dy):
    kernel = jax.ShapeDtypeStruct(shape, dy.dtype)
    return jax.linear_transpose(lambda kernel: forward(spec, x, kernel), kernel)(dy)[0]


def stock_conv(spec: ConvSpec, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """XLA's own convolution."""
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=spec.strides,
        padding=spec.padding,
        rhs_dilation=spec.dilation,
        feature_group_count=spec.groups,
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )


STOCK = Formulation(stock_conv)


def in_float32(x: jax.Array) -> jax.Array:
    """In float32 at least, where sums need more digits than bfloat16 has."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def padded(x: jax.Array, edges: Sequence[Pair], holes: Pair = (0, 0)) -> jax.Array:
    """Images (n, h, w, c) with zeros (before, after) their rows and columns, and so many between each two.

    A negative number of zeros takes rows or columns away.
    """
    spatial = ((*edge, between) for edge, between in zip(edges, holes, strict=True))
    return lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *spatial, (0, 0, 0)))


def joined_phases(spec: ConvSpec, shape: tuple[int, ...], phases: list[list[jax.Array]]) -> jax.Array:
    """The image (n, h, w, c) of which phases[i][j] holds every stride-th row and column of the padded, from i and j."""
    grid = jnp.stack([jnp.stack(row, 3) for row in phases], 2)
    padded = grid.reshape(shape[0], grid.shape[1] * grid.shape[2], grid.shape[3] * grid.shape[4], shape[3])
    (top, _), (left, _) = spec.padding
    return padded[:, top : top + shape[1], left : left + shape[2]]


def sum_over_chunks(gradient: Callable, most: int, x: jax.Array, dy: jax.Array) -> Any:
    """The sum of gradient(x, dy) over the batch, in a loop over chunks of one to `most` images.

    The gradient is any tree of arrays; they are added up in float32 at least, and stay so. As in `map_over_chunks`, a
    batch that is split over several devices is brought together on each: right, and as slow as on one.
    """
    chunks, rest = _chunks(most, x, dy)

    def add(total, chunk):
        return jax.tree.map(lambda a, b: a + b.astype(a.dtype), total, gradient(*chunk)), None

    shapes = jax.eval_shape(gradient, *(a[0] for a in chunks))
    start = jax.tree.map(lambda a: jnp.zeros(a.shape, jnp.promote_types(a.dtype, jnp.float32)), shapes)
    total, _ = lax.scan(add, start, chunks)
    return add(total, rest)[0] if len(rest[0]) else total


def map_over_chunks(function: Callable, most: int, *arrays: jax.Array) -> Any:
    """function(*arrays), any tree of arrays, the same for each image, in a loop over chunks of one to `most` images."""
    chunks, rest = _chunks(most, *arrays)
    if len(chunks[0]) == 1 and not len(rest[0]):
        return function(*arrays)
    mapped = lax.map(lambda chunk: function(*chunk), chunks)
    mapped = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), mapped)
    if not len(rest[0]):
        return mapped
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), mapped, function(*rest))


def _chunks(most, *arrays):
    """Each array as (chunks, images, ...), and what is left: nothing, where chunks that divide are not much smaller."""
    n = len(arrays[0])
    most = min(n, max(1, most))
    dividing = max(size for size in range(1, most + 1) if n % size == 0)
    chunk = dividing if 2 * dividing >= most else most
    whole = n - n % chunk
    return tuple(a[:whole].reshape(-1, chunk, *a.shape[1:]) for a in arrays), tuple(a[whole:] for a in arrays)
