"""Means over what counts."""

import jax
import jax.numpy as jnp


def mean_where(counted: jax.Array, values: jax.Array) -> jax.Array:
    """The mean of values (n,) over those that are counted, (n,) bool; 0 where none is."""
    return jnp.sum(jnp.where(counted, values, 0)) / jnp.maximum(1, counted.sum())
