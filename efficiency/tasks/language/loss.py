"""What a language model is trained on, and what its evaluation adds up: how likely each wanted token is."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from efficiency.data.tokens import PADDING
from efficiency.tasks.language.data.objectives import INPUTS

# The collection in which a network leaves what is to be added to the loss, as of experts that are used unevenly.
ADDED = 'losses'


def inputs_of(batch: dict[str, jax.Array]) -> list[jax.Array]:
    """What a network is given of a batch."""
    return [batch[name] for name in INPUTS if name in batch]


def token_loss(
    network: nn.Module, z_loss: float, params: Any, extra: dict[str, Any], batch: dict[str, jax.Array], key: jax.Array
) -> tuple[jax.Array, dict[str, Any]]:
    """The cross-entropy in nats, the mean over the wanted tokens, and what the network adds.

    Args:
        network: see `efficiency.tasks.language.networks`.
        z_loss: what the square of the softmax's logarithmic normaliser is weighed with (Chowdhery et al., 2022,
            arXiv:2204.02311, section 5); 0 for none.
        params, extra: its variables.
        batch: see `efficiency.tasks.language.data.objectives`.
        key: dropout draws from it.
    """
    variables = {'params': params, **extra}
    logits, added = network.apply(variables, *inputs_of(batch), train=True, rngs={'dropout': key}, mutable=[ADDED])
    likely, normaliser = _likely(logits, batch['wanted'])
    each = -likely + z_loss * normaliser**2 if z_loss else -likely
    real = batch['wanted'] != PADDING
    return jnp.where(real, each, 0).sum() / real.sum() + sum(jax.tree.leaves(added)), extra


def token_scores(network: nn.Module, text: range, variables: Any, batch: dict[str, jax.Array]) -> jax.Array:
    """(n, 2) of each row, as in evaluation: the nats of the wanted tokens, and how many of a text are the likeliest.

    Args:
        network, variables, batch: as of `token_loss`.
        text: which tokens are of a text; what else is wanted, as an end, needs no word to be guessed.
    """
    logits, wanted = network.apply(variables, *inputs_of(batch), train=False), batch['wanted']
    real = wanted != PADDING
    nats = jnp.where(real, -_likely(logits, wanted)[0], 0).sum(1)
    right = (of_text(wanted, text) & (logits.argmax(2) == wanted)).sum(1)
    return jnp.stack([nats, right.astype(nats.dtype)], axis=1)


def of_text(wanted: Any, text: range) -> Any:
    """Which of the wanted tokens are of a text, an array of truths."""
    return (wanted >= text.start) & (wanted < text.stop)


def _likely(logits: jax.Array, wanted: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(n, t) the logarithms of how likely the wanted tokens are, and of what their softmax divides by."""
    normaliser = jax.nn.logsumexp(logits, axis=2)
    return jnp.take_along_axis(logits, wanted[:, :, None], axis=2)[:, :, 0] - normaliser, normaliser
