"""Seq2Seq with attention: the decoder looks back at all of the source before each word."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.errors import UserError
from efficiency.layers.attention import masked_softmax
from efficiency.layers.recurrence import Bidirectional, State, cell
from efficiency.tasks.translation.networks.recurrent import is_token, kernel_init, layers
from efficiency.tasks.translation.networks.registry import register

# What the decoder goes on from: its LSTM's state, and what it fed back, (n, width).
Carry = tuple[State, jax.Array]


class Seq2SeqAttention(nn.Module):
    """The decoder of Luong, Pham & Manning, 2015, arXiv:1508.04025, with Bahdanau's encoder.

    That (Bahdanau, Cho & Bengio, 2014, arXiv:1409.0473) reads both ways, so that what stands for a word knows of
    all others (his section 3.2). The decoder scores the words by h' W m, the "general" form, takes the mean c of them
    so weighed, and predicts from the attentional vector tanh(W [c; h]) (equations 5 to 8), which it is also given with
    the next word ("input feeding", section 3.3). It starts from the encoder's last states. Both papers' own networks
    are larger: GRUs of 1000 units, and 4 layers of 1000.

                            parameters    dense multiply-adds forward, 25 + 25 tokens
        seq2seq_attention   3,168,160     53,772,800       (4,000 tokens a language)

    Attributes:
        width: of the decoder's LSTM, and of both of the encoder's together; even.
        embedding: features of a token.
        dropout: of what enters a layer, the softmax too; nothing is dropped from what is fed back.
        init_bound: see `recurrent.layers`.
    """

    source_vocab: int
    target_vocab: int
    width: int = 256
    embedding: int = 128
    dropout: float = 0.1
    init_bound: float | None = None
    dtype: DTypeLike = jnp.float32

    def setup(self):
        if self.width % 2:
            raise UserError(f'width {self.width} is odd; half of it is the width of each direction of the encoder')
        embed, lstm, dense = layers(self.init_bound, self.dtype)
        self.source_embedding = embed(self.source_vocab, self.embedding)
        self.target_embedding = embed(self.target_vocab, self.embedding)
        self.encoder = Bidirectional(lstm, self.width // 2, self.dtype)
        self.keys = dense(self.width, bias=False)
        self.decoder = lstm(self.width, feed=self.width)
        combine_init = kernel_init(self.init_bound, 2 * self.width)
        self.combine = self.param('combine', combine_init, (2 * self.width, self.width))
        self.softmax = dense(self.target_vocab)
        self.drop = nn.Dropout(self.dropout)

    def __call__(self, source: jax.Array, target: jax.Array, train: bool) -> jax.Array:
        memory = self.encode(source, train)
        return self._decode(memory, self.start(memory, target.shape[1]), target, train)[1]

    def encode(self, source: jax.Array, train: bool = False) -> dict:
        mask = is_token(source)
        x = self.drop(self.source_embedding(source.T), deterministic=not train)
        state, values = self.encoder(x, mask.T)
        values = values.swapaxes(0, 1)
        return {'mask': mask, 'keys': self.keys(values), 'values': values, 'state': state}

    def start(self, memory: dict, length: int) -> Carry:
        return memory['state'], jnp.zeros_like(memory['state'][0])

    def step(self, memory: dict, carry: Carry, token: jax.Array, position: jax.Array) -> tuple[Carry, jax.Array]:
        carry, logits = self._decode(memory, carry, token[:, None], train=False)
        return carry, logits[:, 0]

    def _decode(self, memory: dict, carry: Carry, target: jax.Array, train: bool) -> tuple[Carry, jax.Array]:
        combine = self.combine.astype(self.dtype)

        def attentional(hidden):
            weights = masked_softmax(jnp.einsum('nd,nsd->ns', hidden, memory['keys']), memory['mask'])
            context = jnp.einsum('ns,nsd->nd', weights.astype(self.dtype), memory['values'])
            return jnp.tanh(jnp.concatenate([context, hidden], axis=-1) @ combine)

        def body(kernel, carry, inputs):
            (hidden, remembered), fed = carry
            gates, _ = inputs
            state = cell(gates + jnp.concatenate([fed, hidden], axis=-1) @ kernel, remembered)
            fed = attentional(state[0])
            return (state, fed), fed

        x = self.drop(self.target_embedding(target.T), deterministic=not train)
        carry, x = self.decoder(x, carry, body=body)
        x = self.drop(x.swapaxes(0, 1), deterministic=not train)
        return carry, self.softmax(x).astype(jnp.promote_types(self.dtype, jnp.float32))


seq2seq_attention = register(
    'seq2seq_attention', paper='arXiv:1508.04025', published='2015-08-17', options=('width', 'embedding', 'dropout')
)(Seq2SeqAttention)
