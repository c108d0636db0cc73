"""The small-image form of a network: one rule for every family.

A network designed for 224 pixels halves its map five times, which leaves nothing of a 28-pixel image. At 64
pixels and below every network therefore drops some of its down-sampling: the one whose removal costs least
first, until the last feature map is at least 2x2 at 28 pixels. At 32 it is 4x4 at most; LeNet-5, which was made for
such images and drops nothing, has 5x5.

The cheapest to remove is always the last: removing it makes only the layers behind it dearer, and they stand
behind every other as well. So down-sampling goes from the back: a strided convolution keeps its kernel and
takes stride 1, a pooling layer whose only purpose is to down-sample goes away.
"""

import itertools
from collections.abc import Sequence

from efficiency.errors import UserError
from efficiency.layers.downsampling import Downsampling

LARGEST_SMALL_IMAGE = 64

_DECIDED_AT = 28
_SMALLEST_LAST_MAP = 2


def map_size(layers: Sequence[Downsampling], kept: int, image_size: int) -> int:
    """Pixels a side of the map behind `layers`, of which all but the first `kept` have been taken out."""
    size = image_size
    for i, layer in enumerate(layers):
        if i < kept or not layer.is_pool:
            size = layer.output_size(size, layer.stride if i < kept else 1)
    return size


def strides_for(layers: Sequence[Downsampling], image_size: int) -> tuple[int, ...]:
    """The stride of each layer at an image size; a pooling layer with stride 1 is to be left out.

    Args:
        layers: everything in the network that makes the map smaller, in order.
        image_size: pixels a side.

    Raises:
        UserError: if nothing would be left of the image; names the smallest that fits.
    """
    kept = len(layers)
    if image_size <= LARGEST_SMALL_IMAGE:
        while kept and map_size(layers, kept, _DECIDED_AT) < _SMALLEST_LAST_MAP:
            kept -= 1
    if map_size(layers, kept, image_size) < 1:
        fits = next(size for size in itertools.count(image_size) if map_size(layers, kept, size) > 0)
        raise UserError(
            f'images of {image_size} pixels are too small for this network; {fits} is the smallest that fits'
        )
    return tuple(layer.stride if i < kept else 1 for i, layer in enumerate(layers))
