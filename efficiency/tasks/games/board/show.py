"""A board game for people: positions as text, and a game of a network against itself, plain search or a person."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from efficiency.tasks.games.board.game import Game, State
from efficiency.tasks.games.board.match import Player, plain_mcts
from efficiency.tasks.games.board.search import network_of, searched, seeing

STONES = 'XO'


def text_of(game: Game, state: State) -> str:
    """One position, the first of a batch: X began; moves are numbered by column, or by square where a square is one."""
    planes = np.asarray(state.observation[0], bool)
    first = int(state._step_count[0]) % 2  # which plane is of the side that began
    height, width, _ = game.shape
    names = [[str(row * width + column) for column in range(width)] for row in range(height)]
    by_column = game.actions == width

    def mark(row, column):
        if planes[row, column].any():
            return STONES[0] if planes[row, column, first] else STONES[1]
        return '.' if by_column else names[row][column]

    rows = [' '.join(mark(row, column) for column in range(width)) for row in range(height)]
    return '\n'.join([*rows, ' '.join(names[0])] if by_column else rows)


def searching(game: Game, network: nn.Module, params: Any, simulations: int) -> Player:
    """A network that searches as Gumbel AlphaZero does, without noise."""
    evaluate = seeing(network_of(network))
    return lambda state, key: searched(game, evaluate, 'gumbel', simulations, params, state, key).action


def plain(game: Game, simulations: int) -> Player:
    """Plain Monte Carlo tree search."""
    return plain_mcts(game, simulations)


def asked(game: Game, ask: Callable[[str], str], say: Callable[[str], None]) -> Player:
    """A person.

    Args:
        game: what is played.
        ask: gives what was typed.
        say: shows a line.
    """

    def action(state, key):
        legal = np.flatnonzero(np.asarray(state.legal_action_mask[0]))
        while True:
            typed = ask('your move: ').strip()
            if typed in map(str, legal):  # as text: of what is typed, any number of digits may come
                return jnp.array([int(typed)], jnp.int32)
            say(f'{typed!r} is no move here; there are {", ".join(map(str, legal))}')

    return action


def game_of(game: Game, first: Player, second: Player, key: jax.Array) -> Iterator[State]:
    """The positions of one game, a batch of one each, to its end."""
    state = game.begin(key, 1)
    play = jax.jit(game.play)
    yield state
    for number in range(game.longest):
        player = (first, second)[number % 2]
        state = play(state, player(state, jax.random.fold_in(key, number)))
        yield state
        if bool(state.terminated[0]):
            return


def outcome(state: State) -> str:
    """Who won, in words; the game is over."""
    mover = int(state.current_player[0])
    if float(state.rewards[0, mover]) == 0:
        return 'drawn'
    return f'{STONES[(int(state._step_count[0]) - 1) % 2]} wins'
