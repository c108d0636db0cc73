"""T5: an encoder that reads a text with spans taken out, and a decoder that writes them."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.data.tokens import PADDING
from efficiency.layers.attention import RMSNorm, attend, causal_mask
from efficiency.layers.initializers import normal
from efficiency.layers.modules import Dense
from efficiency.tasks.language.networks.registry import register

_BUCKETS, _FARTHEST = 32, 128


def distance_buckets(length: int, both_ways: bool) -> np.ndarray:
    """(length, length): in which bucket of distances what a row looks at, a column, is (paper, section 2.1).

    Half of the buckets are a distance each, the others a range of its logarithm each, up to 128. Both ways, half of all
    are for what follows; else what follows is in the bucket of a distance of 0.
    """
    distance = np.arange(length)[:, None] - np.arange(length)
    buckets, offset = _BUCKETS, 0
    if both_ways:
        buckets //= 2
        offset = np.where(distance < 0, buckets, 0)
        distance = np.abs(distance)
    else:
        distance = np.maximum(distance, 0)
    exact = buckets // 2
    # In float32, in which it was published: where a border falls depends on it.
    ratio = np.log(np.maximum(distance, 1).astype(np.float32) / np.float32(exact)) / np.float32(
        math.log(_FARTHEST / exact)
    )
    far = np.minimum(exact + (ratio * np.float32(buckets - exact)).astype(int), buckets - 1)
    return offset + np.where(distance < exact, distance, far)


class Attention(nn.Module):
    """Attention without biases, whose scores are not scaled but by its initial values. (n, t, width) -> the same."""

    width: int
    heads: int
    head: int
    dtype: DTypeLike

    def setup(self):
        inner = self.heads * self.head
        dense = partial(Dense, dtype=self.dtype, bias=False)
        self.query = dense(inner, normal((self.width * self.head) ** -0.5))
        self.key, self.value = (dense(inner, normal(self.width**-0.5)) for _ in range(2))
        self.out = dense(self.width, normal(inner**-0.5))

    def __call__(self, x: jax.Array, memory: jax.Array, mask: jax.Array, bias: jax.Array | None = None) -> jax.Array:
        query, key, value = (
            part.reshape(*part.shape[:2], self.heads, self.head)
            for part in (self.query(x), self.key(memory), self.value(memory))
        )
        return self.out(attend(query, key, value, mask, scale=1.0, bias=bias))


class Stack(nn.Module):
    """The layers of the encoder, or of the decoder, with a norm in front of every sublayer and behind the last."""

    layers: int
    width: int
    hidden: int
    heads: int
    head: int
    decodes: bool
    dropout: float
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, x: jax.Array, mask: jax.Array, memory: jax.Array | None, memory_mask: jax.Array | None, train: bool
    ) -> jax.Array:
        def around(x, name, sublayer):
            y = sublayer(RMSNorm(dtype=self.dtype, name=f'{name}_norm')(x))
            return x + nn.Dropout(self.dropout, deterministic=not train)(y)

        attention = partial(Attention, self.width, self.heads, self.head, self.dtype)
        dense = partial(Dense, dtype=self.dtype, bias=False)
        # Of all layers the same; in torch it is the first one's.
        distances = self.param('distances', normal(self.width**-0.5), (_BUCKETS, self.heads))
        bias = distances[distance_buckets(x.shape[1], not self.decodes)].transpose(2, 0, 1)[None].astype(self.dtype)
        for i in range(self.layers):
            own = attention(name=f'attention_{i}')
            x = around(x, f'attention_{i}', lambda y, own=own: own(y, y, mask, bias))
            if self.decodes:
                other = attention(name=f'source_attention_{i}')
                x = around(x, f'source_attention_{i}', lambda y, other=other: other(y, memory, memory_mask))
            first = dense(self.hidden, normal(self.width**-0.5), name=f'hidden_{i}')
            second = dense(self.width, normal(self.hidden**-0.5), name=f'out_{i}')
            x = around(x, f'hidden_{i}', lambda y, first=first, second=second: second(nn.relu(first(y))))
        x = RMSNorm(dtype=self.dtype, name='last_norm')(x)
        return nn.Dropout(self.dropout, deterministic=not train)(x)


class T5(nn.Module):
    """Raffel et al., 2019, arXiv:1910.10683: the encoder-decoder with distances in place of positions.

    (source (n, s), tokens (n, t)) -> logits (n, t, vocabulary).

                   parameters     dense multiply-adds forward, of a row of 512 tokens (t5: 256), as `Spans` makes of it
        t5_base    222,903,552    63,670,493,184
        t5         6,536,960      940,491,776

    The paper says 220M. One table embeds both sides and is the softmax's matrix, scaled by the root of 1 / width.

    Attributes:
        layers: of the encoder, and as many of the decoder.
        width, hidden, heads, dropout: as of `Transformer`.
        head: features of a head.
    """

    vocabulary: int
    context: int
    layers: int = 3
    width: int = 256
    hidden: int = 1024
    heads: int = 4
    head: int = 64
    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32

    def setup(self):
        stack = partial(
            Stack, self.layers, self.width, self.hidden, self.heads, self.head, dropout=self.dropout, dtype=self.dtype
        )
        self.embedding = nn.Embed(self.vocabulary, self.width, embedding_init=normal(1.0), dtype=self.dtype)
        self.encoder, self.decoder = stack(decodes=False), stack(decodes=True)
        self.drop = nn.Dropout(self.dropout)

    def __call__(self, source: jax.Array, tokens: jax.Array, train: bool) -> jax.Array:
        read = (source != PADDING)[:, None, None]
        memory = self.encoder(self.drop(self.embedding(source), deterministic=not train), read, None, None, train)
        x = self.drop(self.embedding(tokens), deterministic=not train)
        x = self.decoder(x, causal_mask(tokens.shape[1]), memory, read, train)
        logits = self.embedding.attend(x * self.width**-0.5)
        return logits.astype(jnp.promote_types(self.dtype, jnp.float32))


_register = partial(register, paper='arXiv:1910.10683', published='2019-10-23', objective='spans')
t5 = _register('t5', options=('layers', 'width', 'hidden', 'heads', 'head', 'dropout'))(T5)
t5_base = _register('t5_base', options=('dropout',), vocabulary=32_128, context=512)(
    partial(T5, layers=12, width=768, hidden=3072, heads=12, head=64, dropout=0.1)
)
