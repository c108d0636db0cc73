"""Networks that look at a board: a small residual network, as AlphaGo Zero's was a large one, and dense layers."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from efficiency.tasks.games.networks.registry import register


class _Heads(nn.Module):
    """What to play and who wins, of features (n, features)."""

    actions: int
    hidden: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, policy_of, value_of):
        policy = nn.Dense(self.actions, dtype=self.dtype, name='policy')(policy_of)
        value = nn.relu(nn.Dense(self.hidden, dtype=self.dtype, name='value_hidden')(value_of))
        # Begins at 0: nobody is thought to win.
        value = nn.Dense(1, dtype=self.dtype, kernel_init=nn.initializers.zeros, name='value')(value)
        return policy.astype(jnp.float32), jnp.tanh(value.astype(jnp.float32))[:, 0]


@register(
    'board_resnet', task='board_games', paper='doi:10.1038/nature24270', published='2017-10-18',
    options=('width', 'blocks'),
)  # fmt: skip
class BoardResNet(nn.Module):
    """Pre-activation residual blocks of two 3 x 3 convolutions, with layer norm: no statistics to carry along."""

    actions: int
    width: int = 32
    blocks: int = 2
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, jax.Array]:
        def convolution(width, size, name):
            return nn.Conv(width, (size, size), use_bias=False, dtype=self.dtype, name=name)

        x = convolution(self.width, 3, 'first')(x.astype(self.dtype))
        for i in range(self.blocks):
            y = convolution(self.width, 3, f'block{i}_conv0')(nn.relu(nn.LayerNorm(name=f'block{i}_norm0')(x)))
            y = convolution(self.width, 3, f'block{i}_conv1')(nn.relu(nn.LayerNorm(name=f'block{i}_norm1')(y)))
            x = x + y
        x = nn.relu(nn.LayerNorm(name='norm')(x))
        policy_of = nn.relu(convolution(2, 1, 'policy_conv')(x)).reshape(len(x), -1)
        value_of = nn.relu(convolution(1, 1, 'value_conv')(x)).reshape(len(x), -1)
        return _Heads(self.actions, 64, self.dtype, name='heads')(policy_of, value_of)


@register(
    'board_mlp', task='board_games', paper='doi:10.1038/nature24270', published='2017-10-18',
    options=('width', 'layers'),
)  # fmt: skip
class BoardMLP(nn.Module):
    """Dense layers with layer norm before each: the fast one."""

    actions: int
    width: int = 128
    layers: int = 2
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, jax.Array]:
        x = nn.Dense(self.width, dtype=self.dtype, name='first')(x.reshape(len(x), -1).astype(self.dtype))
        for i in range(self.layers):
            y = nn.Dense(self.width, dtype=self.dtype, name=f'dense{i}')(nn.relu(nn.LayerNorm(name=f'norm{i}')(x)))
            x = x + y
        x = nn.relu(nn.LayerNorm(name='norm')(x))
        return _Heads(self.actions, self.width // 2, self.dtype, name='heads')(x, x)
