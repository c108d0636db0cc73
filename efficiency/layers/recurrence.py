"""Recurrence: long short-term memory, with all that does not wait for the step before outside of the loop.

Sequences are time-major here, (t, n, features), as a loop over time reads them. A layer multiplies its whole input in
one product; the loop's body has only the product with what it has just put out.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike

from efficiency.layers.initializers import Initializer, forget_bias, normal, orthogonal_gates

# What an LSTM has put out and what it remembers, each (n, features).
State = tuple[jax.Array, jax.Array]


def zero_state(n: int, features: int, dtype: DTypeLike) -> State:
    """The state of an LSTM that has seen nothing."""
    return jnp.zeros((n, features), dtype), jnp.zeros((n, features), dtype)


def cell(gates: jax.Array, remembered: jax.Array) -> State:
    """One step of an LSTM (Hochreiter & Schmidhuber, 1997, with the forget gate of Gers et al., 2000).

    Args:
        gates: (n, 4 x features) before their activations: input, forget, candidate, output, as torch has them.
        remembered: (n, features).
    """
    enter, keep, candidate, leave = jnp.split(gates, 4, axis=-1)
    remembered = nn.sigmoid(keep) * remembered + nn.sigmoid(enter) * jnp.tanh(candidate)
    return nn.sigmoid(leave) * jnp.tanh(remembered), remembered


def _step(kernel: jax.Array, state: State, inputs: tuple[jax.Array, jax.Array | None]) -> tuple[State, jax.Array]:
    gates, real = inputs
    hidden, remembered = state
    new = cell(gates + hidden @ kernel, remembered)
    if real is not None:
        new = jax.tree.map(partial(jnp.where, real[:, None]), new, state)
    return new, new[0]


class LSTM(nn.Module):
    """One layer in one direction. (t, n, in) -> (t, n, features), and the state after it.

    Its multiply-adds are 4 x features x (in + features) for each token. torch's adds up two biases where this has one.

    Attributes:
        reverse: from the last token to the first.
        feed: how many features a `body` of the caller's feeds back beside those of the state.
        kernel_init: of what multiplies the input (in, 4 x features), by default normal with variance 1 / in.
        recurrent_init: of what multiplies the layer's own output (features, 4 x features), by default orthogonal.
        feed_init: of what multiplies what is fed back (feed, 4 x features), by default normal with variance 1 / feed.
        bias_init: by default 1 for the forget gates, so that a layer remembers at first (Jozefowicz et al., 2015).
    """

    features: int
    reverse: bool = False
    feed: int = 0
    kernel_init: Initializer | None = None
    recurrent_init: Initializer | None = None
    feed_init: Initializer | None = None
    bias_init: Initializer | None = None
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, state: Any, mask: jax.Array | None = None, body: Callable = _step
    ) -> tuple[Any, Any]:
        """Goes over a sequence.

        Args:
            x: (t, n, in).
            state: before the first step; a `State`, or what `body` takes.
            mask: (t, n), which tokens are real; at the others a layer keeps its state. None where all are.
            body: (kernel, state, (gates, whether real or None)) -> (state, output), for a layer that does more in a
                step: kernel (feed + features, 4 x features) multiplies what is fed back, then the hidden state; gates
                (n, 4 x features) are the input's part of the gates, bias included.

        Returns:
            The state after the last step, and the outputs of all steps (t, n, features), or what `body` puts out.
        """
        gates = 4 * self.features

        def kernel(name: str, init: Initializer | None, rows: int) -> jax.Array:
            return self.param(name, init or normal(rows**-0.5), (rows, gates)).astype(self.dtype)

        projected = x.astype(self.dtype) @ kernel('kernel', self.kernel_init, x.shape[-1])
        projected += self.param('bias', self.bias_init or forget_bias(1), (gates,)).astype(self.dtype)
        recurrent = kernel('recurrent_kernel', self.recurrent_init or orthogonal_gates(), self.features)
        if self.feed:
            recurrent = jnp.concatenate([kernel('feed_kernel', self.feed_init, self.feed), recurrent])
        return lax.scan(partial(body, recurrent), state, (projected, mask), reverse=self.reverse)


class Bidirectional(nn.Module):
    """Two LSTMs, one from each end. (t, n, in) -> (t, n, 2 x features): outputs, and states, side by side.

    Attributes:
        layer: makes an LSTM of `features`, `reverse` and `name`.
        features: of each direction.
    """

    layer: Callable[..., LSTM]
    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> tuple[State, jax.Array]:
        start = zero_state(x.shape[1], self.features, self.dtype)
        ways = [
            self.layer(self.features, reverse=reverse, name=name)(x, start, mask)
            for name, reverse in (('forward', False), ('backward', True))
        ]
        return jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=-1), *ways)
