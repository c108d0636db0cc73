"""A mixture of experts: several feed-forward networks, of which each token is sent to a few."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.layers.initializers import Initializer, normal

# By how much more than an even share of a row's tokens an expert can take.
_ROOM = 1.25
# What the sum over the experts is weighed with that is least where all are used alike (Fedus et al., 2021).
_BALANCE = 0.01


class Experts(nn.Module):
    """Feed-forward networks that tokens choose between, without biases. (n, t, width) -> the same.

    By products with zeros and ones, as in GShard (Lepikhin et al., 2020, arXiv:2006.16668, section 2.2), so that every
    shape is known and every product counted: each expert takes as many tokens of a row as it has room for, the earlier
    first, so that no token depends on those behind it; one for which there is no room goes by. Of a row of t tokens,
    with e experts of room r = ceil(1.25 t chosen / e), the multiply-adds are t width e to choose, 2 t e r width to send
    and to fetch, and e r (width inner + hidden width), whatever is sent.

    Attributes:
        count: of the experts.
        chosen: how many of them a token is sent to, weighed by how likely the choice is.
        inner: columns of their first layers, from which `activation` makes `hidden` features.
        in_init, out_init: of the kernels of each.
    """

    count: int
    chosen: int
    width: int
    inner: int
    activation: Callable[[jax.Array], jax.Array]
    in_init: Initializer
    out_init: Initializer
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        room = min(math.ceil(_ROOM * x.shape[1] * self.chosen / self.count), x.shape[1])
        router = self.param('router', normal(self.width**-0.5), (self.width, self.count))
        likely = nn.softmax((x @ router.astype(x.dtype)).astype(jnp.promote_types(x.dtype, jnp.float32)))
        weights, numbers = jax.lax.top_k(likely, self.chosen)  # (n, t, chosen)
        if self.chosen > 1:
            weights /= weights.sum(-1, keepdims=True)
        sent = jax.nn.one_hot(numbers, self.count, dtype=jnp.int32)
        # In the order of the tokens, and of a token's choices, the how manieth each is at its expert.
        flat = sent.reshape(len(x), -1, self.count)
        place = (flat.cumsum(1) - flat).reshape(sent.shape)
        taken = sent * (place < room)
        # (n, t, e, room): which place of which expert a token has, and with what weight.
        slots = jax.nn.one_hot(place, room, dtype=weights.dtype) * taken[..., None]
        combine = (slots * weights[..., None, None]).sum(2).astype(self.dtype)
        dispatch = slots.sum(2).astype(self.dtype)
        if not self.is_initializing():
            self.sow('losses', 'balance', self._balance(likely, sent))
        first = self._kernels('in_kernel', self.in_init, (self.width, self.inner))
        inputs = jnp.einsum('ntd,ntec->necd', x, dispatch)
        y = self.activation(jnp.einsum('necd,edh->nech', inputs, first))
        second = self._kernels('out_kernel', self.out_init, (y.shape[-1], self.width))
        return jnp.einsum('necd,ntec->ntd', jnp.einsum('nech,ehd->necd', y, second), combine)

    def _kernels(self, name, init, shape):
        """Of all experts; each is a parameter of its own, so that an optimizer of matrices has one an expert."""
        return jnp.stack([self.param(f'{name}_{i}', init, shape).astype(self.dtype) for i in range(self.count)])

    def _balance(self, likely, sent):
        """Switch's loss (Fedus et al., 2021, arXiv:2101.03961, equation 4): 1 where all experts are used alike."""
        shares = sent.mean((0, 1), dtype=likely.dtype).sum(0) / self.chosen
        return _BALANCE * self.count * jnp.vdot(shares, likely.mean((0, 1)))
