"""A game of MinAtar for people: screens as text, and a game of a network."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from efficiency.tasks.games.arcade.screen import Arcade

# A character for each channel, the first of a place's channels that is lit.
_MARKS = '#o*=+x%'


def text_of(game: Arcade, bits: jax.Array) -> str:
    """One screen, the first of a batch in bits."""
    lit = np.asarray(game.unpacked(bits)[0], bool)
    rows = [
        ''.join(next((_MARKS[i] for i in range(game.shape[2]) if place[i]), '.') for place in row) for row in lit
    ]  # fmt: skip
    return '\n'.join(rows)


def game_of(
    game: Arcade, choose: Callable[[Any, jax.Array, jax.Array], jax.Array], params: Any, key: jax.Array
) -> Iterator[tuple[jax.Array, float]]:
    """Each screen of one game in bits, and the return with what is done there, to its end.

    Args:
        game: what is played.
        choose: (params, screens, key) -> (n,) int32 actions.
        params: of the network.
        key: what is drawn from.
    """

    @jax.jit
    def frame(games, key):
        key_action, key_play = jax.random.split(key)
        return game.play(games, choose(params, game.unpacked(games.screen), key_action), key_play)

    games, total = game.begin(key, 1), 0.0
    for number in range(game.longest):
        screen = games.screen
        games, found = frame(games, jax.random.fold_in(key, number))
        total += float(found.reward[0])
        yield screen, total
        if bool(found.ended[0] | found.cut[0]):
            return
