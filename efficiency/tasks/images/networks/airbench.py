"""The network of cifar10-airbench, made to reach 94 % on CIFAR-10 in seconds."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.layers.downsampling import Downsampling
from efficiency.layers.initializers import dirac, unit_uniform
from efficiency.layers.modules import BatchNorm, Conv, Dense, max_pool
from efficiency.tasks.images.networks import small
from efficiency.tasks.images.networks.registry import register
from efficiency.tasks.images.networks.whitening import TakesImages, Whitening, whitening_kernel, whitening_macs

_POOL = Downsampling(kernel=2, stride=2, padding=0, is_pool=True)


class ConvGroup(nn.Module):
    """Convolution, pool, norm, activation, and the same without the pool. (n, h, w, c) -> (n, h // 2, w // 2, out)."""

    features: int
    train: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for i in (1, 2):
            x = Conv(
                self.features, 3, padding=1, bias=False, kernel_init=dirac(), dtype=self.dtype, name=f'conv{i}'
            )(x)  # fmt: skip
            x = max_pool(x, 2, 2) if i == 1 else x
            x = BatchNorm(self.train, momentum=0.4, epsilon=1e-12, dtype=self.dtype, name=f'norm{i}')(x)
            x = nn.gelu(x, approximate=False)
        return x


@register(
    'airbench94', paper='https://github.com/KellerJordan/cifar10-airbench', published='2024-03-20', image_size=32,
    options=('width', 'groups', 'components', 'patch', 'patch_stride'),
)  # fmt: skip
class Airbench(nn.Module, TakesImages):
    """The network of airbench94 (Jordan, 2024, '94% on CIFAR-10 in 3.29 Seconds on a Single GPU', arXiv:2404.00498).

    (n, size, size, 3) -> (n, num_classes). At 32 pixels and 10 classes: 1,972,792 parameters and 118,147,360 dense
    multiply-adds forward, those of the authors' code. A first layer that whitens patches
    of 2 x 2 pixels, of the first 5,000 training images, and is not trained but for its bias; three groups of two
    convolutions, which begin as near to the identity as they can; batch norms whose running statistics move fast; the
    largest value of the last map, 3 x 3; a linear layer whose sums are divided by their number.

    The scales of the batch norms, which are there as the code has them, stay 1 where a recipe's optimizer leaves them
    alone, as the authors' does. It was made for 32 pixels and needs no small-image form; of a last map of any size the
    largest value is taken.

    Attributes:
        width: channels of the first group.
        groups: channels of each group, as multiples of the width.
        components, patch, patch_stride: of the whitening, which makes twice as many maps as it has components.
    """

    num_classes: int
    image_size: int
    dtype: DTypeLike = jnp.float32
    width: int = 64
    groups: Sequence[int] = (1, 4, 4)
    components: int = 12
    patch: int = 2
    patch_stride: int = 1

    images_taken = 5000

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        whitening = Downsampling(self.patch, self.patch_stride, padding=0)
        # Raises where nothing would be left, and drops nothing.
        small.strides_for((whitening, *[_POOL] * len(self.groups)), self.image_size)
        x = Whitening(self.components, self.patch, self.patch_stride, self.dtype, name='whiten')(x)
        x = nn.gelu(x, approximate=False)
        for i, times in enumerate(self.groups, 1):
            x = ConvGroup(times * self.width, train, self.dtype, name=f'group{i}')(x)
        x = jnp.max(x, axis=(1, 2))
        head = Dense(self.num_classes, unit_uniform(), dtype=self.dtype, bias=False, name='head')
        return head(x).astype(jnp.float32) / x.shape[1]

    @nn.nowrap
    def with_images(self, params: Any, images: np.ndarray) -> Any:
        kernel = whitening_kernel(images, self.components, self.patch, self.patch_stride)
        return {**params, 'whiten': {**params['whiten'], 'kernel': kernel}}

    @nn.nowrap
    def macs_of_images(self, count: int, size: int) -> int:
        return whitening_macs(count, size, 3, self.patch, self.patch_stride)
