"""What networks are trained on, and how right they are."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from efficiency.tasks.images.data.augment import Augmentation, normalise

# GoogLeNet's auxiliary heads count three tenths each (Szegedy et al., 2015, arXiv:1409.4842, section 5).
_AUXILIARY_WEIGHT = 0.3


def loss_and_stats(
    model: nn.Module,
    params: Any,
    batch_stats: Any,
    images: jax.Array,
    labels: jax.Array,
    dropout_key: jax.Array,
    smoothing: float = 0.0,
) -> tuple[jax.Array, Any]:
    """Mean cross entropy of a batch as in training, and the batch statistics after it.

    Args:
        model: see `networks.create_model`; where it returns auxiliary logits too, their losses are added.
        images, labels: (n, size, size, 3) normalised, (n,) whole numbers.
        dropout_key: what dropout and stochastic depth draw from.
        smoothing: the share of the probability that all classes share alike (Szegedy et al., 2016, arXiv:1512.00567,
            section 7).
    """
    variables = {'params': params, 'batch_stats': batch_stats}
    output, updated = model.apply(variables, images, train=True, mutable=['batch_stats'], rngs={'dropout': dropout_key})
    logits, auxiliary = output if isinstance(output, tuple) else (output, ())

    def cross_entropy(logits):
        likely = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
        if not smoothing:
            return likely
        return (1 - smoothing) * likely - smoothing * jax.nn.log_softmax(logits).mean()

    loss = cross_entropy(logits) + _AUXILIARY_WEIGHT * sum(map(cross_entropy, auxiliary))
    return loss, updated.get('batch_stats', {})


def loss_of(
    model: nn.Module,
    augment: Augmentation,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    smoothing: float = 0.0,
) -> Callable[[Any, dict, dict, jax.Array], tuple[jax.Array, dict]]:
    """The loss that a train step is made of (`efficiency.tasks.task.Loss`), of batches {'image', 'label'}.

    Where they have 'mirrored' (n,) bool as well, it says which images are.

    Args:
        model, smoothing: see `loss_and_stats`.
        augment: of the uint8 images, inside the step.
        mean, std: that they are normalised by.
    """

    def loss(params, extra, batch, key):
        augment_key, dropout_key = jax.random.split(key)
        images = augment(augment_key, batch['image'])
        if 'mirrored' in batch:
            images = jnp.where(batch['mirrored'][:, None, None, None], images[:, :, ::-1], images)
        found, stats = loss_and_stats(
            model, params, extra['batch_stats'], normalise(images, mean, std), batch['label'], dropout_key, smoothing
        )
        return found, {'batch_stats': stats}

    return loss


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
