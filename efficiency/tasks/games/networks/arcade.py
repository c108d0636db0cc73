"""Networks that look at a screen of 10 x 10: one convolution and one dense layer, as MinAtar's authors have them."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from efficiency.tasks.games.networks.registry import register

_CHANNELS = 16


class _Trunk(nn.Module):
    """(n, 10, 10, channels) -> (n, width) (Young & Tian, 2019, arXiv:1903.03176, section 3)."""

    width: int
    norm: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(_CHANNELS, (3, 3), padding='VALID', dtype=self.dtype, name='conv')(x.astype(self.dtype))
        x = nn.relu(nn.LayerNorm(name='conv_norm')(x) if self.norm else x).reshape(len(x), -1)
        x = nn.Dense(self.width, dtype=self.dtype, name='dense')(x)
        return nn.relu(nn.LayerNorm(name='dense_norm')(x) if self.norm else x)


@register(
    'arcade_q', task='arcade_games', paper='arXiv:1312.5602', published='2013-12-19',
    options=('width', 'norm', 'dueling'),
)  # fmt: skip
class ArcadeQ(nn.Module):
    """What each action is worth, (n, actions).

    Attributes:
        width: of the dense layer.
        norm: whether layer norm follows each layer, as in PQN.
        dueling: whether that is the value of the screen and the advantage of each action (Wang et al., 2015,
            arXiv:1511.06581), the mean advantage taken away.
    """

    actions: int
    width: int = 128
    norm: bool = False
    dueling: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = _Trunk(self.width, self.norm, self.dtype, name='trunk')(x)
        each = nn.Dense(self.actions, dtype=self.dtype, name='actions')(x).astype(jnp.float32)
        if not self.dueling:
            return each
        value = nn.Dense(1, dtype=self.dtype, name='value')(x).astype(jnp.float32)
        return value + each - each.mean(1, keepdims=True)


@register(
    'arcade_actor_critic', task='arcade_games', paper='arXiv:1707.06347', published='2017-07-20', options=('width',)
)
class ArcadeActorCritic(nn.Module):
    """What to do, logits (n, actions), and what the screen is worth, (n,)."""

    actions: int
    width: int = 128
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, jax.Array]:
        x = _Trunk(self.width, False, self.dtype, name='trunk')(x)
        logits = nn.Dense(self.actions, dtype=self.dtype, kernel_init=nn.initializers.zeros, name='actions')(x)
        value = nn.Dense(1, dtype=self.dtype, name='value')(x)
        return logits.astype(jnp.float32), value.astype(jnp.float32)[:, 0]
