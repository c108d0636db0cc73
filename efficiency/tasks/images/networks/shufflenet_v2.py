"""ShuffleNet v2: each unit works on half of the channels, and a shuffle deals them out anew."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.layers.downsampling import Downsampling
from efficiency.layers.modules import BatchNorm, Conv, ConvNorm, Dense, max_pool
from efficiency.tasks.images.networks import small
from efficiency.tasks.images.networks.registry import register
from efficiency.tasks.images.networks.shufflenet import channel_shuffle

# Paper, table 5: the first layer's channels, how many units each stage has, and the channels out of each stage and
# of the last convolution.
STEM = 24
UNITS = (4, 8, 4)
CHANNELS = {
    'x0_5': (48, 96, 192, 1024),
    'x1_0': (116, 232, 464, 1024),
    'x1_5': (176, 352, 704, 1024),
    'x2_0': (244, 488, 976, 2048),
}
_HALVE = Downsampling(kernel=3, stride=2, padding=1)
DOWNSAMPLING = (_HALVE, _HALVE._replace(is_pool=True), _HALVE, _HALVE, _HALVE)


class ShuffleUnit(nn.Module):
    """Paper, figure 3c: half of the channels stay as they are, the other half go through a branch.

    In the first unit of a stage (figure 3d) all of them go through either branch.

    Attributes:
        features: channels out, half of them from each side.
    """

    features: int
    stride: int
    first: bool
    train: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        half = self.features // 2

        def pointwise(x, branch, layer):
            x = Conv(half, 1, bias=False, dtype=self.dtype, name=f'{branch}.{layer}')(x)
            return nn.relu(BatchNorm(self.train, dtype=self.dtype, name=f'{branch}.{layer + 1}')(x))

        def depthwise(x, branch, layer):
            conv = partial(Conv, bias=False, dtype=self.dtype, name=f'{branch}.{layer}')
            x = conv(x.shape[3], 3, self.stride, 1, groups=x.shape[3])(x)
            return BatchNorm(self.train, dtype=self.dtype, name=f'{branch}.{layer + 1}')(x)

        # The layers have torchvision's numbers, which count activations too.
        if self.first:
            kept = pointwise(depthwise(x, 'branch1', 0), 'branch1', 2)
        else:
            kept, x = x[..., :half], x[..., half:]
        x = pointwise(x, 'branch2', 0)
        x = depthwise(x, 'branch2', 3)
        x = pointwise(x, 'branch2', 5)
        return channel_shuffle(jnp.concatenate([kept, x], axis=3), 2)


class ShuffleNetV2(nn.Module):
    """ShuffleNet v2 (Ma et al., 2018, arXiv:1807.11164). (n, size, size, 3) -> (n, num_classes).

    The 1x form, at 224 pixels and 1000 classes: 2,278,604 parameters and 144,907,992 dense multiply-adds forward,
    as torchvision's. In the small-image form the last stage keeps its map: 2x2 at 28 and 32 pixels.

    Attributes:
        channels: out of each stage and of the last convolution.
    """

    channels: tuple[int, ...]
    num_classes: int
    image_size: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        stride, pool_stride, *stage_strides = small.strides_for(DOWNSAMPLING, self.image_size)
        *stages, head = self.channels
        x = ConvNorm(STEM, 3, stride, train=train, dtype=self.dtype, name='conv1')(x)
        if pool_stride > 1:
            x = max_pool(x, 3, 2, padding=1)
        for stage, (units, features) in enumerate(zip(UNITS, stages, strict=True)):
            for unit in range(units):
                first = unit == 0
                stride = stage_strides[stage] if first else 1
                x = ShuffleUnit(features, stride, first, train, self.dtype, name=f'stage{stage + 2}.{unit}')(x)
        x = ConvNorm(head, 1, train=train, dtype=self.dtype, name='conv5')(x)
        x = jnp.mean(x, axis=(1, 2))
        return Dense(self.num_classes, dtype=self.dtype, name='fc')(x).astype(jnp.float32)


for suffix, channels in CHANNELS.items():
    register(f'shufflenet_v2_{suffix}', paper='arXiv:1807.11164', published='2018-07-30', image_size=224)(
        partial(ShuffleNetV2, channels)
    )
