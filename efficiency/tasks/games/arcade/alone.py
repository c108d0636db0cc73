"""A network of a screen alone, to be counted: of one screen, and of a loss whose goals are there already."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from efficiency.errors import named
from efficiency.tasks.games.arcade.q_learning import huber_of
from efficiency.tasks.games.arcade.rollout import clipped_loss
from efficiency.tasks.games.networks import create_model, model_entry, models_of
from efficiency.tasks.networks import Alone
from efficiency.tasks.task import Forward

__all__ = ['SIZES', 'alone', 'list_models', 'model_entry']

SIZES = ('game',)
list_models = partial(models_of, 'arcade_games')
# By game: its screen, and how many actions there are. Counting does without the rules.
SHAPES = {'breakout': ((10, 10, 4), 3), 'asterix': ((10, 10, 4), 5), 'freeway': ((10, 10, 7), 3)}
_CLIP, _ENTROPY = 0.2, 0.01  # whatever they are: they multiply nothing that is counted


def alone(name: str, batch_size: int, options: Mapping[str, Any], game: str = 'breakout') -> Alone:
    """See `efficiency.tasks.networks.alone`; `game` is one of `SHAPES`. What makes the goals is not among its cost.

    Raises:
        UserError: as there.
    """
    shape, actions = named(SHAPES, 'arcade game', game)
    model = create_model(name, 'arcade_games', actions, options=options)
    one = jax.ShapeDtypeStruct((1, *shape), jnp.float32)

    def loss(params, extra, batch, key):
        found = model.apply({'params': params}, batch['screen'], train=True)
        if isinstance(found, tuple):
            numbers = batch['log_prob'], batch['advantage'], batch['goal']
            learned = jnp.ones(len(batch['goal']), bool)
            return clipped_loss(_CLIP, _ENTROPY, found, batch['action'], *numbers, learned), extra
        return huber_of(found, batch['action'], batch['goal']).mean(), extra

    shapes = {
        'screen': ((batch_size, *shape), jnp.float32), 'action': ((batch_size,), jnp.int32),
        **dict.fromkeys(('log_prob', 'advantage', 'goal'), ((batch_size,), jnp.float32)),
    }  # fmt: skip
    variables = jax.eval_shape(model.init, jax.random.key(0), one)
    return Alone(
        model, variables, None, Forward(partial(model.apply, train=False), (one,)), loss, shapes, {'game': game}
    )
