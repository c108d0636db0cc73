"""BERT: an encoder that sees both sides, and is asked for what is hidden."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.data.tokens import PADDING
from efficiency.errors import UserError
from efficiency.layers.initializers import constant, normal
from efficiency.layers.modules import Dense
from efficiency.tasks.language.networks.blocks import Layer, Plan
from efficiency.tasks.language.networks.registry import register


class Bert(nn.Module):
    """Devlin et al., 2018, arXiv:1810.04805, with the head for what is hidden alone.

                      parameters     dense multiply-adds forward, 512 tokens (bert: 256 of 4,001)
        bert_base     109,514,298    60,622,110,720
        bert_large    335,174,458    184,042,913,792
        bert          5,899,681      1,688,272,896

    The paper says 110M and 340M, of what its code has: with a layer for the next sentence, 110,106,428 and 336,226,108.
    That of which sentence a token is, whose table has two rows, is always the first here. All places are scored, and
    not only the hidden ones, as in transformers.

    Attributes:
        layers, width, hidden, heads, dropout: as of `Transformer`.
    """

    vocabulary: int
    context: int
    layers: int = 6
    width: int = 256
    hidden: int = 1024
    heads: int = 4
    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32

    def setup(self):
        if self.width % self.heads:
            raise UserError(f'{self.heads} heads cannot share a width of {self.width}; it must be a multiple of heads')
        plan = Plan(
            self.width, self.hidden, self.heads, norm='post', eps=1e-12, exact_gelu=True, dropout=self.dropout,
            deviation=0.02, dtype=self.dtype,
        )  # fmt: skip
        self.embedding = nn.Embed(self.vocabulary, self.width, embedding_init=normal(0.02), dtype=self.dtype)
        self.positions = self.param('positions', normal(0.02), (self.context, self.width))
        self.sentences = self.param('sentences', normal(0.02), (2, self.width))
        self.norm, self.head_norm = plan.make_norm(), plan.make_norm()
        self.blocks = [Layer(plan) for _ in range(self.layers)]
        self.head = Dense(self.width, normal(0.02), constant(0), dtype=self.dtype)
        self.bias = self.param('bias', constant(0), (self.vocabulary,))
        self.drop = nn.Dropout(self.dropout)

    def __call__(self, tokens: jax.Array, train: bool) -> jax.Array:
        added = self.positions[: tokens.shape[1]] + self.sentences[0]
        x = self.drop(self.norm(self.embedding(tokens) + added.astype(self.dtype)), deterministic=not train)
        for block in self.blocks:
            x = block(x, (tokens != PADDING)[:, None, None], train)
        x = self.head_norm(nn.gelu(self.head(x), approximate=False))
        logits = self.embedding.attend(x) + self.bias.astype(self.dtype)
        return logits.astype(jnp.promote_types(self.dtype, jnp.float32))


_register = partial(register, paper='arXiv:1810.04805', published='2018-10-11', objective='hidden')
bert = _register('bert', options=('layers', 'width', 'hidden', 'heads', 'dropout'))(Bert)
bert_base = _register('bert_base', options=('dropout',), vocabulary=30_522, context=512)(
    partial(Bert, layers=12, width=768, hidden=3072, heads=12, dropout=0.1)
)
bert_large = _register('bert_large', options=('dropout',), vocabulary=30_522, context=512)(
    partial(Bert, layers=24, width=1024, hidden=4096, heads=16, dropout=0.1)
)
