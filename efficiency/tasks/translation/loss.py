"""What a translation is trained on: how likely each token of the reference is after those before it."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from efficiency.data.tokens import PADDING


def smoothed_loss(
    network: nn.Module,
    smoothing: float,
    params: Any,
    extra: dict[str, Any],
    batch: dict[str, jax.Array],
    key: jax.Array,
) -> tuple[jax.Array, dict[str, Any]]:
    """The cross-entropy with smoothed labels in nats, the mean over the tokens that are no padding.

    Szegedy et al. 2016 (arXiv:1512.00567), section 7: `smoothing` of the probability is shared out over all tokens.

    Args:
        network: see `efficiency.tasks.translation.networks`.
        smoothing: at least 0, below 1.
        params, extra: its variables.
        batch: 'source' (n, s), 'target' (n, t + 1), which begins with the beginning.
        key: dropout draws from it.
    """
    target = batch['target']
    variables = {'params': params, **extra}
    logits = network.apply(variables, batch['source'], target[:, :-1], train=True, rngs={'dropout': key})
    # To each member's, where there are some.
    wanted = jnp.broadcast_to(target[:, 1:], logits.shape[:-1])
    likely = jnp.take_along_axis(logits, wanted[..., None], axis=-1)[..., 0]
    # Of the logits, and less by what all logarithms are less by: these themselves would be as much memory again.
    each = (1 - smoothing) * likely + smoothing * logits.mean(-1) - jax.nn.logsumexp(logits, axis=-1)
    real = wanted != PADDING
    return -jnp.where(real, each, 0).sum() / real.sum(), extra
