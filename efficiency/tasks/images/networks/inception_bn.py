"""BN-Inception: GoogLeNet with batch norm behind every convolution and two 3x3 in place of each 5x5."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.layers import ops
from efficiency.layers.downsampling import Downsampling
from efficiency.layers.modules import BatchNorm, Conv, Dense, max_pool
from efficiency.tasks.images.networks import small
from efficiency.tasks.images.networks.registry import register

# Paper, figure 5: channels of 1x1, 3x3 reduce, 3x3, double 3x3 reduce, double 3x3, pool projection. Modules without
# a 1x1 branch halve the map and pass their pooled input through.
MODULES = {
    'inception_3a': (64, 64, 64, 64, 96, 32),
    'inception_3b': (64, 64, 96, 64, 96, 64),
    'inception_3c': (0, 128, 160, 64, 96, 0),
    'inception_4a': (224, 64, 96, 96, 128, 128),
    'inception_4b': (192, 96, 128, 96, 128, 128),
    'inception_4c': (160, 128, 160, 128, 160, 128),
    'inception_4d': (96, 128, 192, 160, 192, 128),
    'inception_4e': (0, 128, 192, 192, 256, 0),
    'inception_5a': (352, 192, 320, 160, 224, 128),
    'inception_5b': (352, 192, 320, 192, 224, 128),
}
# The only one that pools the largest values at stride 1; the others average.
MAX_POOLED = 'inception_5b'

_POOL = Downsampling(kernel=3, stride=2, padding=0, is_pool=True, ceil=True)
_MODULE = Downsampling(kernel=3, stride=2, padding=1)
DOWNSAMPLING = (Downsampling(kernel=7, stride=2, padding=3), _POOL, _POOL, _MODULE, _MODULE)

# The public implementation has no modules: what is 'inception_3a.3x3' here is 'inception_3a_3x3' there.
LAYERS = ('1x1', '3x3_reduce', '3x3', 'double_3x3_reduce', 'double_3x3_1', 'double_3x3_2', 'pool_proj')
TORCH_NAMES = {'fc': 'last_linear'} | {
    f'{module}.{layer}{norm}': f'{module}_{layer}{norm}'
    for module in MODULES
    for layer in LAYERS
    for norm in ('', '_bn')
}


def _conv_norm(
    x: jax.Array, features: int, kernel: int, stride: int = 1, *, train: bool, dtype: DTypeLike, name: str
) -> jax.Array:
    """Convolution, batch norm, ReLU, as submodules `name` and `name`_bn. (n, h, w, in) -> (n, h', w', features).

    The convolution has a bias, which the batch norm behind it takes away again: so does the public network, and so
    its parameters count.
    """
    x = Conv(features, kernel, stride, kernel // 2, dtype=dtype, name=name)(x)
    return nn.relu(BatchNorm(train, dtype=dtype, name=f'{name}_bn')(x))


def _same_max_pool(x: jax.Array, stride: int) -> jax.Array:
    """The largest of each 3x3 window, as many as the convolutions beside it have.

    (n, h, h, c) -> (n, h', h', c). An even map is padded behind only, which is the public network's ceil_mode. That
    would fit no odd map: it is padded on both sides. Together that is TensorFlow's 'SAME'. Stride 1 keeps the map.
    """
    padding = 0 if stride == 2 and x.shape[1] % 2 == 0 else 1
    return max_pool(x, 3, stride, padding, ceil=True)


class Inception(nn.Module):
    """1x1; 1x1 then 3x3; 1x1 then two of 3x3; pool then 1x1; all side by side (paper, appendix).

    (n, h, w, c) -> (n, h', w', sum of the branches).

    Attributes:
        widths: as in `MODULES`. Without a 1x1 branch the last convolutions and the pool, then without a convolution
            behind it, have the stride.
        max_pooled: whether the pool before the projection takes the largest value instead of the mean.
    """

    widths: tuple[int, int, int, int, int, int]
    stride: int
    max_pooled: bool
    train: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        conv = partial(_conv_norm, train=self.train, dtype=self.dtype)
        single, reduce, triple, double_reduce, double, projection = self.widths
        branches = [conv(x, single, 1, name='1x1')] if single else []

        branch = conv(x, reduce, 1, name='3x3_reduce')
        branches.append(conv(branch, triple, 3, self.stride, name='3x3'))

        branch = conv(x, double_reduce, 1, name='double_3x3_reduce')
        branch = conv(branch, double, 3, name='double_3x3_1')
        branches.append(conv(branch, double, 3, self.stride, name='double_3x3_2'))

        if self.max_pooled or not projection:
            branch = _same_max_pool(x, self.stride)
        else:
            branch = ops.avg_pool(x, (3, 3), (1, 1), ((1, 1), (1, 1)))
        branches.append(conv(branch, projection, 1, name='pool_proj') if projection else branch)
        return jnp.concatenate(branches, axis=3)


@register(
    'inception_bn', paper='arXiv:1502.03167', published='2015-02-11', image_size=224, torch_names=TORCH_NAMES
)  # fmt: skip
class InceptionBN(nn.Module):
    """BN-Inception (Ioffe & Szegedy, 2015, arXiv:1502.03167). (n, size, size, 3) -> (n, num_classes).

    At 224 pixels and 1000 classes: 11,295,240 parameters and 2,032,600,064 dense multiply-adds forward, as the
    public bninception of Cadene/pretrained-models.pytorch. As there, the first convolution is a plain one, where the
    paper's is separable, the branches are as wide as the paper's table says, also where its output widths do not add
    up, and there is no dropout. Running statistics take 0.1 of each batch; that network's file says 0.9.
    The last pool is over the whole map at any size. In the small-image form the last halving module (4e) keeps its
    map: 2x2 at 28 and 32 pixels.
    """

    num_classes: int
    image_size: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        stride, *strides = small.strides_for(DOWNSAMPLING, self.image_size)
        conv = partial(_conv_norm, train=train, dtype=self.dtype)
        x = conv(x, 64, 7, stride, name='conv1_7x7_s2')
        if strides.pop(0) > 1:
            x = max_pool(x, 3, 2, ceil=True)
        x = conv(x, 64, 1, name='conv2_3x3_reduce')
        x = conv(x, 192, 3, name='conv2_3x3')
        if strides.pop(0) > 1:
            x = max_pool(x, 3, 2, ceil=True)
        for name, widths in MODULES.items():
            stride = strides.pop(0) if widths[0] == 0 else 1
            x = Inception(widths, stride, name == MAX_POOLED, train, self.dtype, name=name)(x)
        return Dense(self.num_classes, dtype=self.dtype, name='fc')(jnp.mean(x, axis=(1, 2))).astype(jnp.float32)
