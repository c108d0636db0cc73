"""Two convolutions and a layer of classes on mnist5k: a network that is none of the package's, and its recipe."""

import flax.linen as nn
import jax.numpy as jnp

from configs import common
from efficiency.tasks.images.networks import register


@register('two_convolutions', paper='none', published='2026-11-30', image_size=28)
class TwoConvolutions(nn.Module):
    """Convolutions of 8 and 16 channels with batch norm, each followed by a maximum over 2 x 2."""

    num_classes: int
    image_size: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x, train):
        for channels in (8, 16):
            x = nn.Conv(channels, (3, 3), strides=(1, 1), use_bias=False, dtype=self.dtype)(x)
            x = nn.relu(nn.BatchNorm(not train, momentum=0.9, dtype=self.dtype)(x))
            x = nn.max_pool(x, (2, 2), (2, 2))
        return nn.Dense(self.num_classes, dtype=self.dtype)(x.reshape(len(x), -1))


def get_config(dataset=None):
    """The common recipe with a rate of its own."""
    return common.paper_recipe('two_convolutions', dataset, learning_rate=0.05)
