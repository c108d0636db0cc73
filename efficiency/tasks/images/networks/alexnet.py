"""AlexNet, as the paper measures it: torchvision's "one weird trick" variant."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.layers import ops
from efficiency.layers.downsampling import Downsampling
from efficiency.layers.modules import Conv, Dense, adaptive_avg_pool
from efficiency.tasks.images.networks import small
from efficiency.tasks.images.networks.registry import register

# (kernel, channels, padding, max pool behind it?); the first has stride 4.
LAYERS = ((11, 64, 2, True), (5, 192, 2, True), (3, 384, 1, False), (3, 256, 1, False), (3, 256, 1, True))
_POOL = Downsampling(kernel=3, stride=2, padding=0, is_pool=True)
DOWNSAMPLING = (Downsampling(kernel=11, stride=4, padding=2), _POOL, _POOL, _POOL)


# torchvision numbers the layers of its two halves, activations and pools included.
TORCH_NAMES = {
    'conv1': 'features.0', 'conv2': 'features.3', 'conv3': 'features.6', 'conv4': 'features.8', 'conv5': 'features.10',
    'fc1': 'classifier.1', 'fc2': 'classifier.4', 'fc3': 'classifier.6',
}  # fmt: skip


@register(
    'alexnet', paper='arXiv:1404.5997', published='2012-06-01', image_size=224, torch_names=TORCH_NAMES,
    flattened={'fc1': 256},
)  # fmt: skip
class AlexNet(nn.Module):
    """AlexNet (Krizhevsky et al., 2012; one-tower form: Krizhevsky, 2014, arXiv:1404.5997).

    (n, size, size, 3) -> (n, num_classes). At 224 pixels and 1000 classes: 61,100,840 parameters and
    714,188,480 dense multiply-adds forward, as torchvision's. No batch norm; dropout 0.5 before the first two
    linear layers. In the small-image form the last two pools are out: a 2x2 map at 28 pixels, 3x3 at 32. The
    classifier sees the original's 6x6 map, or the map as it is where that is smaller.
    """

    num_classes: int
    image_size: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        stride, *pool_strides = small.strides_for(DOWNSAMPLING, self.image_size)
        for i, (kernel, channels, padding, pool) in enumerate(LAYERS):
            name = f'conv{i + 1}'
            x = Conv(channels, kernel, stride if i == 0 else 1, padding, dtype=self.dtype, name=name)(x)
            x = nn.relu(x)
            if pool and pool_strides.pop(0) > 1:
                x = ops.max_pool(x, (3, 3), (2, 2))
        if self.image_size > small.LARGEST_SMALL_IMAGE or x.shape[1] > 6:
            x = adaptive_avg_pool(x, 6)
        x = x.reshape(x.shape[0], -1)
        for i in range(2):
            x = nn.Dropout(0.5, deterministic=not train)(x)
            x = nn.relu(Dense(4096, dtype=self.dtype, name=f'fc{i + 1}')(x))
        return Dense(self.num_classes, dtype=self.dtype, name='fc3')(x).astype(jnp.float32)
