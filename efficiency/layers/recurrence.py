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

from efficiency.layers import ops
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


def _where_real(real: jax.Array | None, new: Any, old: Any) -> Any:
    return new if real is None else jax.tree.map(partial(jnp.where, real[:, None]), new, old)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _through(
    reverse: bool, kernel: jax.Array, state: State, projected: jax.Array, mask: jax.Array | None
) -> tuple[State, jax.Array]:
    """A layer over a sequence whose gates' part (t, n, 4 x features) of the input is known.

    Its gradient is that of the steps, but for two things. The kernel's is one product after the loop, where a loop's
    own gradient would add one up at each step; and of a step only its gates and its state are kept, from which it is
    done again, where else each of its operations would leave something in memory.
    """

    def step(state, inputs):
        gates, real = inputs
        state = _where_real(real, cell(gates + state[0] @ kernel, state[1]), state)
        return state, state[0]

    return lax.scan(step, state, (projected, mask), reverse=reverse)


def _through_and_kept(reverse, kernel, state, projected, mask):
    def step(state, inputs):
        gates, real = inputs
        gates = gates + state[0] @ kernel
        return (new := _where_real(real, cell(gates, state[1]), state)), (gates, new)

    end, (gates, states) = lax.scan(step, state, (projected, mask), reverse=reverse)

    def before(first, later):
        return jnp.concatenate([later[1:], first[None]] if reverse else [first[None], later[:-1]])

    return (end, states[0]), (kernel, gates, jax.tree.map(before, state, states), mask)


def _back(reverse, kept, gradients):
    kernel, gates, (hidden, remembered), mask = kept

    def step(later, inputs):
        gates, remembered, real, of_output = inputs
        later = later[0] + of_output, later[1]
        of_gates, of_remembered = jax.vjp(cell, gates, remembered)[1](later)
        if real is not None:
            of_gates = jnp.where(real[:, None], of_gates, 0)
        return _where_real(real, (of_gates @ kernel.T, of_remembered), later), of_gates

    of_end, of_outputs = gradients
    of_start, of_gates = lax.scan(step, of_end, (gates, remembered, mask, of_outputs), reverse=not reverse)
    return ops.sum_of_products(hidden, of_gates), of_start, of_gates, None


_through.defvjp(_through_and_kept, _back)


@jax.custom_vjp
def _projected(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """x @ kernel: the input's part of the gates (t, n, 4 x features)."""
    return x @ kernel


def _projected_back(kept, gradient):
    x, kernel = kept
    return gradient @ kernel.T, ops.sum_of_products(x, gradient)


_projected.defvjp(lambda x, kernel: (_projected(x, kernel), (x, kernel)), _projected_back)


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
        self, x: jax.Array, state: Any, mask: jax.Array | None = None, body: Callable | None = None
    ) -> tuple[Any, Any]:
        """Goes over a sequence.

        Args:
            x: (t, n, in).
            state: before the first step; a `State`, or what `body` takes.
            mask: (t, n), which tokens are real; at the others a layer keeps its state. None where all are.
            body: (kernel, state, (gates, whether real or None)) -> (state, output), for a layer that does more in a
                step: kernel (feed + features, 4 x features) multiplies what is fed back, then the hidden state; gates
                (n, 4 x features) are the input's part of the gates, bias included. None for a step of the LSTM alone.

        Returns:
            The state after the last step, and the outputs of all steps (t, n, features), or what `body` puts out.
        """
        gates = 4 * self.features

        def kernel(name: str, init: Initializer | None, rows: int) -> jax.Array:
            return self.param(name, init or normal(rows**-0.5), (rows, gates)).astype(self.dtype)

        projected = _projected(x.astype(self.dtype), kernel('kernel', self.kernel_init, x.shape[-1]))
        projected += self.param('bias', self.bias_init or forget_bias(1), (gates,)).astype(self.dtype)
        recurrent = kernel('recurrent_kernel', self.recurrent_init or orthogonal_gates(), self.features)
        if self.feed:
            recurrent = jnp.concatenate([kernel('feed_kernel', self.feed_init, self.feed), recurrent])
        if body is None:
            return _through(self.reverse, recurrent, state, projected, mask)
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
