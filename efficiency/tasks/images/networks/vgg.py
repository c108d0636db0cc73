"""VGG: small kernels, many layers, and most of its parameters in the classifier."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.layers.downsampling import Downsampling
from efficiency.layers.initializers import constant, kaiming_normal_fan_out, normal
from efficiency.layers.modules import Conv, Dense, adaptive_avg_pool, max_pool
from efficiency.tasks.images.networks import small
from efficiency.tasks.images.networks.registry import register

# Paper, table 1: the channels of the stages, each with a max pool behind it, and how many 3x3 convolutions each has in
# configurations A and D.
CHANNELS = (64, 128, 256, 512, 512)
CONVS_A = (1, 1, 2, 2, 2)
CONVS_D = (2, 2, 3, 3, 3)
DOWNSAMPLING = (Downsampling(kernel=2, stride=2, padding=0, is_pool=True),) * len(CHANNELS)


class VGG(nn.Module):
    """VGG (Simonyan & Zisserman, 2014, arXiv:1409.1556). (n, size, size, 3) -> (n, num_classes).

    At 224 pixels and 1000 classes, as torchvision's: VGG-11 132,863,336 parameters and 7,609,090,048 dense
    multiply-adds forward, VGG-16 138,357,544 and 15,470,264,320. No batch norm; dropout 0.5 behind the first two linear
    layers. In the small-image form the last two pools are out: a 3x3 map at 28 pixels, 4x4 at 32. The classifier sees
    the original's 7x7 map, or the map as it is where that is smaller.

    Attributes:
        convs: of each stage.
    """

    convs: Sequence[int]
    num_classes: int
    image_size: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        strides = small.strides_for(DOWNSAMPLING, self.image_size)
        # torchvision numbers the layers of its two halves, activations, pools and dropout included.
        index = 0
        conv = partial(
            Conv, kernel=3, padding=1, kernel_init=kaiming_normal_fan_out(), bias_init=constant(0), dtype=self.dtype
        )
        for convs, channels, stride in zip(self.convs, CHANNELS, strides, strict=True):
            for _ in range(convs):
                x = nn.relu(conv(channels, name=f'features.{index}')(x))
                index += 2
            if stride > 1:
                x = max_pool(x, 2, 2)
            index += 1
        if self.image_size > small.LARGEST_SMALL_IMAGE or x.shape[1] > 7:
            x = adaptive_avg_pool(x, 7)
        x = x.reshape(x.shape[0], -1)
        dense = partial(Dense, kernel_init=normal(0.01), bias_init=constant(0), dtype=self.dtype)
        for index in (0, 3):
            x = nn.relu(dense(4096, name=f'classifier.{index}')(x))
            x = nn.Dropout(0.5, deterministic=not train)(x)
        return dense(self.num_classes, name='classifier.6')(x).astype(jnp.float32)


_vgg = partial(
    register, paper='arXiv:1409.1556', published='2014-09-04', image_size=224, flattened={'classifier.0': 512}
)
vgg11 = _vgg('vgg11')(partial(VGG, convs=CONVS_A))
vgg16 = _vgg('vgg16')(partial(VGG, convs=CONVS_D))
