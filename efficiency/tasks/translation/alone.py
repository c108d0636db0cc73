"""A network of translation alone, to be counted: of a pair of sentences of one length."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from efficiency.errors import UserError, shown
from efficiency.tasks.networks import Alone
from efficiency.tasks.task import Forward
from efficiency.tasks.translation.loss import smoothed_loss
from efficiency.tasks.translation.networks import create_model, list_models, model_entry
from efficiency.values import is_whole

__all__ = ['SIZES', 'alone', 'list_models', 'model_entry']

SIZES = ('length', 'vocabulary')
# Of the networks that are of no paper's size: that of the recipe for Multi30k.
_VOCABULARY = 4000


def alone(
    name: str, batch_size: int, options: Mapping[str, Any], length: int = 25, vocabulary: int | None = None
) -> Alone:
    """See `efficiency.tasks.networks.alone`.

    Args:
        name, batch_size, options: as there.
        length: tokens of the source, and of the target.
        vocabulary: pieces of either language; the paper's where None, or 4,000 where it is of none.

    Raises:
        UserError: as there.
    """
    if not is_whole(length) or length < 1:
        raise UserError(f'length is {shown(length)}; it must be a whole number of tokens, 1 or more')
    if vocabulary is None and model_entry(name).vocabularies is None:
        vocabulary = _VOCABULARY
    model = create_model(name, vocabulary, vocabulary, options=options)
    pair = tuple(jax.ShapeDtypeStruct((1, length), jnp.int32) for _ in range(2))
    variables = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), *pair)
    batch = {'source': ((batch_size, length), jnp.int32), 'target': ((batch_size, length + 1), jnp.int32)}
    one = Forward(partial(model.apply, train=False), pair)
    return Alone(model, variables, None, one, partial(smoothed_loss, model, 0.0), batch, {'length': length})
