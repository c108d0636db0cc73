"""The Transformer: attention and nothing that waits for the word before; as published, and with its norms moved."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.data.tokens import PADDING
from efficiency.errors import UserError
from efficiency.layers.attention import CrossAttention, KeysValues, SelfAttention
from efficiency.layers.initializers import constant, normal, xavier_uniform
from efficiency.layers.modules import Dense, product
from efficiency.layers.positions import sinusoids
from efficiency.tasks.translation.networks.registry import register


def _layer_norm(dtype: DTypeLike) -> nn.LayerNorm:
    return nn.LayerNorm(1e-5, dtype, scale_init=constant(1), bias_init=constant(0), use_fast_variance=False)


class FeedForward(nn.Module):
    """Two linear layers at each position (paper, section 3.3). (n, t, width) -> the same."""

    width: int
    hidden: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        dense = partial(Dense, kernel_init=xavier_uniform(), bias_init=constant(0), dtype=self.dtype)
        return dense(self.width, name='out')(nn.relu(dense(self.hidden, name='hidden')(x)))


class Residual(nn.Module):
    """What is around every sublayer: x + dropout(sublayer(x)), with a layer norm after that, or before the sublayer."""

    pre_norm: bool
    dropout: float
    dtype: DTypeLike

    def setup(self):
        self.norm = _layer_norm(self.dtype)
        self.drop = nn.Dropout(self.dropout)

    def before(self, x: jax.Array) -> jax.Array:
        """What the sublayer is given."""
        return self.norm(x) if self.pre_norm else x

    def after(self, x: jax.Array, y: jax.Array, train: bool) -> jax.Array:
        """What comes of x and of what the sublayer gave."""
        x = x + self.drop(y, deterministic=not train)
        return x if self.pre_norm else self.norm(x)


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward network. (n, s, width) -> the same."""

    width: int
    hidden: int
    heads: int
    pre_norm: bool
    dropout: float
    dtype: DTypeLike

    def setup(self):
        self.attention = SelfAttention(self.width, self.heads, self.dtype)
        self.feed_forward = FeedForward(self.width, self.hidden, self.dtype)
        self.residuals = [Residual(self.pre_norm, self.dropout, self.dtype) for _ in range(2)]

    def __call__(self, x: jax.Array, mask: jax.Array, train: bool) -> jax.Array:
        first, second = self.residuals
        x = first.after(x, self.attention(first.before(x), mask), train)
        return second.after(x, self.feed_forward(second.before(x)), train)


class DecoderLayer(nn.Module):
    """Attention to what is written, attention to the source, and a feed-forward network. (n, t, width) -> the same."""

    width: int
    hidden: int
    heads: int
    pre_norm: bool
    dropout: float
    dtype: DTypeLike

    def setup(self):
        self.attention = SelfAttention(self.width, self.heads, self.dtype)
        self.source_attention = CrossAttention(self.width, self.heads, self.dtype)
        self.feed_forward = FeedForward(self.width, self.hidden, self.dtype)
        self.residuals = [Residual(self.pre_norm, self.dropout, self.dtype) for _ in range(3)]

    def __call__(self, x: jax.Array, source: KeysValues, mask: jax.Array, train: bool) -> jax.Array:
        first = self.residuals[0]
        x = first.after(x, self.attention(first.before(x), None), train)
        return self._rest(x, source, mask, train)

    def step(
        self, x: jax.Array, source: KeysValues, mask: jax.Array, cache: KeysValues, position: jax.Array
    ) -> tuple[KeysValues, jax.Array]:
        """One position (n, 1, width), after those in the cache."""
        first = self.residuals[0]
        cache, y = self.attention.step(first.before(x), cache, position)
        return cache, self._rest(first.after(x, y, train=False), source, mask, train=False)

    def _rest(self, x, source, mask, train):
        _, second, third = self.residuals
        x = second.after(x, self.source_attention(second.before(x), source, mask), train)
        return third.after(x, self.feed_forward(third.before(x)), train)


class Transformer(nn.Module):
    """Vaswani et al., 2017, arXiv:1706.03762.

    One table, scaled by the root of its width, embeds both languages and is the softmax's matrix (section 3.4), so both
    have one vocabulary. With `pre_norm` the norms stand before the sublayers and after the last layers, so that deep
    networks can be trained (Wang et al., 2019, arXiv:1906.01787). A deep encoder with a shallow decoder is as
    good and quicker at decoding (Kasai et al., 2020, arXiv:2006.10369; theirs are wider and of 12 and 1 layers).

                                   parameters    dense multiply-adds forward, 25 + 25 tokens
        transformer_base           63,082,496    1,586,124,800
        transformer_big            214,245,376   5,374,259,200
        transformer                1,505,792     38,816,000       (4,000 tokens)
        transformer_pre_norm       1,506,304     38,816,000
        transformer_deep_encoder   1,505,664     38,656,000

    The paper prints 65M and 213M (table 3), for which no one vocabulary is right: 41,000 and 36,000 tokens would be.
    Attention's linear layers have biases, as in fairseq and torch.

    Attributes:
        encoder_layers, decoder_layers: how many.
        width: of what goes from layer to layer, a multiple of `heads`.
        hidden: of the feed-forward networks.
        heads: of each attention.
        dropout: of what each sublayer gives, and of the embeddings with their positions.
    """

    source_vocab: int
    target_vocab: int
    encoder_layers: int = 3
    decoder_layers: int = 3
    width: int = 128
    hidden: int = 256
    heads: int = 4
    pre_norm: bool = False
    dropout: float = 0.1
    dtype: DTypeLike = jnp.float32

    def setup(self):
        if self.source_vocab != self.target_vocab:
            raise UserError(
                'a Transformer has one vocabulary for both languages: '
                f'source_vocab {self.source_vocab} and target_vocab {self.target_vocab} must be equal'
            )
        if self.width % self.heads:
            raise UserError(f'{self.heads} heads cannot share a width of {self.width}; it must be a multiple of heads')
        layer = (self.width, self.hidden, self.heads, self.pre_norm, self.dropout, self.dtype)
        self.embedding = nn.Embed(
            self.source_vocab, self.width, embedding_init=normal(self.width**-0.5), dtype=self.dtype
        )
        self.encoder = [EncoderLayer(*layer) for _ in range(self.encoder_layers)]
        self.decoder = [DecoderLayer(*layer) for _ in range(self.decoder_layers)]
        if self.pre_norm:
            self.encoder_norm, self.decoder_norm = _layer_norm(self.dtype), _layer_norm(self.dtype)
        self.drop = nn.Dropout(self.dropout)

    def __call__(self, source: jax.Array, target: jax.Array, train: bool) -> jax.Array:
        memory = self.encode(source, train)
        x = self._embedded(target, sinusoids(target.shape[1], self.width), train)
        for layer, keys_values in zip(self.decoder, memory['layers'], strict=True):
            x = layer(x, keys_values, _shared(memory['mask']), train)
        return self._logits(x)

    def encode(self, source: jax.Array, train: bool = False) -> dict:
        mask = source != PADDING
        x = self._embedded(source, sinusoids(source.shape[1], self.width), train)
        for layer in self.encoder:
            x = layer(x, _shared(mask), train)
        x = self.encoder_norm(x) if self.pre_norm else x
        # What each layer of the decoder looks at.
        return {'mask': mask, 'layers': tuple(layer.source_attention.project(x) for layer in self.decoder)}

    def start(self, memory: dict, length: int) -> tuple[KeysValues, ...]:
        return tuple(layer.attention.cache(len(memory['mask']), length) for layer in self.decoder)

    def step(
        self, memory: dict, carry: tuple[KeysValues, ...], token: jax.Array, position: jax.Array
    ) -> tuple[tuple[KeysValues, ...], jax.Array]:
        length, after = carry[0][0].shape[1], []
        here = jax.lax.dynamic_index_in_dim(jnp.asarray(sinusoids(length, self.width)), position)
        x = self._embedded(token[:, None], here, train=False)
        for layer, keys_values, cache in zip(self.decoder, memory['layers'], carry, strict=True):
            grown, x = layer.step(x, keys_values, _shared(memory['mask']), cache, position)
            after.append(grown)
        return tuple(after), self._logits(x)[:, 0]

    def _embedded(self, tokens, positions, train):
        x = self.embedding(tokens) * self.width**0.5 + jnp.asarray(positions, self.dtype)
        return self.drop(x, deterministic=not train)

    def _logits(self, x):
        x = self.decoder_norm(x) if self.pre_norm else x
        logits = product(x, self.embedding.embedding.astype(self.dtype).T)
        return logits.astype(jnp.promote_types(self.dtype, jnp.float32))


def _shared(mask: jax.Array) -> jax.Array:
    """A mask (n, s) for all heads and positions that look."""
    return mask[:, None, None]


_OPTIONS = ('encoder_layers', 'decoder_layers', 'width', 'hidden', 'heads', 'dropout')
_published = partial(register, paper='arXiv:1706.03762', published='2017-06-12')
transformer = _published('transformer', options=_OPTIONS)(Transformer)
# Table 3, with section 5.1's vocabulary of English and German.
transformer_base = _published('transformer_base', options=('dropout',), vocabularies=(37_000, 37_000))(
    partial(Transformer, encoder_layers=6, decoder_layers=6, width=512, hidden=2048, heads=8)
)
transformer_big = _published('transformer_big', options=('dropout',), vocabularies=(37_000, 37_000))(
    partial(Transformer, encoder_layers=6, decoder_layers=6, width=1024, hidden=4096, heads=16, dropout=0.3)
)
transformer_pre_norm = register(
    'transformer_pre_norm', paper='arXiv:1906.01787', published='2019-06-05', options=_OPTIONS
)(partial(Transformer, pre_norm=True))
transformer_deep_encoder = register(
    'transformer_deep_encoder', paper='arXiv:2006.10369', published='2020-06-18', options=_OPTIONS
)(partial(Transformer, encoder_layers=6, decoder_layers=1))
