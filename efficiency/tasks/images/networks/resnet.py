"""ResNet, and the two that widen the middle of its bottleneck: Wide ResNet and ResNeXt."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.layers.downsampling import Downsampling
from efficiency.layers.initializers import kaiming_normal_fan_out
from efficiency.layers.modules import BatchNorm, Conv, ConvNorm, Dense, max_pool
from efficiency.tasks.images.networks import small
from efficiency.tasks.images.networks.registry import register

# ResNet's paper, table 1: the first layer's channels and those of the stages, and how many blocks each stage has.
STEM = 64
CHANNELS = (64, 128, 256, 512)
BLOCKS_18 = (2, 2, 2, 2)
BLOCKS_34 = BLOCKS_50 = (3, 4, 6, 3)
_HALVE = Downsampling(kernel=3, stride=2, padding=1)
DOWNSAMPLING = (_HALVE._replace(kernel=7, padding=3), _HALVE._replace(is_pool=True), _HALVE, _HALVE, _HALVE)


class Layer(NamedTuple):
    """A convolution in the branch of a residual block, padded by half its kernel."""

    features: int
    kernel: int
    stride: int = 1
    groups: int = 1


def basic(channels: int, stride: int) -> tuple[Layer, ...]:
    """The branch of a basic block (paper, figure 5, left)."""
    return Layer(channels, 3, stride), Layer(channels, 3)


def bottleneck(channels: int, stride: int, widening: int = 1, groups: int = 1) -> tuple[Layer, ...]:
    """The branch of a bottleneck block (paper, figure 5, right), which puts out four times the stage's channels.

    The stride is on the 3x3 convolution, as in torchvision ("v1.5"); the paper has it on the first. `widening`
    multiplies the channels between the two 1x1 convolutions.
    """
    width = widening * channels
    return Layer(width, 1), Layer(width, 3, stride, groups), Layer(4 * channels, 1)


def branches(
    blocks: Sequence[int], branch: Callable[[int, int], tuple[Layer, ...]], strides: Sequence[int]
) -> Iterator[tuple[str, tuple[Layer, ...]]]:
    """Every residual block of a network in order: its name, as 'layer1.0', and the layers of its branch.

    Args:
        blocks: of each stage.
        branch: layers from a stage's channels and a stride.
        strides: of each stage, taken by its first block.
    """
    for stage, (count, channels, stride) in enumerate(zip(blocks, CHANNELS, strides, strict=True)):
        for block in range(count):
            yield f'layer{stage + 1}.{block}', branch(channels, stride if block == 0 else 1)


class ResidualBlock(nn.Module):
    """Adds a branch to its input, or to a projection of it where the shape differs. (n, h, w, c) -> (n, h', w', c')."""

    layers: tuple[Layer, ...]
    train: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        init = kaiming_normal_fan_out()
        shortcut = x
        for i, (features, kernel, stride, groups) in enumerate(self.layers, 1):
            x = nn.relu(x) if i > 1 else x
            x = Conv(
                features, kernel, stride, kernel // 2, groups, bias=False, kernel_init=init, dtype=self.dtype,
                name=f'conv{i}',
            )(x)  # fmt: skip
            x = BatchNorm(self.train, dtype=self.dtype, name=f'bn{i}')(x)
        # Wherever there is a stride the channels change too.
        if x.shape[3] != shortcut.shape[3]:
            stride = math.prod(layer.stride for layer in self.layers)
            shortcut = ConvNorm(
                x.shape[3], 1, stride, activation=None, kernel_init=init, train=self.train, dtype=self.dtype,
                name='downsample',
            )(shortcut)  # fmt: skip
        return nn.relu(x + shortcut)


class ResNet(nn.Module):
    """ResNet (He et al., 2015, arXiv:1512.03385). (n, size, size, 3) -> (n, num_classes).

    Also Wide ResNet (Zagoruyko & Komodakis, 2016, arXiv:1605.07146) and ResNeXt (Xie et al., 2016, arXiv:1611.05431).
    At 224 pixels and 1000 classes, as torchvision's:

                          parameters   dense multiply-adds forward
        resnet18          11,689,512   1,814,073,344
        resnet34          21,797,672   3,663,761,408
        resnet50          25,557,032   4,089,184,256
        wide_resnet50_2   68,883,240   11,398,021,120
        resnext50_32x4d   25,028,904   4,230,479,872

    In the small-image form the last stage keeps its map: 2x2 at 28 and 32 pixels.

    Attributes:
        blocks: of each stage.
        branch: the layers of a block's branch, from a stage's channels and a stride.
    """

    blocks: Sequence[int]
    branch: Callable[[int, int], tuple[Layer, ...]]
    num_classes: int
    image_size: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        stride, pool_stride, *stage_strides = small.strides_for(DOWNSAMPLING, self.image_size)
        init = kaiming_normal_fan_out()
        x = Conv(STEM, 7, stride, 3, bias=False, kernel_init=init, dtype=self.dtype, name='conv1')(x)
        x = nn.relu(BatchNorm(train, dtype=self.dtype, name='bn1')(x))
        if pool_stride > 1:
            x = max_pool(x, 3, 2, 1)
        for name, layers in branches(self.blocks, self.branch, (1, *stage_strides)):
            x = ResidualBlock(layers, train, self.dtype, name=name)(x)
        x = jnp.mean(x, axis=(1, 2))
        return Dense(self.num_classes, dtype=self.dtype, name='fc')(x).astype(jnp.float32)


_resnet = partial(register, paper='arXiv:1512.03385', published='2015-12-10', image_size=224)
resnet18 = _resnet('resnet18')(partial(ResNet, blocks=BLOCKS_18, branch=basic))
resnet34 = _resnet('resnet34')(partial(ResNet, blocks=BLOCKS_34, branch=basic))
resnet50 = _resnet('resnet50')(partial(ResNet, blocks=BLOCKS_50, branch=bottleneck))

# Twice as wide between the 1x1 convolutions; ResNeXt has 32 groups there, of 4 channels in the first stage.
wide_resnet50_2 = register('wide_resnet50_2', paper='arXiv:1605.07146', published='2016-05-23', image_size=224)(
    partial(ResNet, blocks=BLOCKS_50, branch=partial(bottleneck, widening=2))
)
resnext50_32x4d = register('resnext50_32x4d', paper='arXiv:1611.05431', published='2016-11-16', image_size=224)(
    partial(ResNet, blocks=BLOCKS_50, branch=partial(bottleneck, widening=2, groups=32))
)
