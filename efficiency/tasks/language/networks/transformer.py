"""Transformers that say what follows: of chosen parts, and as GPT-2 was."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.errors import UserError
from efficiency.layers.initializers import normal
from efficiency.layers.modules import Dense
from efficiency.layers.positions import sinusoids
from efficiency.tasks.language.networks.blocks import Layer, Plan
from efficiency.tasks.language.networks.registry import register


class Transformer(nn.Module):
    """The decoder of Vaswani et al., 2017 (arXiv:1706.03762), of parts that are options.

    Each part has its paper and its day in `efficiency.tasks.language.networks.parts`. With all at their defaults it is
    what is usual since 2023: rotary positions, RMS norms in front, SwiGLU, no biases. `transformer_gpt` is GPT-2
    (Radford et al., 2019), with learned positions, layer norms in front, GELU and biases; its sizes are those released.

                           parameters       dense multiply-adds forward, 1,024 tokens (the last two: 256 of 4,000)
        gpt2_124m          124,439,808      145,824,153,600
        gpt2_355m          354,823,168      413,475,536,896
        gpt2_774m          774,030,080      887,285,350,400
        gpt2_1558m         1,557,611,200    1,753,351,782,400
        transformer_lm     5,747,456        1,671,823,360
        transformer_gpt    5,828,608        1,671,430,144

    GPT-2's paper prints 117M, 345M, 762M and 1542M (table 2); its repository corrects that to 124M, 355M, 774M and
    1558M, as released. Kernels start normal: with a deviation of 0.02 as GPT-2's, where `deviation` says so, or of the
    root of 1 / inputs; with norms in front, what ends a sublayer is divided by the root of their number.

    Attributes:
        layers: how many.
        width, hidden, heads, kv_heads, qk_norm, norm, activation, bias, experts, chosen, dropout: see `blocks.Plan`;
            dropout of the embeddings, too.
        position: 'sinusoid', 'learned' or 'rope'.
        tied: whether the embedding is the softmax's matrix too (Press & Wolf, 2016).
    """

    vocabulary: int
    context: int
    layers: int = 6
    width: int = 256
    hidden: int = 683
    heads: int = 4
    kv_heads: int = 0
    position: str = 'rope'
    norm: str = 'rms'
    activation: str = 'swiglu'
    bias: bool = False
    tied: bool = True
    qk_norm: bool = False
    experts: int = 0
    chosen: int = 1
    dropout: float = 0.0
    deviation: float | None = None
    dtype: DTypeLike = jnp.float32

    def setup(self):
        self._check()
        sinusoid, post = self.position == 'sinusoid', self.norm == 'post'
        plan = Plan(
            self.width, self.hidden, self.heads, self.kv_heads, self.position == 'rope', self.qk_norm, self.norm,
            activation=self.activation, bias=self.bias, experts=self.experts, chosen=self.chosen, dropout=self.dropout,
            deviation=self.deviation, out_scale=1.0 if post else (2 * self.layers) ** -0.5, dtype=self.dtype,
        )  # fmt: skip
        # Waves are as large as 1, and an embedding beside them must be, too.
        deviation = self.width**-0.5 if sinusoid else 0.02
        self.embedding = nn.Embed(self.vocabulary, self.width, embedding_init=normal(deviation), dtype=self.dtype)
        if self.position == 'learned':
            self.positions = self.param('positions', normal(0.01), (self.context, self.width))
        self.blocks = [Layer(plan) for _ in range(self.layers)]
        if not post:
            self.last_norm = plan.make_norm()
        if not self.tied:
            self.softmax = Dense(self.vocabulary, normal(0.02), dtype=self.dtype, bias=False)
        self.drop = nn.Dropout(self.dropout)

    def __call__(self, tokens: jax.Array, train: bool) -> jax.Array:
        length = tokens.shape[1]
        x = self.embedding(tokens)
        if self.position == 'sinusoid':
            x = x * self.width**0.5 + jnp.asarray(sinusoids(length, self.width), self.dtype)
        if self.position == 'learned':
            x = x + self.positions[:length].astype(self.dtype)
        x = self.drop(x, deterministic=not train)
        for block in self.blocks:
            x = block(x, None, train)
        x = x if self.norm == 'post' else self.last_norm(x)
        logits = self.embedding.attend(x) if self.tied else self.softmax(x)
        return logits.astype(jnp.promote_types(self.dtype, jnp.float32))

    def _check(self):
        if self.width % self.heads:
            raise UserError(f'{self.heads} heads cannot share a width of {self.width}; it must be a multiple of heads')
        if self.kv_heads and self.heads % self.kv_heads:
            raise UserError(
                f'{self.heads} heads cannot share {self.kv_heads} of keys and values; heads must be a multiple of '
                'kv_heads'
            )
        if self.position == 'rope' and self.width // self.heads % 2:
            raise UserError(
                f'rotary positions turn features by twos, and a head of {self.width} / {self.heads} has '
                f'{self.width // self.heads}; take an even number'
            )
        if self.experts and self.chosen > self.experts:
            raise UserError(f'of {self.experts} experts a token cannot choose {self.chosen}; take more experts')
        if not self.experts and self.chosen != 1:
            raise UserError(f'chosen is {self.chosen}, and there are no experts to choose; set experts, or leave it 1')
        if self.experts and self.bias:
            raise UserError('experts have no biases; set bias to False')


_DEFAULTS = ('layers', 'width', 'hidden', 'heads', 'dropout')
_PARTS = ('kv_heads', 'position', 'norm', 'activation', 'bias', 'tied', 'qk_norm', 'experts', 'chosen')
transformer_lm = register(
    'transformer_lm', paper='arXiv:1706.03762', published='2017-06-12', options=(*_DEFAULTS, *_PARTS)
)(Transformer)
_GPT = partial(Transformer, position='learned', norm='pre', activation='gelu', bias=True, deviation=0.02)
_gpt = partial(register, paper='https://openai.com/index/better-language-models', published='2019-02-14')
transformer_gpt = _gpt('transformer_gpt', options=_DEFAULTS)(partial(_GPT, hidden=1024))
for _name, _layers, _width, _heads in (
    ('gpt2_124m', 12, 768, 12),
    ('gpt2_355m', 24, 1024, 16),
    ('gpt2_774m', 36, 1280, 20),
    ('gpt2_1558m', 48, 1600, 25),
):
    _gpt(_name, options=('dropout',), vocabulary=50_257, context=1024)(
        partial(_GPT, layers=_layers, width=_width, hidden=4 * _width, heads=_heads)
    )
