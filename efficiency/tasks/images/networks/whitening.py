"""A first layer that whitens patches of the training images: it is computed, not trained.

The eigenvectors of the patches' covariance, each over the root of its eigenvalue, make of a patch numbers that are
uncorrelated and of variance 1. With each filter's negative beside it, what follows sees both signs.
"""

import abc
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.errors import UserError
from efficiency.layers import ops
from efficiency.layers.initializers import uniform_fan_in

# Of images at once: their patches are made in memory.
_TOGETHER = 250


class TakesImages(abc.ABC):
    """A network that takes initial values from training images, beside those that it draws.

    Attributes:
        images_taken: how many, at most; the first of the training split.
    """

    images_taken: int

    @abc.abstractmethod
    def with_images(self, params: Any, images: np.ndarray) -> Any:
        """The parameters, of which some are taken from images (n, size, size, 3), normalised, not augmented."""

    @abc.abstractmethod
    def macs_of_images(self, count: int, size: int) -> int:
        """The dense multiply-adds of that, for so many images of a size."""


class Whitening(nn.Module):
    """A convolution without padding by pairs of opposite filters. (n, h, w, c) -> (n, h', w', 2 components).

    Drawn as torch's convolutions are, until `whitening_kernel` gives the filters. They have no gradient, and none is
    made; what decays weights has to leave them alone, by a group at a rate of 0. The bias is trained.

    Attributes:
        components: of a patch, those of the largest eigenvalues.
        kernel, stride: of the patches.

    Raises:
        UserError: if a patch has fewer components.
    """

    components: int
    kernel: int
    stride: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.kernel, self.kernel, x.shape[3], 2 * self.components)
        if self.components > (most := math.prod(shape[:3])):
            raise UserError(
                f'{self.components} components are asked for, and a patch of {self.kernel} x {self.kernel} x '
                f'{x.shape[3]} has {most}'
            )
        drawn = uniform_fan_in(math.prod(shape[:3]))
        kernel = jax.lax.stop_gradient(self.param('kernel', drawn, shape))
        bias = self.param('bias', drawn, shape[3:])
        y = ops.conv2d(x.astype(self.dtype), kernel.astype(self.dtype), strides=(self.stride, self.stride))
        return y + bias.astype(self.dtype)


def whitening_kernel(
    images: np.ndarray, components: int, kernel: int, stride: int = 1, epsilon: float = 5e-4
) -> np.ndarray:
    """The filters that whiten the patches of images: (kernel, kernel, c, 2 components) float32, opposite ones last.

    Patches are taken as they are, their mean not subtracted, as in cifar10-airbench. Eigenvectors have no sign of their
    own: the entry that is largest is positive here.

    Args:
        images: (n, size, size, c).
        components: how many, the largest eigenvalues first.
        kernel, stride: of the patches.
        epsilon: added to the eigenvalues.
    """
    width = kernel * kernel * images.shape[3]
    products = np.zeros((width, width))
    count = 0
    for start in range(0, len(images), _TOGETHER):
        patches = np.lib.stride_tricks.sliding_window_view(images[start : start + _TOGETHER], (kernel, kernel), (1, 2))
        # (n, h', w', c, kernel, kernel), to rows in the order of a convolution's kernel.
        rows = patches[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3).reshape(-1, width).astype(np.float64)
        products += rows.T @ rows
        count += len(rows)
    values, vectors = np.linalg.eigh(products / count)
    values, vectors = values[::-1][:components], vectors[:, ::-1][:, :components]
    vectors = vectors * np.sign(np.take_along_axis(vectors, np.abs(vectors).argmax(0)[None], 0))
    filters = vectors / np.sqrt(np.maximum(values, 0) + epsilon)
    filters = np.concatenate([filters, -filters], axis=1)
    return filters.reshape(kernel, kernel, -1, 2 * components).astype(np.float32)


def whitening_macs(count: int, size: int, channels: int, kernel: int, stride: int = 1) -> int:
    """The dense multiply-adds of `whitening_kernel`, by the rule of docs/counting.md.

    The product of the patches' matrix (p, d) with itself, p d^2, though half of it would do, as of any matrix product;
    and 9/2 d^3 for the eigenvectors of a symmetric (d, d), half of the 9 d^3 flops of the QR algorithm (Golub & Van
    Loan, 2013, Matrix Computations, section 8.3.5).

    Args:
        count, size, channels: of the images.
        kernel, stride: of the patches.
    """
    width = kernel * kernel * channels
    patches = count * ((size - kernel) // stride + 1) ** 2
    return patches * width**2 + (9 * width**3 + 1) // 2
