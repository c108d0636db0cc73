"""ShuffleNet v1: grouped 1x1 convolutions whose groups talk through a channel shuffle."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.layers import ops
from efficiency.layers.downsampling import Downsampling
from efficiency.layers.initializers import constant, kaiming_normal_fan_out, normal
from efficiency.layers.modules import BatchNorm, Conv, Dense
from efficiency.tasks.images.networks import small
from efficiency.tasks.images.networks.registry import register

# Paper, table 1: how many units each stage has, the first layer's channels, and for each number of groups the channels
# out of each stage.
UNITS = (4, 8, 4)
STEM = 24
CHANNELS = {
    1: (144, 288, 576),
    2: (200, 400, 800),
    3: (240, 480, 960),
    4: (272, 544, 1088),
    8: (384, 768, 1536),
}
# Table 2, of the form with 3 groups (the channels of others are not all whole numbers when scaled): the channels out of
# each stage, and the first layer's, as its authors scale them (github.com/megvii-model/ShuffleNet-Series; 0.25 is not
# among theirs). At 1.5 the first layer stays as it is.
SCALED = {
    'x0_25': ((60, 120, 240), 6),
    'x0_5': ((120, 240, 480), 12),
    'x1_5': ((360, 720, 1440), 24),
    'x2_0': ((480, 960, 1920), 48),
}
_HALVE = Downsampling(kernel=3, stride=2, padding=1)
DOWNSAMPLING = (_HALVE, _HALVE._replace(is_pool=True), _HALVE, _HALVE, _HALVE)


def channel_shuffle(x: jax.Array, groups: int) -> jax.Array:
    """Gives every group of channels a share of every other (paper, figure 1). (n, h, w, c) -> the same."""
    n, h, w, channels = x.shape
    return x.reshape(n, h, w, groups, channels // groups).swapaxes(3, 4).reshape(x.shape)


class ShuffleUnit(nn.Module):
    """Paper, figure 2b; the first unit of a stage (figure 2c) puts its input beside its output, averaged if strided.

    Attributes:
        features: channels out, those of the shortcut included; the bottleneck has a quarter.
        groups_in: of the first 1x1 convolution; the second has `groups`.
    """

    features: int
    groups: int
    groups_in: int
    stride: int
    concat: bool
    train: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        conv = partial(Conv, bias=False, kernel_init=kaiming_normal_fan_out(), dtype=self.dtype)
        norm = partial(BatchNorm, train=self.train, dtype=self.dtype)
        bottleneck = self.features // 4
        shortcut = x
        if self.stride > 1:
            shortcut = ops.avg_pool(x, (3, 3), (self.stride, self.stride), ((1, 1), (1, 1)))
        branch = self.features - x.shape[3] if self.concat else self.features

        x = conv(bottleneck, 1, groups=self.groups_in, name='compress')(x)
        x = nn.relu(norm(name='compress_bn')(x))
        x = channel_shuffle(x, self.groups)
        x = conv(bottleneck, 3, self.stride, 1, groups=bottleneck, name='depthwise')(x)
        x = norm(name='depthwise_bn')(x)
        x = conv(branch, 1, groups=self.groups, name='expand')(x)
        x = norm(name='expand_bn')(x)
        return nn.relu(jnp.concatenate([shortcut, x], axis=3) if self.concat else shortcut + x)


class ShuffleNetV1(nn.Module):
    """ShuffleNet v1 (Zhang et al., 2017, arXiv:1707.01083). (n, size, size, 3) -> (n, num_classes).

    The 1x form with 3 groups, at 224 pixels and 1000 classes: 1,865,728 parameters and 137,460,672 dense
    multiply-adds forward. The paper gives no initial values: they are He's for convolutions, and of deviation 0.001
    for the linear layer. In the small-image form the last stage keeps its map: 2x2 at 28 and 32 pixels.

    Attributes:
        groups: of the 1x1 convolutions; the very first of them is not grouped, as its input is thin.
        channels: out of each stage.
        stem: channels of the first layer.
    """

    groups: int
    channels: Sequence[int]
    num_classes: int
    image_size: int
    dtype: DTypeLike = jnp.float32
    stem: int = STEM

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        stride, pool_stride, *stage_strides = small.strides_for(DOWNSAMPLING, self.image_size)
        conv = partial(Conv, bias=False, kernel_init=kaiming_normal_fan_out(), dtype=self.dtype)
        x = conv(self.stem, 3, stride, 1, name='conv1')(x)
        x = nn.relu(BatchNorm(train, dtype=self.dtype, name='conv1_bn')(x))
        if pool_stride > 1:
            x = ops.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        for stage, (units, features) in enumerate(zip(UNITS, self.channels, strict=True)):
            for unit in range(units):
                first = unit == 0
                x = ShuffleUnit(
                    features,
                    self.groups,
                    groups_in=1 if stage == 0 and first else self.groups,
                    stride=stage_strides[stage] if first else 1,
                    concat=first,
                    train=train,
                    dtype=self.dtype,
                    name=f'stage{stage + 2}_{unit}',
                )(x)
        x = jnp.mean(x, axis=(1, 2))
        fc = Dense(self.num_classes, normal(0.001), constant(0), self.dtype, name='fc')
        return fc(x).astype(jnp.float32)


_register = partial(register, paper='arXiv:1707.01083', published='2017-07-03', image_size=224)
shufflenet_v1_x1_0 = _register('shufflenet_v1_x1_0')(partial(ShuffleNetV1, 3, CHANNELS[3]))
for suffix, (channels, stem) in SCALED.items():
    _register(f'shufflenet_v1_{suffix}')(partial(ShuffleNetV1, 3, channels, stem=stem))
for groups in (1, 2, 4, 8):
    _register(f'shufflenet_v1_g{groups}_x1_0')(partial(ShuffleNetV1, groups, CHANNELS[groups]))
