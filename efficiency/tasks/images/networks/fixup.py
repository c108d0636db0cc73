"""ResNet-50 without normalisation: Fixup initialisation lets it train."""

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.layers.initializers import constant, kaiming_normal_fan_out, normal
from efficiency.layers.modules import Conv, Dense, max_pool
from efficiency.tasks.images.networks import small
from efficiency.tasks.images.networks.registry import register
from efficiency.tasks.images.networks.resnet import BLOCKS_50, DOWNSAMPLING, STEM, Layer, bottleneck, branches


def _scalar(module: nn.Module, name: str, value: float = 0) -> jax.Array:
    return module.param(name, constant(value), (1,)).astype(module.dtype)


class FixupBlock(nn.Module):
    """Paper, figure 1, right: a residual block with scalars in place of its batch norms.

    A bias before every convolution and activation, and a multiplier on the branch. (n, h, w, c) -> (n, h', w', c').

    Attributes:
        layers: of the branch.
        blocks: in the whole network.
    """

    layers: tuple[Layer, ...]
    blocks: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scalar = partial(_scalar, self)
        conv = partial(Conv, bias=False, dtype=self.dtype)
        last = len(self.layers)
        out = self.layers[-1].features
        # A step of training moves the network's output equally far whatever its depth if this scales the initial
        # values of all layers of a branch but the last, which starts at 0 (paper, section 3).
        shrink = self.blocks ** (-1 / (2 * last - 2))
        shortcut = x
        for i, (features, kernel, stride, groups) in enumerate(self.layers, 1):
            x = x + scalar(f'bias{i}a')
            if i == 1 and x.shape[3] != out:
                # The projection sees the first bias too.
                total_stride = math.prod(layer.stride for layer in self.layers)
                init = kaiming_normal_fan_out()
                shortcut = conv(out, 1, total_stride, kernel_init=init, name='downsample')(x)
            init = normal(shrink * math.sqrt(2 / (kernel**2 * features))) if i < last else constant(0)
            x = conv(features, kernel, stride, kernel // 2, groups, kernel_init=init, name=f'conv{i}')(x)
            if i < last:
                x = nn.relu(x + scalar(f'bias{i}b'))
        return nn.relu(x * scalar('multiplier', 1) + scalar(f'bias{last}b') + shortcut)


class FixupResNet(nn.Module):
    """ResNet with Fixup initialisation (Zhang et al., 2019, arXiv:1901.09321). (n, size, size, 3) -> (n, num_classes).

    At 224 pixels and 1000 classes: 25,504,026 parameters, as many as in the authors' implementation, and 4,089,184,256
    dense multiply-adds forward, those of ResNet-50. That is ResNet-50's 25,557,032 less the 53,120 of its batch norms
    (two for each of 26,560 channels), plus 7 scalars in each of 16 blocks (two biases for each of three convolutions
    and the multiplier), the bias before the first activation and the one before the classifier. The small-image form
    is ResNet's: 2x2 at 28 and 32 pixels.

    Attributes:
        blocks: of each stage.
    """

    blocks: Sequence[int]
    num_classes: int
    image_size: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        stride, pool_stride, *stage_strides = small.strides_for(DOWNSAMPLING, self.image_size)
        # The first layer has torch's initial values, as in the authors' implementation.
        x = Conv(STEM, 7, stride, 3, bias=False, dtype=self.dtype, name='conv1')(x)
        x = nn.relu(x + _scalar(self, 'bias1'))
        if pool_stride > 1:
            x = max_pool(x, 3, 2, 1)
        for name, layers in branches(self.blocks, bottleneck, (1, *stage_strides)):
            x = FixupBlock(layers, sum(self.blocks), self.dtype, name=name)(x)
        x = jnp.mean(x, axis=(1, 2)) + _scalar(self, 'bias2')
        fc = Dense(self.num_classes, constant(0), constant(0), self.dtype, name='fc')
        return fc(x).astype(jnp.float32)


# As the authors' implementation calls it.
_TORCH_NAMES = {
    f'layer{stage}.{block}.multiplier': f'layer{stage}.{block}.scale'
    for stage, count in enumerate(BLOCKS_50, 1)
    for block in range(count)
}
resnet50_fixup = register(
    'resnet50_fixup', paper='arXiv:1901.09321', published='2019-01-27', image_size=224, torch_names=_TORCH_NAMES
)(partial(FixupResNet, blocks=BLOCKS_50))
