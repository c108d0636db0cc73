"""GoogLeNet: modules of four branches side by side, thinned by 1x1 convolutions before the wide ones."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.layers.downsampling import Downsampling
from efficiency.layers.initializers import normal
from efficiency.layers.modules import ConvNorm, Dense, adaptive_avg_pool, max_pool
from efficiency.tasks.images.networks import small
from efficiency.tasks.images.networks.registry import register

# Paper, table 1: channels of 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection. A stage ends with a pool.
STAGES = {
    3: {'a': (64, 96, 128, 16, 32, 32), 'b': (128, 128, 192, 32, 96, 64)},
    4: {
        'a': (192, 96, 208, 16, 48, 64),
        'b': (160, 112, 224, 24, 64, 64),
        'c': (128, 128, 256, 24, 64, 64),
        'd': (112, 144, 288, 32, 64, 64),
        'e': (256, 160, 320, 32, 128, 128),
    },
    5: {'a': (256, 160, 320, 32, 128, 128), 'b': (384, 192, 384, 48, 128, 128)},
}
# From ImageNet's mean (0.485, 0.456, 0.406) and deviation (0.229, 0.224, 0.225) to 0.5 and 0.5: factors, then summands.
TRANSFORM = ((0.458, 0.448, 0.45), (-0.03, -0.088, -0.188))
# The modules that the auxiliary classifiers stand behind.
AUXILIARY = {'inception4a': 'aux1', 'inception4d': 'aux2'}

_POOL = Downsampling(kernel=3, stride=2, padding=0, is_pool=True, ceil=True)
POOLS = (_POOL, _POOL, _POOL, _POOL._replace(kernel=2))
DOWNSAMPLING = (Downsampling(kernel=7, stride=2, padding=3), *POOLS)

# torchvision truncates at -2 and 2, two hundred standard deviations away.
_KERNEL_INIT = normal(0.01)


def _conv_norm(features: int, kernel: int, stride: int = 1, *, train: bool, dtype: DTypeLike, name: str) -> nn.Module:
    return ConvNorm(
        features, kernel, stride, kernel_init=_KERNEL_INIT, names=('conv', 'bn'), epsilon=0.001, train=train,
        dtype=dtype, name=name,
    )  # fmt: skip


class Inception(nn.Module):
    """Paper, figure 2b: 1x1; 1x1 then 3x3; 1x1 then 3x3 for the paper's 5x5; pool then 1x1; all side by side.

    (n, h, w, c) -> (n, h, w, sum of the branches).

    Attributes:
        widths: as in `STAGES`.
    """

    widths: tuple[int, int, int, int, int, int]
    train: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        conv = partial(_conv_norm, train=self.train, dtype=self.dtype)
        single, reduce2, branch2, reduce3, branch3, projection = self.widths
        branches = (
            conv(single, 1, name='branch1')(x),
            conv(branch2, 3, name='branch2.1')(conv(reduce2, 1, name='branch2.0')(x)),
            conv(branch3, 3, name='branch3.1')(conv(reduce3, 1, name='branch3.0')(x)),
            conv(projection, 1, name='branch4.1')(max_pool(x, 3, 1, padding=1)),
        )
        return jnp.concatenate(branches, axis=3)


class AuxiliaryHead(nn.Module):
    """A classifier on a map halfway, for its gradient (paper, section 5). (n, h, w, c) -> (n, num_classes)."""

    num_classes: int
    train: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = _conv_norm(128, 1, train=self.train, dtype=self.dtype, name='conv')(adaptive_avg_pool(x, 4))
        x = x.reshape(x.shape[0], -1)
        x = nn.relu(Dense(1024, _KERNEL_INIT, dtype=self.dtype, name='fc1')(x))
        x = nn.Dropout(0.7, deterministic=not self.train)(x)
        return Dense(self.num_classes, _KERNEL_INIT, dtype=self.dtype, name='fc2')(x).astype(jnp.float32)


@register(
    'googlenet', paper='arXiv:1409.4842', published='2014-09-17', image_size=224,
    options=('auxiliary_heads', 'transform_input'), torch_extras=('aux1', 'aux2'),
    flattened={'aux1.fc1': 128, 'aux2.fc1': 128},
)  # fmt: skip
class GoogLeNet(nn.Module):
    """GoogLeNet, or Inception v1 (Szegedy et al., 2014, arXiv:1409.4842). (n, size, size, 3) -> (n, num_classes).

    At 224 pixels and 1000 classes: 6,624,904 parameters and 1,498,376,192 dense multiply-adds forward, as
    torchvision's without auxiliary heads. It is torchvision's network, which departs from the paper: the branch
    that the paper calls 5x5 has 3x3 kernels, and batch norm stands where the paper has local response
    normalisation. Dropout 0.2 before the linear layer. In the small-image form the last two pools are out: a 3x3
    map at 28 pixels, 4x4 at 32.

    Attributes:
        auxiliary_heads: with the two auxiliary heads: in training it returns (logits, (logits of the first head, of
            the second)), which the paper adds to the loss with weight 0.3. The counts above are without.
        transform_input: takes images normalised by ImageNet's mean and deviation, and normalises them by 0.5 and
            0.5 instead, as torchvision's pretrained weights want them.
    """

    num_classes: int
    image_size: int
    dtype: DTypeLike = jnp.float32
    auxiliary_heads: bool = False
    transform_input: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array | tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        conv = partial(_conv_norm, train=train, dtype=self.dtype)
        if self.transform_input:
            scale, shift = jnp.asarray(TRANSFORM, x.dtype)
            x = x * scale + shift
        stride, *pool_strides = small.strides_for(DOWNSAMPLING, self.image_size)
        pools = iter(zip(POOLS, pool_strides, strict=True))

        def pool(x):
            layer, stride = next(pools)
            return max_pool(x, layer.kernel, stride, layer.padding, layer.ceil) if stride > 1 else x

        x = pool(conv(64, 7, stride, name='conv1')(x))
        x = conv(64, 1, name='conv2')(x)
        x = pool(conv(192, 3, name='conv3')(x))
        auxiliary = []
        for stage, modules in STAGES.items():
            for module, widths in modules.items():
                name = f'inception{stage}{module}'
                x = Inception(widths, train, self.dtype, name=name)(x)
                # Initialised in any mode, computed only where it is returned.
                if self.auxiliary_heads and name in AUXILIARY and (train or self.is_initializing()):
                    auxiliary.append(AuxiliaryHead(self.num_classes, train, self.dtype, name=AUXILIARY[name])(x))
            if stage < max(STAGES):
                x = pool(x)
        x = nn.Dropout(0.2, deterministic=not train)(jnp.mean(x, axis=(1, 2)))
        logits = Dense(self.num_classes, _KERNEL_INIT, dtype=self.dtype, name='fc')(x).astype(jnp.float32)
        return (logits, tuple(auxiliary)) if self.auxiliary_heads and train else logits
