"""LSTMs that say what follows: layers one upon another, as they were until the Transformer."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.layers.initializers import normal, uniform
from efficiency.layers.modules import Dense
from efficiency.layers.recurrence import LSTM, zero_state
from efficiency.tasks.language.networks.registry import register


class RecurrentModel(nn.Module):
    """Zaremba, Sutskever & Vinyals, 2014, arXiv:1409.2329: dropout between the layers, and not from step to step.

                       parameters    dense multiply-adds forward, 256 tokens of 4,000 (lstm_large: 35 of 10,000)
        lstm           6,750,112     1,463,812,096
        lstm_large     66,022,000    1,785,000,000

    The paper's large network (section 4.1) has 66M parameters; each row begins with an empty state.

    Attributes:
        layers: how many.
        width: of each.
        embedding: features of a token.
        dropout: of what enters a layer, the softmax too.
        init_bound: all parameters start uniform within it; 0 for what the layers have, and embeddings normal with 0.1.
    """

    vocabulary: int
    context: int
    layers: int = 2
    width: int = 512
    embedding: int = 256
    dropout: float = 0.0
    init_bound: float = 0.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, tokens: jax.Array, train: bool) -> jax.Array:
        init = uniform(self.init_bound) if self.init_bound else None
        x = nn.Embed(
            self.vocabulary, self.embedding, embedding_init=init or normal(0.1), dtype=self.dtype, name='embedding'
        )(tokens.T)
        drop, start = nn.Dropout(self.dropout), zero_state(len(tokens), self.width, self.dtype)
        for i in range(self.layers):
            lstm = LSTM(
                self.width, kernel_init=init, recurrent_init=init, bias_init=init, dtype=self.dtype, name=f'layer_{i}'
            )
            _, x = lstm(drop(x, deterministic=not train), start)
        x = drop(x.swapaxes(0, 1), deterministic=not train)
        logits = Dense(self.vocabulary, init, init, dtype=self.dtype, name='softmax')(x)
        return logits.astype(jnp.promote_types(self.dtype, jnp.float32))


_register = partial(register, paper='arXiv:1409.2329', published='2014-09-08')
lstm = _register('lstm', options=('layers', 'width', 'embedding', 'dropout'))(RecurrentModel)
# Section 4.1, on the Penn Treebank.
lstm_large = _register('lstm_large', options=('dropout',), vocabulary=10_000, context=35)(
    partial(RecurrentModel, width=1500, embedding=1500, dropout=0.65, init_bound=0.04)
)
