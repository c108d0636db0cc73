"""LeNet-5, the convolutional network that read cheques."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.layers import ops
from efficiency.layers.downsampling import Downsampling
from efficiency.layers.modules import Conv, Dense
from efficiency.tasks.images.networks import small
from efficiency.tasks.images.networks.registry import register

# Paper, figure 2: channels of C1 and C3, both 5x5 and each followed by a 2x2 pool, then C5 and F6, seen as linear.
CONVOLUTIONS = (6, 16)
LINEAR = (120, 84)
_CONV = Downsampling(kernel=5, stride=1, padding=0)
_POOL = Downsampling(kernel=2, stride=2, padding=0, is_pool=True)
DOWNSAMPLING = (_CONV, _POOL, _CONV, _POOL)


@register('lenet5', paper='doi:10.1109/5.726791', published='1998-11-01', image_size=32, flattened={'fc1': 16})
class LeNet5(nn.Module):
    """LeNet-5 (LeCun et al., 1998, 'Gradient-based learning applied to document recognition').

    (n, size, size, 3) -> (n, num_classes). At 32 pixels and 10 classes: 62,006 parameters and 651,720 dense
    multiply-adds forward. The common reproduction's 61,706 and 416,520 are of one input channel; data of one channel
    is broadcast to three here, which costs 300 weights more in the first layer.

    It departs from the paper as reproductions do: every map of the second convolution sees all six of the first, not
    the paper's table 1 of sixty connections; pools average without a coefficient, a bias or an activation of their
    own; the activation is the plain tanh, not 1.7159 tanh(2/3 x); the last layer is linear, where the paper has
    radial basis functions with fixed centres; initial values are torch's.

    Native at 32 pixels, it needs no small-image form: nothing is left out at any size, and the first linear layer
    sees the map as it is, 4x4 at 28 pixels and 5x5 at 32.
    """

    num_classes: int
    image_size: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        small.strides_for(DOWNSAMPLING, self.image_size)  # raises where nothing would be left; drops nothing
        for i, channels in enumerate(CONVOLUTIONS):
            x = nn.tanh(Conv(channels, 5, dtype=self.dtype, name=f'conv{i + 1}')(x))
            x = ops.avg_pool(x, (2, 2), (2, 2))
        x = x.reshape(x.shape[0], -1)
        for i, features in enumerate(LINEAR):
            x = nn.tanh(Dense(features, dtype=self.dtype, name=f'fc{i + 1}')(x))
        return Dense(self.num_classes, dtype=self.dtype, name='fc3')(x).astype(jnp.float32)
