"""EfficientNet: one searched network, and its depth, width and image size grown together."""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.layers.downsampling import Downsampling
from efficiency.layers.initializers import constant, kaiming_normal_fan_out, uniform_fan_in
from efficiency.layers.modules import ConvNorm, Dense, SqueezeExcite
from efficiency.tasks.images.networks import small
from efficiency.tasks.images.networks.inverted_residual import InvertedResidual, make_divisible
from efficiency.tasks.images.networks.registry import register

# Paper, table 1, of b0: the first layer's channels, and for each stage of blocks
# (expansion, kernel, channels, blocks, stride of the first). The last convolution has four times the last channels.
STEM = 32
STAGES = (
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)
DOWNSAMPLING = (
    Downsampling(kernel=3, stride=2, padding=1),
    *(Downsampling(kernel, stride, padding=kernel // 2) for _, kernel, _, _, stride in STAGES),
)
# How often training leaves out a block: from 0 for the first, rising in equal steps to this behind the last.
DROP_RATE = 0.2


class Scale(NamedTuple):
    """What a variant has more of than b0: channels and blocks as multiples, pixels a side, and dropout."""

    width: float
    depth: float
    image_size: int
    dropout: float


SCALES = {
    'b0': Scale(1.0, 1.0, 224, 0.2),
    'b1': Scale(1.0, 1.1, 240, 0.2),
    'b2': Scale(1.1, 1.2, 260, 0.3),
    'b3': Scale(1.2, 1.4, 300, 0.3),
    'b4': Scale(1.4, 1.8, 380, 0.4),
    'b5': Scale(1.6, 2.2, 456, 0.4),
    'b6': Scale(1.8, 2.6, 528, 0.5),
    'b7': Scale(2.0, 3.1, 600, 0.5),
}
# From here on torchvision has TensorFlow's batch norm, as the weights of these were trained there.
WITH_TENSORFLOW_NORM = ('b5', 'b6', 'b7')


class EfficientNet(nn.Module):
    """EfficientNet (Tan & Le, 2019, arXiv:1905.11946). (n, size, size, 3) -> (n, num_classes).

    At 1000 classes and the native size, as torchvision's, parameters and dense multiply-adds forward in millions:
    b0 5.29 and 386 (5,288,548 and 385,814,752), b1 7.79 and 687, b2 9.11 and 994, b3 12.2 and 1,827, b4 19.3 and
    4,394, b5 30.4 and 10,266, b6 43.0 and 19,068, b7 66.3 and 37,746. In the small-image form the 192-channel stage
    keeps its map: 2x2 at 28 and 32 pixels.

    Attributes:
        norm_momentum, norm_epsilon: of the batch norms.
    """

    width: float
    depth: float
    dropout: float
    num_classes: int
    image_size: int
    norm_momentum: float = 0.1
    norm_epsilon: float = 1e-5
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        stride, *stage_strides = small.strides_for(DOWNSAMPLING, self.image_size)
        init = kaiming_normal_fan_out()
        conv_norm = partial(
            ConvNorm, activation=nn.silu, kernel_init=init, momentum=self.norm_momentum, epsilon=self.norm_epsilon,
            train=train, dtype=self.dtype,
        )  # fmt: skip
        block = partial(
            InvertedResidual, conv_norm=conv_norm, train=train, layers='block', nested=True,
            squeeze_excite=partial(
                SqueezeExcite, activation=nn.silu, kernel_init=init, bias_init=constant(0), dtype=self.dtype
            ),
        )  # fmt: skip
        repeats = [math.ceil(self.depth * blocks) for _, _, _, blocks, _ in STAGES]

        x = conv_norm(make_divisible(self.width * STEM), 3, stride, name='features.0')(x)
        done = 0
        for stage, (expansion, kernel, channels, _, _) in enumerate(STAGES):
            features = make_divisible(self.width * channels)
            for i in range(repeats[stage]):
                x = block(
                    features, kernel, stage_strides[stage] if i == 0 else 1, expansion,
                    drop_rate=DROP_RATE * done / sum(repeats), name=f'features.{stage + 1}.{i}',
                )(x)  # fmt: skip
                done += 1
        x = conv_norm(4 * features, 1, name=f'features.{len(STAGES) + 1}')(x)
        x = jnp.mean(x, axis=(1, 2))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        # Uniform within 1 / sqrt(channels out).
        fc = Dense(self.num_classes, uniform_fan_in(self.num_classes), constant(0), self.dtype, name='classifier.1')
        return fc(x).astype(jnp.float32)


for variant, scale in SCALES.items():
    norm = {'norm_momentum': 0.01, 'norm_epsilon': 1e-3} if variant in WITH_TENSORFLOW_NORM else {}
    register(f'efficientnet_{variant}', paper='arXiv:1905.11946', published='2019-05-28', image_size=scale.image_size)(
        partial(EfficientNet, scale.width, scale.depth, scale.dropout, **norm)
    )
