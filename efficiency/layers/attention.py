"""Attention: every position of one sequence takes a mean of another's, weighed by how well they go together.

Sequences are (n, t, features). A mask says which positions may be looked at, and broadcasts to (n, heads, t, s): t that
look, s that are looked at.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike

from efficiency.layers import ops
from efficiency.layers.causal import ROWS, causal_attention
from efficiency.layers.initializers import Initializer, constant, xavier_uniform
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


def attend(
    query: jax.Array,
    keys: jax.Array,
    values: jax.Array,
    mask: jax.Array,
    scale: float | None = None,
    bias: jax.Array | None = None,
) -> jax.Array:
    """Scaled dot-product attention (Vaswani et al., 2017, equation 1).

    Args:
        query: (n, t, heads, d). keys, values: (n, s, heads, d). mask: see above.
        scale: of the products; the root of 1 / d where None.
        bias: added to them, and broadcasts to (n, heads, t, s).

    Returns:
        (n, t, heads x d).
    """
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    scores = jnp.einsum('nthd,nshd->nhts', query * scale, keys)
    scores = scores if bias is None else scores + bias
    weights = masked_softmax(scores, mask).astype(values.dtype)
    y = jnp.einsum('nhts,nshd->nthd', weights, values)
    return y.reshape(*y.shape[:2], -1)


def attend_causally(query: jax.Array, keys: jax.Array, values: jax.Array) -> jax.Array:
    """`attend` under a `causal_mask`, which a CPU does without multiplying what is hidden; it is counted all the same.

    Args:
        query, keys, values: (n, t, heads, d).

    Returns:
        (n, t, heads x d).
    """

    def stock(query, keys, values):
        return attend(query, keys, values, causal_mask(query.shape[1]))

    def cpu(query, keys, values):
        y = causal_attention(query, keys, values, query.shape[-1] ** -0.5)
        return y.reshape(*y.shape[:2], -1)

    # In one block there is nothing to leave out.
    if query.shape[1] <= ROWS:
        return stock(query, keys, values)
    return ops.by_platform(cpu, stock, query, keys, values)


def rotated(x: jax.Array, positions: jax.Array) -> jax.Array:
    """Heads turned by their positions (Su et al., 2021, arXiv:2104.09864, section 3.4.2): (n, t, heads, d), d even.

    What two of them have to do with each other then depends on how far apart they are. Feature i turns with feature
    i + d / 2, by the position over 10,000^(2 i / d).

    Args:
        positions: (t,).
    """
    half = x.shape[-1] // 2
    angles = positions[:, None] / 10_000 ** (jnp.arange(half) / half)
    sine, cosine = (wave(angles).astype(x.dtype)[:, None] for wave in (jnp.sin, jnp.cos))
    first, second = x[..., :half], x[..., half:]
    return jnp.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)


def _heads(x: jax.Array, heads: int) -> jax.Array:
    return x.reshape(*x.shape[:2], heads, -1)


def _dense(features: int, dtype: DTypeLike, init: Initializer | None = None, bias: bool = True) -> Dense:
    return Dense(features, kernel_init=init or xavier_uniform(), bias_init=constant(0), dtype=dtype, bias=bias)


class RMSNorm(nn.Module):
    """Divides by the root of the mean square (Zhang & Sennrich, 2019, arXiv:1910.07467), in float32 at least."""

    eps: float = 1e-6
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param('scale', constant(1), x.shape[-1:])
        x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        y = x * lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + self.eps)
        return (y * scale).astype(self.dtype)


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence to itself (Vaswani et al., 2017, section 3.2.2). (n, t, width) -> the same.

    Queries, keys and values come of one product, and that is also what their initial values are drawn for, as in
    torch's `nn.MultiheadAttention`.

    Attributes:
        width: a multiple of `heads`.
        kv_heads: of keys and values, each for as many of `heads`, which are a multiple (Shazeer, 2019,
            arXiv:1911.02150; Ainslie et al., 2023, arXiv:2305.13245); `heads` where None.
        bias: whether the linear layers have biases.
        rotary: whether queries and keys are `rotated`.
        qk_norm: whether queries and keys are normalised, each head by itself (Henry et al., 2020, arXiv:2010.04245;
            here by their root mean square and a learned scale).
        kernel_init, out_init: of the projections, and of what comes out; Glorot's where None.
    """

    width: int
    heads: int
    dtype: DTypeLike = jnp.float32
    kv_heads: int | None = None
    bias: bool = True
    rotary: bool = False
    qk_norm: bool = False
    kernel_init: Initializer | None = None
    out_init: Initializer | None = None

    def setup(self):
        features = (self.heads + 2 * self._kv_heads) * (self.width // self.heads)
        self.query_key_value = _dense(features, self.dtype, self.kernel_init, self.bias)
        self.out = _dense(self.width, self.dtype, self.out_init, self.bias)
        if self.qk_norm:
            self.query_norm, self.key_norm = RMSNorm(dtype=self.dtype), RMSNorm(dtype=self.dtype)

    @property
    def _kv_heads(self) -> int:
        return self.kv_heads or self.heads

    def __call__(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
        """Under a mask; each position looks at itself and those before where it is None."""
        query, keys, values = self._projected(x, jnp.arange(x.shape[1]))
        keys, values = self._for_all_heads(keys), self._for_all_heads(values)
        return self.out(attend_causally(query, keys, values) if mask is None else attend(query, keys, values, mask))

    def cache(self, n: int, length: int) -> KeysValues:
        """Keys and values of so many positions, none of which is known yet."""
        shape = (n, length, self._kv_heads, self.width // self.heads)
        return jnp.zeros(shape, self.dtype), jnp.zeros(shape, self.dtype)

    def step(self, x: jax.Array, cache: KeysValues, position: jax.Array) -> tuple[KeysValues, jax.Array]:
        """One position (n, 1, width) of a causal sequence, whose positions before are in the cache."""
        query, *new = self._projected(x, jnp.asarray(position)[None])
        keys, values = cache = tuple(
            lax.dynamic_update_slice_in_dim(known, one, position, axis=1) for known, one in zip(cache, new, strict=True)
        )
        known = jnp.arange(keys.shape[1]) <= position
        return cache, self.out(attend(query, self._for_all_heads(keys), self._for_all_heads(values), known))

    def _projected(self, x, positions):
        width, shared = self.width, self._kv_heads * (self.width // self.heads)
        parts = jnp.split(self.query_key_value(x), [width, width + shared], axis=-1)
        query, key, value = (
            _heads(part, heads) for part, heads in zip(parts, (self.heads, *[self._kv_heads] * 2), strict=True)
        )
        if self.qk_norm:
            query, key = self.query_norm(query), self.key_norm(key)
        if self.rotary:
            query, key = rotated(query, positions), rotated(key, positions)
        return query, key, value

    def _for_all_heads(self, x):
        """Keys or values, repeated for the heads that share them."""
        times = self.heads // self._kv_heads
        return x if times == 1 else jnp.repeat(x, times, axis=2)


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
