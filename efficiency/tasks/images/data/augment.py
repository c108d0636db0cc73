"""Augmentation by name, and normalisation: of a batch on the device, inside the jitted step.

`resized_crop_flip` alone works on the host (see `images`), because it needs images as they are stored.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from efficiency.errors import named

# (key, (n, h, w, c) uint8 images) -> images of the same shape and type.
Augmentation = Callable[[jax.Array, jax.Array], jax.Array]


def _none(key, images):
    return images


def _flip(key, images):
    """Mirrors half of the images."""
    mirrored = jax.random.bernoulli(key, shape=(images.shape[0], 1, 1, 1))
    return jnp.where(mirrored, images[:, :, ::-1], images)


def _shift(fraction: float, beyond: str = 'constant') -> Augmentation:
    """Moves every image by up to a fraction of its side in each direction.

    What was beyond its border is as `jnp.pad` has it: zeros, or, with 'reflect', the image mirrored in its border.
    """

    def shift(key, images):
        n, height, width, channels = images.shape
        reach = round(height * fraction)
        padded = jnp.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), beyond)
        starts = jax.random.randint(key, (n, 2), 0, 2 * reach + 1)

        def crop(image, start):
            return jax.lax.dynamic_slice(image, (start[0], start[1], 0), (height, width, channels))

        return jax.vmap(crop)(padded, starts)

    return shift


def _shift_flip(fraction: float) -> Augmentation:
    def augment(key, images):
        shift_key, flip_key = jax.random.split(key)
        return _flip(flip_key, _shift(fraction)(shift_key, images))

    return augment


# An eighth is the usual 4 pixels of a 32-pixel image.
_augmentations: dict[str, Augmentation] = {
    'none': _none,
    'flip': _flip,
    'shift': _shift(1 / 14),
    'shift_flip': _shift_flip(1 / 8),
    'shift_alternating_flip': _shift(1 / 16, 'reflect'),
    'resized_crop_flip': _none,
}
ON_HOST = ('resized_crop_flip',)
# Whose batches say which images are mirrored, by `alternating.AlternatingBatches`.
ALTERNATING = ('shift_alternating_flip',)


def augmentation(name: str) -> Augmentation:
    """The augmentation of that name.

    Raises:
        UserError: if there is none.
    """
    return named(_augmentations, 'augmentation', name)


def normalise(images: jax.Array, mean: tuple[float, ...], std: tuple[float, ...]) -> jax.Array:
    """(n, h, w, 1 or 3) uint8 -> (n, h, w, 3) float32, each channel with mean 0 and deviation 1 over the data set."""
    x = (images.astype(jnp.float32) / 255 - jnp.asarray(mean)) / jnp.asarray(std)
    return jnp.broadcast_to(x, (*x.shape[:3], 3))
