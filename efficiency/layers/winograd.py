"""3x3 convolutions in 2.25 times fewer multiplies: Winograd's minimal filtering F(2x2, 3x3).

Lavin & Gray 2015, "Fast Algorithms for Convolutional Neural Networks" (arXiv:1509.09308), section 4.1: an output tile
of 2x2 comes from an input tile d of 4x4 and the kernel g as Y = A' [(G g G') * (B' d B)] A, the product element by
element, and so, over channels and tiles, as 16 matrix multiplies. The matrices hold 0, 1, -1 and 1/2, so float32 loses
little: errors are as small as in the direct sum, but relative to the largest value of a tile, and a value that is not
finite reaches its whole tile. The input gradient is such a convolution; the kernel gradient is the transpose.
"""

import jax
import jax.numpy as jnp

from efficiency.layers.convolution import (
    ConvSpec,
    Formulation,
    in_float32,
    joined_phases,
    map_over_chunks,
    padded,
    sum_over_chunks,
)

Grid = list[list[jax.Array]]

_B = ((1, 0, 0, 0), (0, 1, -1, 1), (-1, 1, 1, 0), (0, 0, 0, -1))
_G = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))
_A = ((1, 0), (1, 1), (1, -1), (0, -1))

# Bytes of transformed tiles that a step of the loop over the batch works on, or one image's where those are more; they
# should fit into the cache.
_CHUNK_BYTES = 2**24


def saving(out: tuple[int, int]) -> float:
    """Multiplies of the direct sum over those in here, for an output of so many rows and columns: 2.25 if even."""
    rows, columns = _tiles(out)
    return 9 * out[0] * out[1] / (16 * rows * columns)


def _tiles(out):
    return -(-out[0] // 2), -(-out[1] // 2)


def _transposed(matrix):
    return tuple(zip(*matrix, strict=True))


def _transform(matrix, grid: Grid) -> Grid:
    """matrix x grid x matrix', each element of the grid an array."""

    def combine(parts):
        return [sum(c * part for c, part in zip(row, parts, strict=True) if c) for row in matrix]

    columns = [combine(column) for column in zip(*grid, strict=True)]
    return [combine(row) for row in zip(*columns, strict=True)]


def _input_tiles(spec: ConvSpec, out, x: jax.Array) -> Grid:
    """B' d B of every tile: 4x4 arrays (n x tiles, channels)."""
    tiles = _tiles(out)
    edges = [(before, after + 2 * t - o) for (before, after), t, o in zip(spec.padding, tiles, out, strict=True)]
    x = padded(x, edges)
    parts = [[x[:, i : i + 2 * tiles[0] - 1 : 2, j : j + 2 * tiles[1] - 1 : 2] for j in range(4)] for i in range(4)]
    return _flat(_transform(_transposed(_B), parts))


def _flat(grid: Grid) -> Grid:
    return [[part.reshape(-1, part.shape[-1]) for part in row] for row in grid]


def _products(left: Grid, right: Grid) -> Grid:
    """The matrix product of each element of a grid with that of the other."""
    return [[a @ b for a, b in zip(*rows, strict=True)] for rows in zip(left, right, strict=True)]


def _chunk(out, x, channels) -> int:
    rows, columns = _tiles(out)
    return _CHUNK_BYTES // (
        16 * rows * columns * max(x.shape[3], channels) * jnp.promote_types(x.dtype, jnp.float32).itemsize
    )


def _forward(spec: ConvSpec, x: jax.Array, kernel: jax.Array) -> jax.Array:
    kernels = _transform(_G, [[in_float32(kernel[i, j]) for j in range(3)] for i in range(3)])
    return _convolution(spec, spec.output_size(x.shape, kernel.shape), x, kernels)


def _input_gradient(spec: ConvSpec, shape, kernel: jax.Array, dy: jax.Array) -> jax.Array:
    """The convolution of the cotangent with the kernel turned around."""
    turned = ConvSpec(padding=tuple((2 - before, 2 - after) for before, after in spec.padding))
    kernels = _transform(_G, [[in_float32(kernel[2 - i, 2 - j]) for j in range(3)] for i in range(3)])
    return _convolution(turned, shape[1:3], dy, [[k.T for k in row] for row in kernels])


def _convolution(spec: ConvSpec, out, x: jax.Array, kernels: Grid) -> jax.Array:
    rows, columns = _tiles(out)
    channels = kernels[0][0].shape[1]

    def convolve(x):
        y = _transform(_transposed(_A), _products(_input_tiles(spec, out, in_float32(x)), kernels))
        y = [[part.reshape(-1, rows, columns, channels) for part in row] for row in y]
        return joined_phases(ConvSpec(strides=(2, 2)), (len(x), *out, channels), y).astype(x.dtype)

    return map_over_chunks(convolve, _chunk(out, x, channels), x)


def _kernel_gradient(spec: ConvSpec, shape, x: jax.Array, dy: jax.Array) -> jax.Array:
    """G' [(B' d B) * (A dy A')] G, summed over all tiles."""
    out = dy.shape[1:3]
    rows, columns = _tiles(out)

    def gradient(x, dy):
        x, dy = in_float32(x), in_float32(dy)
        dy = padded(dy, [(0, 2 * tiles - size) for tiles, size in zip((rows, columns), out, strict=True)])
        cotangents = _flat(_transform(_A, [[dy[:, i::2, j::2] for j in range(2)] for i in range(2)]))
        return _products([[tile.T for tile in row] for row in _input_tiles(spec, out, x)], cotangents)

    # In a loop of two turns at least, where there are two images: XLA would keep the forward pass's tiles for this,
    # four times the memory of x, and compute them again for each multiply where they are cheap to compute.
    products = sum_over_chunks(gradient, min(_chunk(out, x, dy.shape[3]), len(x) // 2), x, dy)
    return jnp.stack([jnp.stack(row) for row in _transform(_transposed(_G), products)]).astype(x.dtype)


WINOGRAD = Formulation(_forward, _input_gradient, _kernel_gradient)
