"""A recipe whose network is soon compiled and has all that a network's state can be of: runs are tried with it.

Two convolutions with batch norm, whose statistics are state beside the parameters, and dropout, which draws.
"""

import jax.numpy as jnp
from flax import linen as nn

from configs import common
from efficiency.layers.modules import BatchNorm, Conv, Dense
from efficiency.tasks.images.networks import register

CONFIG = '--config=tests/small.py'
_WIDTHS = (16, 32)


class Small(nn.Module):
    """(n, size, size, 3) -> (n, num_classes)."""

    num_classes: int
    image_size: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, train):
        for i, width in enumerate(_WIDTHS):
            x = Conv(width, 3, stride=2, padding=1, bias=False, dtype=self.dtype, name=f'conv{i}')(x)
            x = nn.relu(BatchNorm(train, dtype=self.dtype, name=f'norm{i}')(x))
        x = nn.Dropout(0.1, deterministic=not train)(x.mean((1, 2)))
        return Dense(self.num_classes, dtype=self.dtype, name='fc')(x).astype(jnp.float32)


def get_config(dataset=None):
    # Here, as tests of all networks that there are import this, too.
    register('small', paper='none', published='2026-01-01', image_size=28)(Small)
    config = common.paper_recipe('small', None if dataset == 'staged' else dataset, learning_rate=0.1)
    if dataset == 'staged':
        config.stages = ((0, {'image_size': 20}), (0.08, {'image_size': 28, 'batch_size': 64}))
    return config


def macs(image_size, num_classes=10):
    """Multiply-adds of one example, by hand: forward, and forward with gradients, which no image has."""
    half, quarter = -(-image_size // 2), -(-image_size // 4)
    first, second = half**2 * 9 * 3 * _WIDTHS[0], quarter**2 * 9 * _WIDTHS[0] * _WIDTHS[1]
    last = _WIDTHS[1] * num_classes
    return first + second + last, 2 * first + 3 * (second + last)
