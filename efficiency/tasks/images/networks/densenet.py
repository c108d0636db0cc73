"""DenseNet: every layer of a block sees the outputs of all the layers before it, side by side."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.layers import ops
from efficiency.layers.downsampling import Downsampling
from efficiency.layers.initializers import constant, kaiming_normal_fan_in
from efficiency.layers.modules import BatchNorm, Conv, Dense, batch_moments, max_pool
from efficiency.layers.normalisation import Moments
from efficiency.tasks.images.networks import small
from efficiency.tasks.images.networks.registry import register

# Paper, table 1: the first layer's channels, those that every layer adds (the growth rate), and the layers of each
# block; between two blocks a transition halves the map and the channels.
STEM = 64
GROWTH = 32
LAYERS_121 = (6, 12, 24, 16)
_TRANSITION = Downsampling(kernel=2, stride=2, padding=0, is_pool=True)
DOWNSAMPLING = (
    Downsampling(kernel=7, stride=2, padding=3),
    Downsampling(kernel=3, stride=2, padding=1, is_pool=True),
    *[_TRANSITION] * 3,
)


class Maps(NamedTuple):
    """What a block has so far.

    Attributes:
        x: (n, h, w, c).
        moments: in training those of x (`batch_moments`); those of what a layer saw stay what they were as others are
            put behind it, so that none but the new ones are taken.
    """

    x: jax.Array
    moments: Moments | None


def maps_of(x: jax.Array, train: bool) -> Maps:
    """Of values whose moments are not known yet."""
    return Maps(x, batch_moments(x) if train else None)


class DenseLayer(nn.Module):
    """Batch norm, ReLU, 1x1 convolution, and again with 3x3; its output goes behind its input (paper, section 3).

    Maps (n, h, w, c) -> (n, h, w, c + GROWTH).
    """

    train: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, maps: Maps) -> Maps:
        conv = partial(Conv, bias=False, kernel_init=kaiming_normal_fan_in(), dtype=self.dtype)
        norm = partial(BatchNorm, self.train, dtype=self.dtype)
        new = conv(4 * GROWTH, 1, name='conv1')(nn.relu(norm(name='norm1')(*maps)))
        new = conv(GROWTH, 3, padding=1, name='conv2')(nn.relu(norm(name='norm2')(new)))
        return jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=-1), maps, maps_of(new, self.train))


class Transition(nn.Module):
    """Between two blocks: a 1x1 convolution halves the channels, an average pool the map if it is to `pool`.

    Maps (n, h, w, c) -> values (n, h / 2, w / 2, c / 2).
    """

    pool: bool
    train: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, maps: Maps) -> jax.Array:
        conv = partial(Conv, bias=False, kernel_init=kaiming_normal_fan_in(), dtype=self.dtype)
        x = nn.relu(BatchNorm(self.train, dtype=self.dtype, name='norm')(*maps))
        x = conv(x.shape[3] // 2, 1, name='conv')(x)
        return ops.avg_pool(x, (2, 2), (2, 2)) if self.pool else x


class DenseNet(nn.Module):
    """DenseNet-BC (Huang et al., 2016, arXiv:1608.06993). (n, size, size, 3) -> (n, num_classes).

    DenseNet-121 at 224 pixels and 1000 classes: 7,978,856 parameters and 2,834,161,664 dense multiply-adds forward, as
    torchvision's. In the small-image form the last two transitions keep the map: 3x3 at 28 pixels, 4x4 at 32.

    Attributes:
        layers: of each block.
    """

    layers: Sequence[int]
    num_classes: int
    image_size: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        stride, pool_stride, *transition_strides = small.strides_for(DOWNSAMPLING, self.image_size)
        norm = partial(BatchNorm, train, dtype=self.dtype)
        init = kaiming_normal_fan_in()
        x = Conv(STEM, 7, stride, 3, bias=False, kernel_init=init, dtype=self.dtype, name='features.conv0')(x)
        x = nn.relu(norm(name='features.norm0')(x))
        if pool_stride > 1:
            x = max_pool(x, 3, 2, 1)
        maps = maps_of(x, train)
        for block, layers in enumerate(self.layers, 1):
            if block > 1:
                pool = transition_strides[block - 2] > 1
                transition = Transition(pool, train, self.dtype, name=f'features.transition{block - 1}')
                maps = maps_of(transition(maps), train)
            for layer in range(1, layers + 1):
                maps = DenseLayer(train, self.dtype, name=f'features.denseblock{block}.denselayer{layer}')(maps)
        x = jnp.mean(nn.relu(norm(name='features.norm5')(*maps)), axis=(1, 2))
        classifier = Dense(self.num_classes, bias_init=constant(0), dtype=self.dtype, name='classifier')
        return classifier(x).astype(jnp.float32)


densenet121 = register(
    'densenet121', paper='arXiv:1608.06993', published='2016-08-25', image_size=224,
    torch_legacy=(r'(denselayer\d+\.(?:norm|conv))\.([12])\.', r'\1\2.'),
)(partial(DenseNet, layers=LAYERS_121))  # fmt: skip
