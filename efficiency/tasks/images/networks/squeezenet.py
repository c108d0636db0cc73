"""SqueezeNet: AlexNet's accuracy from a fiftieth of its parameters."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.layers.downsampling import Downsampling
from efficiency.layers.initializers import constant, kaiming_uniform_fan_in, normal
from efficiency.layers.modules import Conv, max_pool
from efficiency.tasks.images.networks import small
from efficiency.tasks.images.networks.registry import register

# A row of `LAYERS` is a fire module's channels, squeezed and out of either expansion, or a pool. The first row is the
# third layer of torchvision's `features`, behind a strided convolution (kernel, channels) and its ReLU.
POOL = None
STEM_1_0 = (7, 96)
LAYERS_1_0 = (
    POOL, (16, 64), (16, 64), (32, 128),
    POOL, (32, 128), (48, 192), (48, 192), (64, 256),
    POOL, (64, 256),
)  # fmt: skip
STEM_1_1 = (3, 64)
LAYERS_1_1 = (
    POOL, (16, 64), (16, 64),
    POOL, (32, 128), (32, 128),
    POOL, (48, 192), (48, 192), (64, 256), (64, 256),
)  # fmt: skip
_POOL = Downsampling(kernel=3, stride=2, padding=0, is_pool=True, ceil=True)


class Fire(nn.Module):
    """A 1x1 convolution to few channels, then 1x1 and 3x3 to many (paper, figure 1).

    (n, h, w, c) -> (n, h, w, 2 x expanded).
    """

    squeezed: int
    expanded: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        conv = partial(Conv, kernel_init=kaiming_uniform_fan_in(), bias_init=constant(0), dtype=self.dtype)
        x = nn.relu(conv(self.squeezed, 1, name='squeeze')(x))
        single = conv(self.expanded, 1, name='expand1x1')(x)
        triple = conv(self.expanded, 3, padding=1, name='expand3x3')(x)
        return nn.relu(jnp.concatenate([single, triple], axis=3))


class SqueezeNet(nn.Module):
    """SqueezeNet (Iandola et al., 2016, arXiv:1602.07360). (n, size, size, 3) -> (n, num_classes).

    At 224 pixels and 1000 classes, as torchvision's:

        1.0, the paper's: 1,248,424 parameters, 818,924,576 dense multiply-adds forward.
        1.1, its authors' later one, thinner at the front: 1,235,496 and 349,151,936.

    No batch norm and no linear layer: the logits are the means of the last convolution's maps, behind a ReLU;
    dropout 0.5 before it. In the small-image form the last pool is out: a 2x2 map at 28 pixels in 1.0 and 3x3 in 1.1,
    3x3 at 32 in both.

    Attributes:
        stem: kernel and channels of the first convolution.
        layers: what follows it, as in `LAYERS_1_0`.
    """

    stem: tuple[int, int]
    layers: Sequence[tuple[int, int] | None]
    num_classes: int
    image_size: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        kernel, channels = self.stem
        pools = [_POOL] * self.layers.count(POOL)
        stride, *pool_strides = small.strides_for((Downsampling(kernel, stride=2, padding=0), *pools), self.image_size)
        conv = partial(Conv, bias_init=constant(0), dtype=self.dtype)
        x = conv(channels, kernel, stride, kernel_init=kaiming_uniform_fan_in(), name='features.0')(x)
        x = nn.relu(x)
        for i, layer in enumerate(self.layers, start=2):
            if layer is not POOL:
                x = Fire(*layer, self.dtype, name=f'features.{i}')(x)
            elif pool_strides.pop(0) > 1:
                x = max_pool(x, 3, 2, ceil=True)
        x = nn.Dropout(0.5, deterministic=not train)(x)
        x = nn.relu(conv(self.num_classes, 1, kernel_init=normal(0.01), name='classifier.1')(x))
        return jnp.mean(x, axis=(1, 2)).astype(jnp.float32)


squeezenet1_0 = register('squeezenet1_0', paper='arXiv:1602.07360', published='2016-02-24', image_size=224)(
    partial(SqueezeNet, stem=STEM_1_0, layers=LAYERS_1_0)
)
squeezenet1_1 = register('squeezenet1_1', paper='arXiv:1602.07360', published='2016-02-24', image_size=224)(
    partial(SqueezeNet, stem=STEM_1_1, layers=LAYERS_1_1)
)
