"""The forward pass of a network, counted by a trace of its own."""

import jax
import jax.numpy as jnp

from efficiency.flops import count
from efficiency.tasks.images.task import forward_pass


def forward_count(model, variables, image_size):
    """What it costs for one image, as in evaluation; `variables` may be shapes."""
    image = jax.ShapeDtypeStruct((1, image_size, image_size, 3), jnp.float32)
    return count(forward_pass(model), variables, image)
