"""The inverted residual block of MobileNet v2, with squeeze-and-excitation EfficientNet's MBConv."""

from collections.abc import Callable

import jax
from flax import linen as nn

from efficiency.layers.modules import ConvNorm, SqueezeExcite, StochasticDepth


def make_divisible(channels: float) -> int:
    """The multiple of 8 nearest to `channels`, or the next one where that would be more than a tenth short."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


class InvertedResidual(nn.Module):
    """A residual branch that is wide inside: 1x1 up, depthwise, 1x1 down. (n, h, w, in) -> (n, h', w', features).

    The input is added where it has the output's shape. Nothing follows the last batch norm, as an activation would
    lose what few channels hold (MobileNet v2, section 3.2).

    Attributes:
        features: channels out.
        kernel: of the depthwise convolution.
        expansion: channels inside over channels in; at 1 there is no first convolution.
        conv_norm: makes the convolutions, with the network's activation, batch norm and initial values.
        squeeze_excite: makes the layer behind the depthwise convolution, with a quarter of the channels in; or None.
        drop_rate: how often training leaves the branch out.
        layers: torchvision's name of the branch.
        nested: whether the last convolution and its batch norm are one layer of the branch there, as the others.
    """

    features: int
    kernel: int
    stride: int
    expansion: int
    conv_norm: Callable[..., ConvNorm]
    train: bool
    squeeze_excite: Callable[..., SqueezeExcite] | None = None
    drop_rate: float = 0
    layers: str = 'conv'
    nested: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shortcut, channels = x, x.shape[3]
        inside = channels * self.expansion
        index = 0
        if self.expansion > 1:
            x = self.conv_norm(inside, 1, name=f'{self.layers}.{index}')(x)
            index += 1
        x = self.conv_norm(inside, self.kernel, self.stride, groups=inside, name=f'{self.layers}.{index}')(x)
        index += 1
        if self.squeeze_excite:
            x = self.squeeze_excite(channels // 4, name=f'{self.layers}.{index}')(x)
            index += 1
        last = (f'{index}.0', f'{index}.1') if self.nested else (f'{index}', f'{index + 1}')
        x = self.conv_norm(self.features, 1, activation=None, name=self.layers, names=last)(x)
        if x.shape == shortcut.shape and self.stride == 1:
            x = shortcut + StochasticDepth(self.drop_rate, self.train)(x)
        return x
