"""Self-play by search: what a network learns from, AlphaGo Zero's way and after.

A chunk is some plies of every environment. Each ply is searched, the move is played, and what the search said of the
position is kept, with who won, where the game ended within the chunk. A game that has ended begins again from one of
the chunk's random openings: from the empty board alone, games of a strong network would all be the same few.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from efficiency.tasks.games.board.game import Game, State, reward_of, where
from efficiency.tasks.games.board.match import match
from efficiency.tasks.games.board.search import Found, Network, searched, seeing


class Ply(NamedTuple):
    """What a ply of n games gives.

    Attributes:
        position: (n, bytes) uint8, before the move.
        policy: (n, actions), to be learned.
        learned: (n,) bool, whether it is.
        reward: (n,), what the mover got by it.
        ended: (n,) bool, whether the game did.
    """

    position: jax.Array
    policy: jax.Array
    learned: jax.Array
    reward: jax.Array
    ended: jax.Array


class Samples(NamedTuple):
    """What is learned from, m positions, packed.

    Attributes:
        position: (m, bytes) uint8, see `Game.packed`.
        policy: (m, actions) float16.
        value: (m,) int8, what the mover got in the end: 1, 0 or -1.
        learned: (m,) bool, whether the policy is to be learned.
        decided: (m,) bool, whether the value is known.
    """

    position: jax.Array
    policy: jax.Array
    value: jax.Array
    learned: jax.Array
    decided: jax.Array


def played(
    game: Game, network: Network, config: ConfigDict, params: Any, state: State, key: jax.Array
) -> tuple[State, Samples]:
    """A chunk of self-play.

    Every `config.full_every`-th ply is searched with `config.simulations`; those between, if there are any, with
    `config.fast_simulations` and without noise, and their policy is not learned: the randomised cap of playouts of
    KataGo (Wu, 2019, arXiv:1902.10565, section 3.1), by turns in place of draws, so that all games search alike.

    Args:
        game, network: see `searched`.
        config: of the task.
        params: of the network that plays.
        state: of the environments.
        key: what is drawn from.

    Returns:
        The environments after the chunk, and `config.batch_size` samples, those of an environment side by side.
    """
    n, groups = config.environments, config.batch_size // config.environments // config.full_every
    key, key_pool = jax.random.split(key)
    pool = game.openings(key_pool, n, config.opening_plies)

    def ply(state, key, simulations, full):
        key_search, key_move, key_again = jax.random.split(key, 3)
        found = searched(
            game, seeing(network), config.search, simulations, params, state, key_search, puct=config.puct,
            noise=(config.dirichlet_fraction if full else 0.0, config.dirichlet_alpha), gumbel=float(full),
        )  # fmt: skip
        player, before = state.current_player, state
        state = game.play(state, _move(config, found, before, key_move))
        learned = jnp.full(n, full)
        kept = Ply(game.packed(before.observation), found.weights, learned, reward_of(state, player), state.terminated)
        again = jax.tree.map(lambda leaf: leaf[jax.random.randint(key_again, (n,), 0, n)], pool)
        return where(state.terminated, again, state), kept

    def group(state, key):
        keys = jax.random.split(key, config.full_every)
        state, first = ply(state, keys[0], config.simulations, True)
        if config.full_every == 1:
            return state, jax.tree.map(lambda leaf: leaf[None], first)
        state, rest = jax.lax.scan(lambda s, k: ply(s, k, config.fast_simulations, False), state, keys[1:])
        return state, jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, rest)

    state, plies = jax.lax.scan(group, state, jax.random.split(key, groups))
    return state, samples_of(jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), plies))


def _move(config: ConfigDict, found: Found, state: State, key: jax.Array) -> jax.Array:
    """The moves to play: while a game is young as likely as the search weighs them, and later what it found best."""
    if config.search == 'gumbel':  # which has drawn already
        return found.action
    draw = jax.random.categorical(key, jnp.log(found.weights)).astype(jnp.int32)
    return jnp.where(state._step_count < config.temperature_plies, draw, found.action)


def samples_of(plies: Ply) -> Samples:
    """The samples of plies (plies, n, ...): what each mover got, told from the end of its game."""

    def back(after, ply):
        value, known = after
        value = jnp.where(ply.ended, ply.reward, -value)
        known = ply.ended | known
        return (value, known), (value, known)

    n = plies.reward.shape[1]
    none = jnp.zeros(n), jnp.zeros(n, bool)
    _, (value, known) = jax.lax.scan(back, none, plies, reverse=True)

    def flat(leaf, dtype):
        return jnp.swapaxes(leaf, 0, 1).reshape(-1, *leaf.shape[2:]).astype(dtype)

    return Samples(
        flat(plies.position, jnp.uint8), flat(plies.policy, jnp.float16), flat(value, jnp.int8),
        flat(plies.learned, bool), flat(known, bool),
    )  # fmt: skip


def gate(
    game: Game, network: Network, config: ConfigDict, new: Any, best: Any, key: jax.Array
) -> tuple[Any, jax.Array]:
    """Whether a new network replaces the best: if it scores `config.gate_share` of `config.gate_games` against it.

    Both search as for strength.

    Returns:
        The parameters of the best from now on, and whether they are the new ones, () bool.
    """

    def player(params):
        def action(state, key):
            return searched(
                game, seeing(network), config.search, config.simulations, params, state, key, puct=config.puct
            ).action

        return action

    passed = match(game, player(new), player(best), config.gate_games, key) >= config.gate_share
    return jax.tree.map(lambda a, b: jnp.where(passed, a, b), new, best), passed
