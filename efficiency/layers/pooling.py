"""Pooling written out in two ways: as XLA has it, and as a CPU is quick at.

Images are (batch, height, width, channels); a `Window` slides over height and width.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from efficiency.layers.convolution import ConvSpec, Pair, joined_phases
from efficiency.layers.formulations import phase_size, taps_of


@dataclasses.dataclass(frozen=True)
class Window:
    """A pooling window, its stride and its padding (before and after); hashable, so that it can be static."""

    size: Pair
    strides: Pair
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))

    @property
    def spec(self) -> ConvSpec:
        """The convolution that visits the same windows."""
        return ConvSpec(self.strides, self.padding)

    def taps(self, x: jax.Array, fill: float) -> list[jax.Array]:
        """For every position in the window, in row order, what it sees of x (n, oh, ow, c); `fill` is around x."""
        out = self.spec.output_size(x.shape, (*self.size, 1, 1))
        padded = jnp.pad(x, ((0, 0), *self.padding, (0, 0)), constant_values=fill)
        return [tap for row in taps_of(ConvSpec(self.strides), self.size, out, padded) for tap in row]

    def reduced(self, x: jax.Array, initial: float, operation: Callable) -> jax.Array:
        """XLA's own reduction of every window."""
        padding = ((0, 0), *self.padding, (0, 0))
        return lax.reduce_window(x, initial, operation, (1, *self.size, 1), (1, *self.strides, 1), padding)


def stock_max(window: Window, x: jax.Array) -> jax.Array:
    """The largest value of every window, by XLA's own operation."""
    return window.reduced(x, -jnp.inf, lax.max)


def stock_max_gradient(window: Window, x: jax.Array, y: jax.Array, dy: jax.Array) -> jax.Array:
    """Gives dy to the first of the largest values in every window; y is what `stock_max` made of x."""
    return jax.vjp(lambda x: stock_max(window, x), x)[1](dy)[0]


def cpu_max(window: Window, x: jax.Array) -> jax.Array:
    """`stock_max` as a maximum over strided slices."""
    largest, *others = window.taps(x, -jnp.inf)
    for tap in others:
        largest = jnp.maximum(largest, tap)
    return largest


def cpu_max_gradient(window: Window, x: jax.Array, y: jax.Array, dy: jax.Array) -> jax.Array:
    """`stock_max_gradient`, every value of x collecting from the windows that it is in."""
    taps = window.taps(x, -jnp.inf)
    chosen = jnp.full(y.shape, len(taps), jnp.uint8)
    # Backwards, so that the first of equal values is what stays.
    for position in reversed(range(len(taps))):
        chosen = jnp.where(taps[position] == y, jnp.uint8(position), chosen)

    def sent(position, chosen, dy):
        return jnp.where(chosen == position, dy, 0)

    return _collected(window, x.shape, sent, (chosen, dy))


def stock_sum(window: Window, x: jax.Array) -> jax.Array:
    """The sum of every window, by XLA's own operation."""
    return window.reduced(x, 0.0, lax.add)


def stock_sum_gradient(window: Window, shape: tuple[int, ...], dy: jax.Array) -> jax.Array:
    """Gives dy to every value of an x of this shape that a window sees."""
    x = jax.ShapeDtypeStruct(shape, dy.dtype)
    return jax.linear_transpose(lambda x: stock_sum(window, x), x)(dy)[0]


def cpu_sum(window: Window, x: jax.Array) -> jax.Array:
    """`stock_sum` as a sum over strided slices."""
    return sum(window.taps(x, 0))


def cpu_sum_gradient(window: Window, shape: tuple[int, ...], dy: jax.Array) -> jax.Array:
    """`stock_sum_gradient`, every value of x collecting from the windows that it is in."""
    (high, wide), (n, rows, columns, channels) = window.size, dy.shape
    if window.size == window.strides and shape == (n, rows * high, columns * wide, channels):
        # Windows that tile x: its values are copies.
        return jnp.broadcast_to(dy[:, :, None, :, None], (n, rows, high, columns, wide, channels)).reshape(shape)
    return _collected(window, shape, lambda position, dy: dy, (dy,))


def _collected(window: Window, shape, sent: Callable, maps) -> jax.Array:
    """What every value of x gets from all windows that it is in: `sent` by one, from its values in the maps.

    Row i of the padded x is position i - stride x o of window o, so that rows i = stride x q + phase collect from the
    windows q - j at their positions phase + stride x j, without a dilated array in between.
    """
    (high, wide), counts = window.strides, phase_size(window.spec, shape)
    reach = tuple((size - 1) // stride for size, stride in zip(window.size, window.strides, strict=True))
    # Windows outside send nothing: 0 of dy.
    around = [(back, count - size) for back, count, size in zip(reach, counts, maps[0].shape[1:3], strict=True)]
    around = [(0, 0, 0), *((*ends, 0) for ends in around), (0, 0, 0)]
    maps = [lax.pad(a, jnp.zeros((), a.dtype), around) for a in maps]

    def phase(row, column):
        total = jnp.zeros((shape[0], *counts, shape[3]), maps[-1].dtype)
        for i in range(row, window.size[0], high):
            for j in range(column, window.size[1], wide):
                start = reach[0] - i // high, reach[1] - j // wide
                parts = [a[:, start[0] :, start[1] :][:, : counts[0], : counts[1]] for a in maps]
                total += sent(i * window.size[1] + j, *parts)
        return total

    return joined_phases(window.spec, shape, [[phase(row, column) for column in range(wide)] for row in range(high)])
