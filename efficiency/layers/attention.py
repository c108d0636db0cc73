"""Attention: every position of one sequence takes a mean of another's, weighed by how well they go together.

Sequences are (n, t, features). A mask says which positions may be looked at, and broadcasts to (n, heads, t, s): t that
look, s that are looked at.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike

from efficiency.layers.initializers import constant, xavier_uniform
from efficiency.layers.modules import Dense

# Keys and values, each (n, s, heads, features of a head).
KeysValues = tuple[jax.Array, jax.Array]


def masked_softmax(scores: jax.Array, mask: jax.Array) -> jax.Array:
    """Weights over the last axis that add up to 1, in float32 at least; 0 where the mask is False.

    Where it is False everywhere, as in a row of padding alone, all weigh the same.
    """
    scores = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
    return nn.softmax(jnp.where(mask, scores, jnp.finfo(scores.dtype).min))


def causal_mask(length: int) -> jax.Array:
    """Each position may look at itself and those before: (1, 1, length, length)."""
    return jnp.tril(jnp.ones((length, length), bool))[None, None]


def attend(query: jax.Array, keys: jax.Array, values: jax.Array, mask: jax.Array) -> jax.Array:
    """Scaled dot-product attention (Vaswani et al., 2017, equation 1).

    Args:
        query: (n, t, heads, d). keys, values: (n, s, heads, d). mask: see above.

    Returns:
        (n, t, heads x d).
    """
    scores = jnp.einsum('nthd,nshd->nhts', query * query.shape[-1] ** -0.5, keys)
    weights = masked_softmax(scores, mask).astype(values.dtype)
    y = jnp.einsum('nhts,nshd->nthd', weights, values)
    return y.reshape(*y.shape[:2], -1)


def _heads(x: jax.Array, heads: int) -> jax.Array:
    return x.reshape(*x.shape[:2], heads, -1)


def _dense(features: int, dtype: DTypeLike) -> Dense:
    return Dense(features, kernel_init=xavier_uniform(), bias_init=constant(0), dtype=dtype)


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence to itself (Vaswani et al., 2017, section 3.2.2). (n, t, width) -> the same.

    Queries, keys and values come of one product, and that is also what their initial values are drawn for, as in
    torch's `nn.MultiheadAttention`.

    Attributes:
        width: a multiple of `heads`.
    """

    width: int
    heads: int
    dtype: DTypeLike = jnp.float32

    def setup(self):
        self.query_key_value = _dense(3 * self.width, self.dtype)
        self.out = _dense(self.width, self.dtype)

    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        return self.out(attend(*self._projected(x), mask))

    def cache(self, n: int, length: int) -> KeysValues:
        """Keys and values of so many positions, none of which is known yet."""
        shape = (n, length, self.heads, self.width // self.heads)
        return jnp.zeros(shape, self.dtype), jnp.zeros(shape, self.dtype)

    def step(self, x: jax.Array, cache: KeysValues, position: jax.Array) -> tuple[KeysValues, jax.Array]:
        """One position (n, 1, width) of a causal sequence, whose positions before are in the cache."""
        query, *new = self._projected(x)
        keys, values = cache = tuple(
            lax.dynamic_update_slice_in_dim(known, one, position, axis=1) for known, one in zip(cache, new, strict=True)
        )
        known = jnp.arange(keys.shape[1]) <= position
        return cache, self.out(attend(query, keys, values, known))

    def _projected(self, x):
        return tuple(_heads(part, self.heads) for part in jnp.split(self.query_key_value(x), 3, axis=-1))


class CrossAttention(nn.Module):
    """Multi-head attention of a sequence to another, the memory. (n, t, width) -> the same.

    The memory's keys and values do not depend on who looks: `project` makes them once.

    Attributes:
        width: a multiple of `heads`.
    """

    width: int
    heads: int
    dtype: DTypeLike = jnp.float32

    def setup(self):
        self.query = _dense(self.width, self.dtype)
        self.key_value = _dense(2 * self.width, self.dtype)
        self.out = _dense(self.width, self.dtype)

    def project(self, memory: jax.Array) -> KeysValues:
        """The keys and values of a memory (n, s, any features)."""
        keys, values = jnp.split(self.key_value(memory), 2, axis=-1)
        return _heads(keys, self.heads), _heads(values, self.heads)

    def __call__(self, x: jax.Array, memory: KeysValues, mask: jax.Array) -> jax.Array:
        return self.out(attend(_heads(self.query(x), self.heads), *memory, mask))
