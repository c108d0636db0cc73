"""A network of language alone, to be counted: of one row of tokens."""

import fnmatch
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax

from efficiency.data.batches import shapes_of_batch
from efficiency.errors import UserError, shown
from efficiency.tasks.language.data.objectives import INPUTS, Hidden, Next, Objective, Spans
from efficiency.tasks.language.loss import token_loss
from efficiency.tasks.language.networks import create_model, model_entry
from efficiency.tasks.language.networks import list_models as all_models
from efficiency.tasks.networks import Alone
from efficiency.tasks.task import Forward
from efficiency.values import is_whole

__all__ = ['SIZES', 'alone', 'list_models', 'model_entry']

SIZES = ('length', 'vocabulary')
# Of the networks that are of no paper's size: those of the recipe.
_LENGTH, _VOCABULARY = 256, 4000
# Whatever it is: which tokens are hidden does not matter to what is counted, how many are does.
_SHARE, _SPAN = 0.15, 3.0


def list_models(pattern: str = '*') -> list[str]:
    """Names of the networks that say what follows and match a shell pattern, sorted."""
    return models_of(('next',), pattern)


def models_of(objectives: tuple[str, ...], pattern: str) -> list[str]:
    """Names of the networks that are asked one of these, and match a shell pattern, sorted."""
    return fnmatch.filter((name for name in all_models() if model_entry(name).objective in objectives), pattern)


def alone(
    name: str, batch_size: int, options: Mapping[str, Any], length: int | None = None, vocabulary: int | None = None
) -> Alone:
    """See `efficiency.tasks.networks.alone`.

    Args:
        name, batch_size, options: as there.
        length: tokens of a row; the paper's context where None, or 256 where it is of none.
        vocabulary: how many tokens there are; the paper's where None, or 4,000 and those of the objective.

    Raises:
        UserError: as there.
    """
    entry = model_entry(name)
    length = length or entry.context or _LENGTH
    if not is_whole(length) or length < 2:
        raise UserError(f'length is {shown(length)}; it must be a whole number of tokens, 2 or more')
    asked = _objective(entry.objective, length, _VOCABULARY)
    if vocabulary is None and entry.vocabulary is None:
        vocabulary = asked.size
    model = create_model(name, vocabulary, max(length, entry.context or 0), options=options)
    shapes = asked.shapes
    example = tuple(jax.ShapeDtypeStruct((1, *shapes[each][0]), shapes[each][1]) for each in INPUTS if each in shapes)
    variables = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), *example)
    one = Forward(partial(model.apply, train=False), example)
    batch = shapes_of_batch(shapes, batch_size)
    variables = {'params': variables['params']}
    return Alone(model, variables, None, one, partial(token_loss, model, 0.0), batch, {'length': length})


def _objective(name: str, length: int, size: int) -> Objective:
    match name:
        case 'hidden':
            return Hidden(length, size, _SHARE)
        case 'spans':
            return Spans(length, size, _SHARE, _SPAN)
        case _:
            return Next(length, size)
