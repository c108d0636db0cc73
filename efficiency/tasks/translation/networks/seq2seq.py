"""Seq2Seq: one LSTM reads the source, backwards, and hands its state over to another, which writes the target."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.layers.recurrence import State, zero_state
from efficiency.tasks.translation.networks.recurrent import is_token, layers
from efficiency.tasks.translation.networks.registry import register

States = tuple[State, ...]


class Seq2Seq(nn.Module):
    """Sutskever, Vinyals & Le, 2014, arXiv:1409.3215.

    The source is read from its last token to its first, so that the first words of both sentences are near each other
    (section 3.3). That is a matter of the LSTMs' direction here: what comes before the last token is padding, at which
    they keep their state of zeros. Each layer of the decoder starts where the same layer of the encoder ended.

                        parameters    dense multiply-adds forward, 25 + 25 tokens
        seq2seq_paper   384,112,000   3,600,000,000
        seq2seq         2,840,480     45,260,800       (4,000 tokens a language)

    The paper's 384M are all but the 112,000 biases.

    Attributes:
        layers: of the encoder, and as many of the decoder.
        width: of each.
        embedding: features of a token.
        dropout: of what enters a layer, the softmax too (Zaremba et al., 2014); the paper has none.
        init_bound: see `recurrent.layers`.
    """

    source_vocab: int
    target_vocab: int
    layers: int = 1
    width: int = 256
    embedding: int = 128
    dropout: float = 0.1
    init_bound: float | None = None
    dtype: DTypeLike = jnp.float32

    def setup(self):
        embed, lstm, dense = layers(self.init_bound, self.dtype)
        self.source_embedding = embed(self.source_vocab, self.embedding)
        self.target_embedding = embed(self.target_vocab, self.embedding)
        self.encoder = [lstm(self.width, reverse=True) for _ in range(self.layers)]
        self.decoder = [lstm(self.width) for _ in range(self.layers)]
        self.softmax = dense(self.target_vocab)
        self.drop = nn.Dropout(self.dropout)

    def __call__(self, source: jax.Array, target: jax.Array, train: bool) -> jax.Array:
        return self._decode(self.encode(source, train), target, train)[1]

    def encode(self, source: jax.Array, train: bool = False) -> States:
        x, mask = self.source_embedding(source.T), is_token(source.T)
        start, states = zero_state(len(source), self.width, self.dtype), []
        for lstm in self.encoder:
            state, x = lstm(self.drop(x, deterministic=not train), start, mask)
            states.append(state)
        return tuple(states)

    def start(self, memory: States, length: int) -> States:
        return memory

    def step(self, memory: States, carry: States, token: jax.Array, position: jax.Array) -> tuple[States, jax.Array]:
        carry, logits = self._decode(carry, token[:, None], train=False)
        return carry, logits[:, 0]

    def _decode(self, states: States, target: jax.Array, train: bool) -> tuple[States, jax.Array]:
        x, after = self.target_embedding(target.T), []
        for lstm, state in zip(self.decoder, states, strict=True):
            end, x = lstm(self.drop(x, deterministic=not train), state)
            after.append(end)
        x = self.drop(x.swapaxes(0, 1), deterministic=not train)
        return tuple(after), self.softmax(x).astype(jnp.promote_types(self.dtype, jnp.float32))


_register = partial(register, paper='arXiv:1409.3215', published='2014-09-10')
seq2seq = _register('seq2seq', options=('layers', 'width', 'embedding', 'dropout'))(Seq2Seq)
# Section 3.4.
seq2seq_paper = _register('seq2seq_paper', options=('dropout',), vocabularies=(160_000, 80_000))(
    partial(Seq2Seq, layers=4, width=1000, embedding=1000, dropout=0.0, init_bound=0.08)
)
