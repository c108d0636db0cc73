"""ConvS2S: gated convolutions over both sentences, and attention to the source in every layer of the decoder."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.data.tokens import PADDING
from efficiency.errors import UserError
from efficiency.layers.attention import masked_softmax
from efficiency.layers.initializers import constant, normal
from efficiency.layers.modules import product
from efficiency.tasks.translation.networks.registry import register

# What a sum of two is scaled by to keep its variance.
_HALF = 0.5**0.5


class Linear(nn.Module):
    """Linear layer, weights normalised (Salimans & Kingma, 2016, arXiv:1602.07868). (..., in) -> (..., features).

    Attributes:
        gain: its kernel starts normal with variance gain^2 / in, and the learned norm of each column at `gain`, what
            that comes to.
    """

    features: int
    gain: float
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param('kernel', normal(self.gain * x.shape[-1] ** -0.5), (x.shape[-1], self.features))
        scale = self.param('scale', constant(self.gain), (self.features,))
        bias = self.param('bias', constant(0), (self.features,))
        kernel = kernel * (scale / jnp.linalg.norm(kernel, axis=0))
        return product(x.astype(self.dtype), kernel.astype(self.dtype)) + bias.astype(self.dtype)


class GatedConv(nn.Module):
    """Convolution of `kernel` tokens, gated (paper, section 3.2). (n, t + kernel - 1, in) -> (n, t, features).

    One product with all of a window's tokens side by side, as convolutions in a loop are slow on a CPU.
    """

    features: int
    kernel: int
    gain: float
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        length = x.shape[1] - self.kernel + 1
        windows = jnp.concatenate([x[:, i : i + length] for i in range(self.kernel)], axis=-1)
        return nn.glu(Linear(2 * self.features, self.gain, self.dtype, name='conv')(windows))


class ConvS2S(nn.Module):
    """Gehring et al., 2017, arXiv:1705.03122, with the details of its authors' code (fairseq).

                         parameters    dense multiply-adds forward, 25 + 25 tokens
        conv_s2s_paper   258,111,616   4,884,544,000
        conv_s2s         5,161,280     101,913,600      (4,000 tokens a language)

    conv_s2s_paper is the network for English to French (section 5.1). The text says 15 layers and lists 14; the code
    has six of 512 where the text has five.

    Attributes:
        blocks: (width, kernel) of each layer of the encoder, and of the decoder.
        embedding: features of a token, and of what attention compares.
        out: features that the softmax is given.
        positions: how many tokens a sentence may have.
        dropout: of the embeddings, what enters a convolution, and the softmax.
    """

    source_vocab: int
    target_vocab: int
    blocks: Sequence[tuple[int, int]] = ((256, 3),) * 4
    embedding: int = 128
    out: int = 128
    positions: int = 256
    dropout: float = 0.1
    dtype: DTypeLike = jnp.float32

    def setup(self):
        kept = (1 - self.dropout) ** 0.5
        embed = partial(nn.Embed, features=self.embedding, embedding_init=normal(0.1), dtype=self.dtype)
        linear = partial(Linear, gain=kept, dtype=self.dtype)
        conv = partial(GatedConv, gain=2 * kept, dtype=self.dtype)
        self.source_embedding, self.source_positions = embed(self.source_vocab), embed(self.positions)
        self.target_embedding, self.target_positions = embed(self.target_vocab), embed(self.positions)
        widths = [width for width, _ in self.blocks]
        # Where a layer is wider than the one before, what it adds its output to is projected.
        widening = [after != before for before, after in zip([widths[0], *widths], widths, strict=False)]
        self.encoder_in, self.encoder_out = linear(widths[0]), linear(self.embedding)
        self.encoder = [conv(*block) for block in self.blocks]
        self.encoder_residuals = [linear(w) if wider else None for w, wider in zip(widths, widening, strict=True)]
        self.decoder_in, self.decoder_out = linear(widths[0]), linear(self.out)
        self.decoder = [conv(*block) for block in self.blocks]
        self.decoder_residuals = [linear(w) if wider else None for w, wider in zip(widths, widening, strict=True)]
        self.queries = [linear(self.embedding) for _ in widths]
        self.contexts = [linear(width) for width in widths]
        self.softmax = linear(self.target_vocab)
        self.drop = nn.Dropout(self.dropout)

    def __call__(self, source: jax.Array, target: jax.Array, train: bool) -> jax.Array:
        memory = self.encode(source, train)
        self._check(target.shape[1])
        positions = jnp.arange(target.shape[1])
        return self._decode(memory, self.start(memory, target.shape[1]), target, positions, train)[1]

    def encode(self, source: jax.Array, train: bool = False) -> dict:
        self._check(source.shape[1])
        mask = source != PADDING
        embedded = self.source_embedding(source) + self.source_positions(jnp.arange(source.shape[1]))
        embedded = self.drop(embedded, deterministic=not train)
        x = self.encoder_in(embedded)
        for conv, residual in zip(self.encoder, self.encoder_residuals, strict=True):
            # Padding is what is around the sentence: zeros.
            x = jnp.where(mask[..., None], x, 0)
            around = (conv.kernel - 1) // 2, conv.kernel // 2
            y = conv(jnp.pad(self.drop(x, deterministic=not train), ((0, 0), around, (0, 0))))
            x = (y + (residual(x) if residual else x)) * _HALF
        # Every layer of the decoder sends a gradient, and each as key and as value.
        keys = _with_gradient_of(self.encoder_out(x), 1 / (2 * len(self.blocks)))
        return {'mask': mask, 'keys': keys, 'values': (keys + embedded) * _HALF}

    def start(self, memory: dict, length: int) -> tuple[jax.Array, ...]:
        """For each layer of the decoder what its window sees before the first token: zeros."""
        self._check(length)
        n = len(memory['mask'])
        ins = [self.blocks[0][0], *(width for width, _ in self.blocks)]
        return tuple(
            jnp.zeros((n, kernel - 1, width), self.dtype)
            for (_, kernel), width in zip(self.blocks, ins[:-1], strict=True)
        )

    def step(
        self, memory: dict, carry: tuple[jax.Array, ...], token: jax.Array, position: jax.Array
    ) -> tuple[tuple[jax.Array, ...], jax.Array]:
        carry, logits = self._decode(memory, carry, token[:, None], jnp.asarray(position)[None], train=False)
        return carry, logits[:, 0]

    def _decode(self, memory, carry, target, positions, train):
        embedded = self.target_embedding(target) + self.target_positions(positions)
        embedded = self.drop(embedded, deterministic=not train)
        x, after = self.decoder_in(embedded), []
        for i, (conv, residual) in enumerate(zip(self.decoder, self.decoder_residuals, strict=True)):
            seen = jnp.concatenate([carry[i], self.drop(x, deterministic=not train)], axis=1)
            after.append(seen[:, seen.shape[1] - conv.kernel + 1 :])
            y = conv(seen)
            y = (y + self.contexts[i](self._attended(memory, (self.queries[i](y) + embedded) * _HALF))) * _HALF
            x = (y + (residual(x) if residual else x)) * _HALF
        x = self.drop(self.decoder_out(x), deterministic=not train)
        return tuple(after), self.softmax(x).astype(jnp.promote_types(self.dtype, jnp.float32))

    def _attended(self, memory, query):
        """A mean of the source for each position (n, t, embedding), times the root of how many tokens it is of."""
        mask = memory['mask']
        weights = masked_softmax(jnp.einsum('ntd,nsd->nts', query, memory['keys']), mask[:, None])
        means = jnp.einsum('nts,nsd->ntd', weights.astype(self.dtype), memory['values'])
        return means * jnp.sqrt(mask.sum(axis=1, dtype=self.dtype))[:, None, None]

    def _check(self, length):
        if length > self.positions:
            raise UserError(
                f'a sentence of {length} tokens is longer than the {self.positions} positions that the network knows'
            )


def _with_gradient_of(x: jax.Array, scale: float) -> jax.Array:
    """x, whose gradient is scaled."""
    return x * scale + jax.lax.stop_gradient(x * (1 - scale))


_register = partial(register, paper='arXiv:1705.03122', published='2017-05-08')
conv_s2s = _register('conv_s2s', options=('dropout',))(ConvS2S)
_EN_FR = (*((512, 3),) * 6, *((768, 3),) * 4, *((1024, 3),) * 3, (2048, 1), (4096, 1))
conv_s2s_paper = _register('conv_s2s_paper', options=('dropout',), vocabularies=(40_000, 40_000))(
    partial(ConvS2S, blocks=_EN_FR, embedding=768, out=512, positions=1024)
)
