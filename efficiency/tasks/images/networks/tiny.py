"""A network for small grey images, made for the least compute to a level."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.layers.downsampling import Downsampling
from efficiency.layers.modules import BatchNorm, Conv, Dense, max_pool
from efficiency.tasks.images.networks import small
from efficiency.tasks.images.networks.registry import register
from efficiency.tasks.images.networks.whitening import TakesImages, Whitening, whitening_kernel, whitening_macs

_KERNEL = 3
# As of airbench94: a run has so few steps that running statistics have to move fast.
_MOMENTUM = 0.4


@register(
    'whitened_tiny', paper='none', published='2026-11-30', image_size=28,
    options=('components', 'patch', 'patch_stride', 'pool', 'width', 'stride', 'hidden', 'whitened'),
)  # fmt: skip
class WhitenedTiny(nn.Module, TakesImages):
    """A whitened map, a convolution and a linear layer. (n, size, size, 3) -> (n, num_classes).

    Colour is left out: the network sees the mean of the channels, which of data of one channel is that one. The first
    layer whitens patches of the first 100 training images; where a recipe leaves it alone, nothing has to come back
    through it, and the convolution's gradient is that of its kernel alone. By default, at 28 pixels and 10 classes:
    6,082 parameters and 90,400 dense multiply-adds forward.

    It needs no small-image form: nothing is left out at any size.

    Attributes:
        components, patch, patch_stride: of the whitening, which makes twice as many maps as it has components.
        pool: the side of the windows whose largest value is taken behind it; 1 for none.
        width, stride: of the convolution, 3 x 3 without padding.
        hidden: width of a linear layer before the last; 0 for none.
        whitened: whether the first layer whitens, or is an ordinary convolution.
    """

    num_classes: int
    image_size: int
    dtype: DTypeLike = jnp.float32
    components: int = 6
    patch: int = 5
    patch_stride: int = 2
    pool: int = 1
    width: int = 16
    stride: int = 2
    hidden: int = 0
    whitened: bool = True

    images_taken = 100

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        small.strides_for(self._downsampling(), self.image_size)  # raises where nothing would be left
        x = jnp.mean(x, axis=3, keepdims=True)
        if self.whitened:
            x = Whitening(self.components, self.patch, self.patch_stride, self.dtype, name='whiten')(x)
        else:
            x = Conv(2 * self.components, self.patch, self.patch_stride, dtype=self.dtype, name='whiten')(x)
        x = nn.relu(x)
        if self.pool > 1:
            x = max_pool(x, self.pool, self.pool)
        x = Conv(self.width, _KERNEL, self.stride, bias=False, dtype=self.dtype, name='conv')(x)
        x = nn.relu(BatchNorm(train, _MOMENTUM, dtype=self.dtype, name='norm')(x))
        x = x.reshape(len(x), -1)
        if self.hidden:
            x = Dense(self.hidden, bias=False, dtype=self.dtype, name='fc')(x)
            x = nn.relu(BatchNorm(train, _MOMENTUM, dtype=self.dtype, name='norm_fc')(x))
        return Dense(self.num_classes, dtype=self.dtype, name='head')(x).astype(jnp.float32)

    @nn.nowrap
    def _downsampling(self) -> tuple[Downsampling, ...]:
        whitening, conv = Downsampling(self.patch, self.patch_stride, 0), Downsampling(_KERNEL, self.stride, 0)
        pool = Downsampling(self.pool, self.pool, 0, is_pool=True)
        return (whitening, pool, conv) if self.pool > 1 else (whitening, conv)

    @nn.nowrap
    def with_images(self, params: Any, images: np.ndarray) -> Any:
        if not self.whitened:
            return params
        kernel = whitening_kernel(images.mean(3, keepdims=True), self.components, self.patch, self.patch_stride)
        return {**params, 'whiten': {**params['whiten'], 'kernel': kernel}}

    @nn.nowrap
    def macs_of_images(self, count: int, size: int) -> int:
        return whitening_macs(count, size, 1, self.patch, self.patch_stride) if self.whitened else 0
