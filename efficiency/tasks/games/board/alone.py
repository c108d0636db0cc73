"""A network of a board alone, to be counted: of one position, and of a loss as search and games give its goals."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from efficiency.errors import named
from efficiency.tasks.games.board.learning import search_loss
from efficiency.tasks.games.networks import create_model, model_entry, models_of
from efficiency.tasks.networks import Alone
from efficiency.tasks.task import Forward

__all__ = ['SIZES', 'alone', 'list_models', 'model_entry']

SIZES = ('game',)
list_models = partial(models_of, 'board_games')
# By game: its position as networks see it, and how many moves there are. Counting does without the rules.
SHAPES = {'connect_four': ((6, 7, 2), 7), 'tic_tac_toe': ((3, 3, 2), 9)}


def alone(name: str, batch_size: int, options: Mapping[str, Any], game: str = 'connect_four') -> Alone:
    """See `efficiency.tasks.networks.alone`; `game` is one of `SHAPES`.

    Raises:
        UserError: as there.
    """
    shape, actions = named(SHAPES, 'board game', game)
    model = create_model(name, 'board_games', actions, options=options)
    one = jax.ShapeDtypeStruct((1, *shape), jnp.float32)

    def loss(params, extra, batch, key):
        everywhere = jnp.ones(len(batch['value']), bool)
        found = model.apply({'params': params}, batch['position'], train=True)
        return search_loss(*found, batch['policy'], batch['value'], everywhere, everywhere), extra

    batch = {'position': (batch_size, *shape), 'policy': (batch_size, actions), 'value': (batch_size,)}
    variables = jax.eval_shape(model.init, jax.random.key(0), one)
    forward = Forward(partial(model.apply, train=False), (one,))
    shapes = {key: (each, jnp.float32) for key, each in batch.items()}
    return Alone(model, variables, None, forward, loss, shapes, {'game': game})
