"""What Transformers of language are made of: norms, feed-forward networks, and the layer of both and attention."""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.layers.attention import RMSNorm, SelfAttention
from efficiency.layers.initializers import Initializer, constant, normal
from efficiency.layers.modules import Dense
from efficiency.tasks.language.networks.experts import Experts


@dataclasses.dataclass(frozen=True)
class Plan:
    """How the layers of a network are.

    Attributes:
        width: of what goes from layer to layer, a multiple of `heads`.
        hidden: of the feed-forward networks.
        heads, kv_heads, rotary, qk_norm: see `efficiency.layers.attention.SelfAttention`; kv_heads 0 for `heads`.
        norm: 'post', layer norms behind the sublayers; 'pre', in front of them; 'rms', in front, of the mean square.
        eps: of the norms.
        activation: 'relu', 'gelu', 'swiglu' or 'squared_relu'.
        exact_gelu: by the error function, and not its approximation by a hyperbolic tangent.
        bias: whether linear layers have biases.
        experts, chosen: see `Experts`; 0 for one network in their place.
        dropout: of what each sublayer gives.
        deviation: of all kernels' initial values; None for the root of 1 / inputs.
        out_scale: what those that end in a sublayer's output are scaled by.
    """

    width: int
    hidden: int
    heads: int
    kv_heads: int = 0
    rotary: bool = False
    qk_norm: bool = False
    norm: str = 'pre'
    eps: float = 1e-5
    activation: str = 'gelu'
    exact_gelu: bool = False
    bias: bool = True
    experts: int = 0
    chosen: int = 1
    dropout: float = 0.0
    deviation: float | None = None
    out_scale: float = 1.0
    dtype: DTypeLike = jnp.float32

    @property
    def inner(self) -> int:
        """Columns of a feed-forward network's first layer."""
        return self.hidden * (2 if self.activation == 'swiglu' else 1)

    def init(self, rows: int, out: bool = False) -> Initializer:
        """Of a kernel (rows, columns)."""
        deviation = rows**-0.5 if self.deviation is None else self.deviation
        return normal(deviation * (self.out_scale if out else 1))

    def make_norm(self) -> nn.Module:
        """A norm over the features."""
        if self.norm == 'rms':
            return RMSNorm(self.eps, self.dtype)
        return nn.LayerNorm(
            self.eps, self.dtype, scale_init=constant(1), bias_init=constant(0), use_fast_variance=False
        )


def activation_of(name: str, exact_gelu: bool = False) -> Callable[[jax.Array], jax.Array]:
    """What a feed-forward network does between its linear layers."""
    return {
        'relu': nn.relu,
        'gelu': partial(nn.gelu, approximate=not exact_gelu),
        'squared_relu': lambda x: jnp.square(nn.relu(x)),
        'swiglu': _gated,
    }[name]


def _gated(x: jax.Array) -> jax.Array:
    gate, up = jnp.split(x, 2, axis=-1)
    return nn.silu(gate) * up


class FeedForward(nn.Module):
    """Two linear layers at each position, of which a gated one's first is twice as wide. (n, t, width) -> the same."""

    plan: Plan

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        plan = self.plan
        dense = partial(Dense, bias_init=constant(0), dtype=plan.dtype, bias=plan.bias)
        y = dense(plan.inner, kernel_init=plan.init(plan.width), name='hidden')(x)
        y = activation_of(plan.activation, plan.exact_gelu)(y)
        return dense(plan.width, kernel_init=plan.init(plan.hidden, out=True), name='out')(y)


class Layer(nn.Module):
    """Self-attention and a feed-forward network, each with a way around it. (n, t, width) -> the same."""

    plan: Plan

    def setup(self):
        plan = self.plan
        self.attention = SelfAttention(
            plan.width, plan.heads, plan.dtype, plan.kv_heads or None, plan.bias, plan.rotary, plan.qk_norm,
            plan.init(plan.width), plan.init(plan.width, out=True),
        )  # fmt: skip
        if plan.experts:
            self.feed_forward = Experts(
                plan.experts, plan.chosen, plan.width, plan.inner, activation_of(plan.activation, plan.exact_gelu),
                plan.init(plan.width), plan.init(plan.hidden, out=True), plan.dtype,
            )  # fmt: skip
        else:
            self.feed_forward = FeedForward(plan)
        self.norms = [plan.make_norm() for _ in range(2)]
        self.drop = nn.Dropout(plan.dropout)

    def __call__(self, x: jax.Array, mask: jax.Array | None, train: bool) -> jax.Array:
        """Under a mask, as `SelfAttention` has it."""
        for sublayer, norm in zip((partial(self.attention, mask=mask), self.feed_forward), self.norms, strict=True):
            before = x if self.plan.norm == 'post' else norm(x)
            x = x + self.drop(sublayer(before), deterministic=not train)
            x = norm(x) if self.plan.norm == 'post' else x
        return x
