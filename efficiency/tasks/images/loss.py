"""What networks are trained on, and how right they are."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

# GoogLeNet's auxiliary heads count three tenths each (Szegedy et al., 2015, arXiv:1409.4842, section 5).
_AUXILIARY_WEIGHT = 0.3


def loss_and_stats(
    model: nn.Module, params: Any, batch_stats: Any, images: jax.Array, labels: jax.Array, dropout_key: jax.Array
) -> tuple[jax.Array, Any]:
    """Mean cross entropy of a batch as in training, and the batch statistics after it.

    Args:
        model: see `efficiency.models.create_model`; where it returns auxiliary logits too, their losses are added.
        images, labels: (n, size, size, 3) normalised, (n,) whole numbers.
        dropout_key: what dropout and stochastic depth draw from.
    """
    variables = {'params': params, 'batch_stats': batch_stats}
    output, updated = model.apply(variables, images, train=True, mutable=['batch_stats'], rngs={'dropout': dropout_key})
    logits, auxiliary = output if isinstance(output, tuple) else (output, ())

    def cross_entropy(logits):
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    loss = cross_entropy(logits) + _AUXILIARY_WEIGHT * sum(map(cross_entropy, auxiliary))
    return loss, updated.get('batch_stats', {})


def label_rank(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """How many classes stand before the right one: (n, classes), (n,) -> (n,) int32.

    Of equal logits the lower class stands first, so that a network that says nothing is not right by chance of
    the implementation; logits that are not finite put the label behind every rank that counts.
    """
    chosen = jnp.take_along_axis(logits, labels[:, None], axis=1)
    classes = jnp.arange(logits.shape[1])
    before = (logits > chosen) | ((logits == chosen) & (classes < labels[:, None]))
    finite = jnp.all(jnp.isfinite(logits), axis=1)
    return jnp.where(finite, jnp.sum(before, axis=1, dtype=jnp.int32), max(logits.shape[1], 5))
