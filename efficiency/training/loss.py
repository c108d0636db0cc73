"""The loss that networks are trained on."""

from typing import Any

import jax
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
