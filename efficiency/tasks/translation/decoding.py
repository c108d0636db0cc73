"""How a network writes a translation: the likeliest next token each time, or the best of several beginnings.

Both are scans over positions with what the network keeps of those before, so that what they cost is counted exactly. A
network is asked by its methods `encode`, `start` and `step`, see `efficiency.tasks.translation.networks`.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from efficiency.data.tokens import BEGIN, END, PADDING

Variables = Any
# What is never written: no translation begins twice, or pads itself.
_NEVER = (PADDING, BEGIN)


def greedy(network: nn.Module, variables: Variables, source: jax.Array, length: int) -> jax.Array:
    """The likeliest token at each position, after those before.

    Args:
        network: a network of translation.
        variables: its.
        source: (n, s) tokens.
        length: of a translation at most, its end included.

    Returns:
        (n, length) int32 tokens; padding behind the end.
    """
    apply = partial(network.apply, variables)
    memory = apply(source, method='encode')

    def write(state, position):
        carry, token, ended = state
        carry, logits = apply(memory, carry, token, position, method='step')
        token = jnp.where(ended, PADDING, jnp.argmax(_written(logits), -1)).astype(jnp.int32)
        return (carry, token, ended | (token == END)), token

    begin = jnp.full(len(source), BEGIN, jnp.int32)
    state = apply(memory, length, method='start'), begin, jnp.zeros(len(source), bool)
    return jax.lax.scan(write, state, jnp.arange(length))[1].T


def beam_search(
    network: nn.Module, variables: Variables, source: jax.Array, length: int, width: int, penalty: float
) -> jax.Array:
    """The best of the translations that come of the `width` likeliest beginnings at each position.

    One that has ended stays among these as long as it is as likely as they are. Of those at the end the best is that of
    the greatest log-likelihood over ((5 + tokens) / 6)^penalty (Wu et al. 2016, arXiv:1609.08144, equation 14, without
    its coverage).

    Args:
        network, variables, source, length: see `greedy`.
        width: how many beginnings are kept.
        penalty: 0 takes the likeliest, more a longer one.

    Returns:
        As `greedy`.
    """
    apply = partial(network.apply, variables)
    count = len(source)
    memory = _repeated(apply(source, method='encode'), width)
    rows = jnp.arange(count)[:, None]

    def write(state, position):
        carry, tokens, scores, ended = state
        last = jnp.where(position == 0, BEGIN, jnp.take(tokens, position - 1, axis=2))
        carry, logits = apply(memory, carry, last.reshape(-1), position, method='step')
        logs = _written(jax.nn.log_softmax(logits)).reshape(count, width, -1)
        # What has ended goes on with padding alone, for nothing.
        padding = jnp.full(logs.shape[2], -jnp.inf).at[PADDING].set(0)
        totals = scores[:, :, None] + jnp.where(ended[:, :, None], padding, logs)
        scores, places = jax.lax.top_k(totals.reshape(count, -1), width)
        beams, token = places // logs.shape[2], (places % logs.shape[2]).astype(jnp.int32)
        flat = (rows * width + beams).reshape(-1)
        carry = jax.tree.map(lambda leaf: leaf[flat], carry)
        tokens = tokens[rows, beams].at[:, :, position].set(token)
        return (carry, tokens, scores, ended[rows, beams] | (token == END)), None

    carry = _repeated(apply(jax.tree.map(lambda leaf: leaf[::width], memory), length, method='start'), width)
    # All begin alike, so that but one of them counts.
    scores = jnp.where(jnp.arange(width) == 0, 0.0, -jnp.inf) * jnp.ones((count, 1))
    tokens = jnp.full((count, width, length), PADDING, jnp.int32)
    state = carry, tokens, scores, jnp.zeros((count, width), bool)
    (_, tokens, scores, _), _ = jax.lax.scan(write, state, jnp.arange(length))
    lengths = (tokens != PADDING).sum(2)
    best = jnp.argmax(scores / ((5 + lengths) / 6) ** penalty, axis=1)
    return tokens[jnp.arange(count), best]


def _written(values: jax.Array) -> jax.Array:
    """Without those of tokens that are never written. (..., vocabulary) -> the same."""
    return values.at[..., jnp.array(_NEVER)].set(-jnp.inf)


def _repeated(tree: Any, times: int) -> Any:
    return jax.tree.map(lambda leaf: jnp.repeat(leaf, times, axis=0), tree)
