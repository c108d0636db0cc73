"""Self-play without search: proximal policy optimisation (Schulman et al., 2017, arXiv:1707.06347) of both sides."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from efficiency.tasks.games.board.game import Game, State, reward_of, where
from efficiency.tasks.games.board.search import Network
from efficiency.tasks.games.passes import passes

_ILLEGAL = -1e9


class Rollout(NamedTuple):
    """What a chunk leaves to learn from, m positions.

    Attributes:
        position: (m, bytes) uint8.
        legal: (m, actions) bool.
        action: (m,) int8.
        log_prob, advantage, goal: (m,), of the action when it was played; how much better it was than expected; and
            the value to learn.
        order: (updates, update batch) int32, which samples each update takes.
    """

    position: jax.Array
    legal: jax.Array
    action: jax.Array
    log_prob: jax.Array
    advantage: jax.Array
    goal: jax.Array
    order: jax.Array


def empty_rollout(game: Game, config: ConfigDict) -> Rollout:
    """Before the first chunk."""
    m = config.batch_size
    numbers = jnp.zeros(m)
    return Rollout(
        jnp.zeros((m, game.bytes), jnp.uint8), jnp.zeros((m, game.actions), bool), jnp.zeros(m, jnp.int8), numbers,
        numbers, numbers, jnp.zeros((config.updates, config.update_batch), jnp.int32),
    )  # fmt: skip


def rolled_out(
    game: Game, network: Network, config: ConfigDict, params: Any, state: State, key: jax.Array
) -> tuple[State, Rollout]:
    """A chunk: every environment plays both sides by the policy, and starts again from a random opening at the end."""
    n, plies = config.environments, config.batch_size // config.environments
    key, key_pool, key_order = jax.random.split(key, 3)
    pool = game.openings(key_pool, n, config.opening_plies)

    def ply(state, key):
        key_move, key_again = jax.random.split(key)
        logits, value = network(params, state.observation)
        logits = jnp.where(state.legal_action_mask, logits, _ILLEGAL)
        action = jax.random.categorical(key_move, logits).astype(jnp.int32)
        log_prob = jnp.take_along_axis(jax.nn.log_softmax(logits), action[:, None], axis=1)[:, 0]
        after = game.play(state, action)
        kept = (
            game.packed(state.observation), state.legal_action_mask, action.astype(jnp.int8), log_prob, value,
            reward_of(after, state.current_player), after.terminated,
        )  # fmt: skip
        again = jax.tree.map(lambda leaf: leaf[jax.random.randint(key_again, (n,), 0, n)], pool)
        return where(after.terminated, again, after), kept

    state, (*kept, value, reward, ended) = jax.lax.scan(ply, state, jax.random.split(key, plies))
    last = network(params, state.observation)[1]
    advantage = advantages(value, reward, ended, last, config.gae_lambda)
    goal = advantage + value
    spread = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    flat = [jnp.swapaxes(leaf, 0, 1).reshape(-1, *leaf.shape[2:]) for leaf in (*kept, spread, goal)]
    return state, Rollout(*flat, passes(config, key_order))


def advantages(value: jax.Array, reward: jax.Array, ended: jax.Array, last: jax.Array, gae_lambda: float) -> jax.Array:
    """Generalised advantages (Schulman et al., 2015, arXiv:1506.02438) where the sides take turns, undiscounted.

    Args:
        value, reward, ended: (plies, n), of each mover: what it expected, what its move brought, whether it ended.
        last: (n,), what the mover after the last ply expects.
        gae_lambda: from 0 to 1.

    Returns:
        (plies, n), of each mover: the other side's gain is its loss.
    """

    def back(after, ply):
        next_value, next_advantage = after
        value, reward, ended = ply
        goes_on = jnp.where(ended, 0.0, -1.0)
        advantage = reward + goes_on * next_value - value + gae_lambda * goes_on * next_advantage
        return (value, advantage), advantage

    _, found = jax.lax.scan(back, (last, jnp.zeros_like(last)), (value, reward, ended), reverse=True)
    return found


def ppo_loss(
    game: Game, network: Network, config: ConfigDict, params: Any, rollout: Rollout, update: jax.Array
) -> jax.Array:
    """The loss of an update's batch: the clipped objective, half the squared error of the value, less the entropy."""
    rows = rollout.order[update % config.updates]
    legal, action = rollout.legal[rows], rollout.action[rows].astype(jnp.int32)
    logits, value = network(params, game.unpacked(rollout.position[rows]))
    logs = jax.nn.log_softmax(jnp.where(legal, logits, _ILLEGAL))
    log_prob = jnp.take_along_axis(logs, action[:, None], axis=1)[:, 0]
    ratio, advantage = jnp.exp(log_prob - rollout.log_prob[rows]), rollout.advantage[rows]
    clipped = jnp.clip(ratio, 1 - config.clip, 1 + config.clip)
    gain = jnp.minimum(ratio * advantage, clipped * advantage).mean()
    error = ((value - rollout.goal[rows]) ** 2).mean()
    entropy = -jnp.sum(jnp.where(legal, jnp.exp(logs) * logs, 0), axis=1).mean()
    return -gain + 0.5 * error - config.entropy * entropy
