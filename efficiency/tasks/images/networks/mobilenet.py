"""MobileNet v1 and v2: depthwise convolutions and 1x1 convolutions in turn."""

import math
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.layers.downsampling import Downsampling
from efficiency.layers.initializers import constant, kaiming_normal_fan_out, normal, uniform_fan_in
from efficiency.layers.modules import BatchNorm, Conv, ConvNorm, Dense
from efficiency.tasks.images.networks import small
from efficiency.tasks.images.networks.inverted_residual import InvertedResidual, make_divisible
from efficiency.tasks.images.networks.registry import register

# Channels of the first layer, a strided 3x3 convolution; of either network.
STEM = 32
# v1's paper, table 1: (channels, blocks, stride of the first).
V1_STAGES = ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2))
# v2's paper, table 2: (expansion, channels, blocks, stride of the first), and the channels of the last convolution.
V2_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
V2_HEAD = 1280


def _downsampling(*strides):
    return tuple(Downsampling(kernel=3, stride=stride, padding=1) for stride in strides)


# The first layer and the first block of every stage.
V1_DOWNSAMPLING = _downsampling(2, *(stride for _, _, stride in V1_STAGES))
V2_DOWNSAMPLING = _downsampling(2, *(stride for _, _, _, stride in V2_STAGES))


class SeparableConv(nn.Module):
    """Paper of v1, figure 3, right: 3x3 for each channel, then 1x1 across. (n, h, w, in) -> (n, h', w', features)."""

    features: int
    stride: int
    train: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        conv = partial(Conv, bias=False, dtype=self.dtype)
        norm = partial(BatchNorm, self.train, dtype=self.dtype)
        channels = x.shape[3]
        # timm takes the fan out for one group here, and torchvision for all of them.
        init = normal(math.sqrt(2) / 3)
        x = conv(channels, 3, self.stride, 1, groups=channels, kernel_init=init, name='conv_dw')(x)
        x = nn.relu6(norm(name='bn1')(x))
        x = conv(self.features, 1, kernel_init=kaiming_normal_fan_out(), name='conv_pw')(x)
        return nn.relu6(norm(name='bn2')(x))


class MobileNetV1(nn.Module):
    """MobileNet v1 (Howard et al., 2017, arXiv:1704.04861). (n, size, size, 3) -> (n, num_classes).

    At width 1, 224 pixels and 1000 classes: 4,231,976 parameters and 568,740,352 dense multiply-adds forward, as
    timm's mobilenetv1_100, whose names, initial values and ReLU6 these are (the paper says ReLU). In the small-image
    form the last stage keeps its map: 2x2 at 28 and 32 pixels.

    Attributes:
        width: scales the channels of every layer.
    """

    width: float
    num_classes: int
    image_size: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        stride, *stage_strides = small.strides_for(V1_DOWNSAMPLING, self.image_size)
        conv = partial(Conv, bias=False, kernel_init=kaiming_normal_fan_out(), dtype=self.dtype)
        x = conv(make_divisible(self.width * STEM), 3, stride, 1, name='conv_stem')(x)
        x = nn.relu6(BatchNorm(train, dtype=self.dtype, name='bn1')(x))
        for stage, (channels, blocks, _) in enumerate(V1_STAGES):
            features = make_divisible(self.width * channels)
            for i in range(blocks):
                stride = stage_strides[stage] if i == 0 else 1
                x = SeparableConv(features, stride, train, self.dtype, name=f'blocks.{stage}.{i}')(x)
        x = jnp.mean(x, axis=(1, 2))
        # Uniform within 1 / sqrt(channels out).
        init = uniform_fan_in(self.num_classes)
        return Dense(self.num_classes, init, constant(0), self.dtype, name='classifier')(x).astype(jnp.float32)


class MobileNetV2(nn.Module):
    """MobileNet v2 (Sandler et al., 2018, arXiv:1801.04381). (n, size, size, 3) -> (n, num_classes).

    At width 1, 224 pixels and 1000 classes: 3,504,872 parameters and 300,774,272 dense multiply-adds forward, as
    torchvision's. Dropout 0.2 before the linear layer. In the small-image form the 160-channel stage keeps its
    map: 2x2 at 28 and 32 pixels.

    Attributes:
        width: scales the channels of every layer, but for the last convolution, which does not become thinner.
    """

    width: float
    num_classes: int
    image_size: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        stride, *stage_strides = small.strides_for(V2_DOWNSAMPLING, self.image_size)
        conv_norm = partial(
            ConvNorm, activation=nn.relu6, kernel_init=kaiming_normal_fan_out(), train=train, dtype=self.dtype
        )
        x = conv_norm(make_divisible(self.width * STEM), 3, stride, name='features.0')(x)
        layer = 1
        for (expansion, channels, blocks, _), stage_stride in zip(V2_STAGES, stage_strides, strict=True):
            features = make_divisible(self.width * channels)
            for i in range(blocks):
                stride = stage_stride if i == 0 else 1
                x = InvertedResidual(features, 3, stride, expansion, conv_norm, train, name=f'features.{layer}')(x)
                layer += 1
        x = conv_norm(make_divisible(max(1, self.width) * V2_HEAD), 1, name=f'features.{layer}')(x)
        x = jnp.mean(x, axis=(1, 2))
        x = nn.Dropout(0.2, deterministic=not train)(x)
        fc = Dense(self.num_classes, normal(0.01), constant(0), self.dtype, name='classifier.1')
        return fc(x).astype(jnp.float32)


V1_WIDTHS = {'x0_25': 0.25, 'x0_5': 0.5, 'x0_75': 0.75}
V2_WIDTHS = {'x0_35': 0.35, 'x0_5': 0.5, 'x0_75': 0.75, 'x1_4': 1.4}

_register_v1 = partial(register, paper='arXiv:1704.04861', published='2017-04-17', image_size=224)
_register_v2 = partial(register, paper='arXiv:1801.04381', published='2018-01-13', image_size=224)
mobilenet_v1 = _register_v1('mobilenet_v1')(partial(MobileNetV1, 1.0))
mobilenet_v2 = _register_v2('mobilenet_v2')(partial(MobileNetV2, 1.0))
for suffix, width in V1_WIDTHS.items():
    _register_v1(f'mobilenet_v1_{suffix}')(partial(MobileNetV1, width))
for suffix, width in V2_WIDTHS.items():
    _register_v2(f'mobilenet_v2_{suffix}')(partial(MobileNetV2, width))
