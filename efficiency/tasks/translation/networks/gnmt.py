"""GNMT: deep LSTMs with residual connections, and attention to the source in every layer of the decoder."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.layers.attention import masked_softmax
from efficiency.layers.recurrence import Bidirectional, cell, zero_state
from efficiency.tasks.translation.networks.recurrent import is_token, kernel_init, layers
from efficiency.tasks.translation.networks.registry import register


class GNMT(nn.Module):
    """Wu et al., 2016, arXiv:1609.08144.

    The first layer of the encoder reads both ways (section 3.2), and from the third layer on each adds its input to its
    output (3.1). What the first layer of the decoder put out at the step before chooses what to look at in the source,
    by a network with one hidden layer; the mean so weighed goes with the input into every layer of the decoder (3,
    equation 4, and figure 1), the others' all at once.

                     parameters    dense multiply-adds forward, 25 + 25 tokens
        gnmt_paper   280,858,880   5,381,785,600
        gnmt         4,415,648     84,902,400       (4,000 tokens a language)

    Of gnmt_paper's, 278,659,072 are all but biases and attention's hidden layer; 278M is what is quoted of the paper's.

    Attributes:
        layers: of the encoder, and as many of the decoder; 2 or more.
        width: of each layer, of attention's hidden layer too.
        first_width: of each direction of the first layer.
        embedding: features of a token.
        residual_from: the first layer, of 1, that adds its input to its output.
        dropout: of what enters a layer, the softmax too.
        init_bound: see `recurrent.layers`.
    """

    source_vocab: int
    target_vocab: int
    layers: int = 2
    width: int = 256
    first_width: int = 128
    embedding: int = 128
    residual_from: int = 2
    dropout: float = 0.1
    init_bound: float | None = None
    dtype: DTypeLike = jnp.float32

    def setup(self):
        embed, lstm, dense = layers(self.init_bound, self.dtype)
        self.source_embedding = embed(self.source_vocab, self.embedding)
        self.target_embedding = embed(self.target_vocab, self.embedding)
        self.encoder_first = Bidirectional(lstm, self.first_width, self.dtype)
        self.encoder = [lstm(self.width) for _ in range(1, self.layers)]
        self.keys = dense(self.width, bias=False)
        init = kernel_init(self.init_bound, self.width)
        self.query = self.param('query', init, (self.width, self.width))
        self.energy = self.param('energy', init, (self.width,))
        self.decoder_first = lstm(self.width, feed=self.width)
        self.decoder = [lstm(self.width) for _ in range(1, self.layers)]
        self.softmax = dense(self.target_vocab)
        self.drop = nn.Dropout(self.dropout)

    def __call__(self, source: jax.Array, target: jax.Array, train: bool) -> jax.Array:
        memory = self.encode(source, train)
        return self._decode(memory, self.start(memory, target.shape[1]), target, train)[1]

    def encode(self, source: jax.Array, train: bool = False) -> dict:
        mask = is_token(source)
        x = self.drop(self.source_embedding(source.T), deterministic=not train)
        _, x = self.encoder_first(x, mask.T)
        start = zero_state(len(source), self.width, self.dtype)
        for number, lstm in enumerate(self.encoder, 2):
            _, y = lstm(self.drop(x, deterministic=not train), start, mask.T)
            x = self._joined(number, x, y)
        values = x.swapaxes(0, 1)
        return {'mask': mask, 'keys': self.keys(values), 'values': values}

    def start(self, memory: dict, length: int) -> tuple:
        return tuple(zero_state(len(memory['mask']), self.width, self.dtype) for _ in range(self.layers))

    def step(self, memory: dict, carry: tuple, token: jax.Array, position: jax.Array) -> tuple[tuple, jax.Array]:
        carry, logits = self._decode(memory, carry, token[:, None], train=False)
        return carry, logits[:, 0]

    def _decode(self, memory: dict, carry: tuple, target: jax.Array, train: bool) -> tuple[tuple, jax.Array]:
        def body(kernel: jax.Array, state: Any, inputs: tuple) -> tuple:
            (hidden, remembered), (gates, _) = state, inputs
            context = attended(hidden)
            state = cell(gates + jnp.concatenate([context, hidden], axis=-1) @ kernel, remembered)
            return state, (state[0], context)

        attended = self._attention(memory)
        x = self.drop(self.target_embedding(target.T), deterministic=not train)
        state, (x, context) = self.decoder_first(x, carry[0], body=body)
        states = [state]
        for number, (lstm, state) in enumerate(zip(self.decoder, carry[1:], strict=True), 2):
            inputs = jnp.concatenate([x, context], axis=-1)
            after, y = lstm(self.drop(inputs, deterministic=not train), state)
            x = self._joined(number, x, y)
            states.append(after)
        x = self.drop(x.swapaxes(0, 1), deterministic=not train)
        return tuple(states), self.softmax(x).astype(jnp.promote_types(self.dtype, jnp.float32))

    def _attention(self, memory: dict):
        """From what the decoder put out (n, width) to a mean of the source (n, values' width)."""
        query, energy = self.query.astype(self.dtype), self.energy.astype(self.dtype)

        def attended(hidden):
            scores = jnp.tanh((hidden @ query)[:, None] + memory['keys']) @ energy
            weights = masked_softmax(scores, memory['mask']).astype(self.dtype)
            return jnp.einsum('ns,nsd->nd', weights, memory['values'])

        return attended

    def _joined(self, number: int, x: jax.Array, y: jax.Array) -> jax.Array:
        return x + y if number >= self.residual_from else y


_register = partial(register, paper='arXiv:1609.08144', published='2016-09-26')
gnmt = _register('gnmt', options=('dropout',))(GNMT)
# Sections 3.1 and 8.3, with the 32,000 word pieces of English and French.
gnmt_paper = _register('gnmt_paper', options=('dropout',), vocabularies=(32_000, 32_000))(
    partial(GNMT, layers=8, width=1024, first_width=1024, embedding=1024, residual_from=3, dropout=0.2, init_bound=0.04)
)
