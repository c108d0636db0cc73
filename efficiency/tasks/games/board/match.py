"""Matches between two players, and plain Monte Carlo tree search, which has learned nothing, as one of them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from efficiency.tasks.games.board.game import Game, State, random_moves, reward_of
from efficiency.tasks.games.board.positions import distinct_openings
from efficiency.tasks.games.board.search import searched

# (state, key) -> (n,) int32 moves.
Player = Callable[[State, jax.Array], jax.Array]


def match(game: Game, one: Player, other: Player, games: int, key: jax.Array) -> jax.Array:
    """The score of one player against another, () from 0 to 1; a draw is half a point.

    Half of the games one begins, half the other, both halves from the same openings. These are positions after two
    plies, or the fewest after which there are enough, drawn without replacement, so that no game is another once more.
    Every game goes on for as many plies as the longest, ended or not, so that what a match multiplies is known before
    it.

    Args:
        game: its rules.
        one, other: who play.
        games: even, up to 1,024.
        key: what is drawn from.
    """
    half = games // 2
    key_begin, key_open, key = jax.random.split(key, 3)
    openings = distinct_openings(game.name, half)
    drawn = jax.random.choice(key_open, openings, (half,), replace=False)
    start = game.play_all(game.begin(key_begin, half), drawn)

    def moved(player, of, carry, key):
        """What it leaves, and what the one has got of it: 0 but by the move that ends a game."""
        state, total = carry
        state = game.play(state, player(state, key))
        return state, total + reward_of(state, of)

    def two_plies(carry, key):
        ours, theirs = carry
        keys = jax.random.split(key, 4)
        ours = moved(other, first, moved(one, first, ours, keys[0]), keys[1])
        theirs = moved(one, second, moved(other, second, theirs, keys[2]), keys[3])
        return (ours, theirs), None

    first, second = start.current_player, 1 - start.current_player
    begun = start, jnp.zeros(half)
    keys = jax.random.split(key, -(-(game.longest - openings.shape[1]) // 2))
    ((_, ours), (_, theirs)), _ = jax.lax.scan(two_plies, (begun, begun), keys)
    return (2 * half + ours.sum() + theirs.sum()) / (4 * half)


def rollouts(game: Game) -> Callable[[Any, State, jax.Array], tuple[jax.Array, jax.Array]]:
    """What stands in for a network: every move as likely, and the outcome of one random game from there."""

    def evaluate(_, state, key):
        player = state.current_player

        def ply(carry, key):
            state, total = carry
            state = game.play(state, random_moves(key, state))
            return (state, total + reward_of(state, player)), None

        n = len(player)
        (_, total), _ = jax.lax.scan(ply, (state, jnp.zeros(n)), jax.random.split(key, game.longest))
        return jnp.zeros((n, game.actions)), total

    return evaluate


def plain_mcts(game: Game, simulations: int) -> Player:
    """Monte Carlo tree search by PUCT with a uniform prior and one random game a leaf; it multiplies nothing."""

    def action(state, key):
        return searched(game, rollouts(game), 'puct', simulations, (), state, key).action

    return action
