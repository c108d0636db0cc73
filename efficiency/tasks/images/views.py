"""Views of an image in evaluation, whose logits are averaged: each is a forward pass more, and is counted as one."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

Logits = Callable[[jax.Array], jax.Array]  # of (n, h, w, c) images, (n, classes)


def one(logits: Logits, images: jax.Array) -> jax.Array:
    """The image as it is."""
    return logits(images)


def mirrored(logits: Logits, images: jax.Array) -> jax.Array:
    """The image and its mirror image: two passes."""
    return (logits(images) + logits(images[:, :, ::-1])) / 2


def mirrored_and_shifted(logits: Logits, images: jax.Array) -> jax.Array:
    """Both as they are, and both moved by a pixel up and left, and down and right: six passes.

    What was beyond the border is the image mirrored in it. Those that are not moved count as much as those that are
    (Jordan, 2024, arXiv:2404.00498).
    """
    height, width = images.shape[1:3]
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), 'reflect')
    moved = [mirrored(logits, padded[:, at : at + height, at : at + width]) for at in (0, 2)]
    return mirrored(logits, images) / 2 + sum(moved) / 4


VIEWS = {function.__name__: function for function in (one, mirrored, mirrored_and_shifted)}
