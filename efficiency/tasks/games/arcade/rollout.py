"""Learning from what was just played, without a replay: PPO, and Q(lambda) in parallel (PQN)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from efficiency.tasks.games.arcade.q_learning import epsilon_at, greedy_but
from efficiency.tasks.games.arcade.screen import Arcade
from efficiency.tasks.games.masked import mean_where
from efficiency.tasks.games.passes import passes


class Rollout(NamedTuple):
    """What a chunk leaves to learn from, m frames; those of a game side by side.

    Attributes:
        screen: (m, bytes) uint8.
        action: (m,) int8.
        log_prob, advantage: (m,), of the action when it was chosen, and how much better it was than expected; of PQN 0.
        goal: (m,), the value to learn.
        learned: (m,) bool, whether it is: of a frame that a limit cut nobody knows what would have followed.
        order: (updates, update batch) int32, which frames each update takes.
    """

    screen: jax.Array
    action: jax.Array
    log_prob: jax.Array
    advantage: jax.Array
    goal: jax.Array
    learned: jax.Array
    order: jax.Array


def empty_rollout(game: Arcade, config: ConfigDict) -> Rollout:
    """Before the first chunk."""
    m = config.batch_size
    numbers = jnp.zeros(m)
    return Rollout(
        jnp.zeros((m, game.bytes), jnp.uint8), jnp.zeros(m, jnp.int8), numbers, numbers, numbers, jnp.zeros(m, bool),
        jnp.zeros((config.updates, config.update_batch), jnp.int32),
    )  # fmt: skip


def rolled_out(
    game: Arcade, network: Callable, config: ConfigDict, params: Any, carried: dict[str, Any], key: jax.Array
) -> dict[str, Any]:
    """A chunk of all environments, and what is to be learned from it; what steps hand on afterwards.

    Args:
        game, config, params, carried: of the task.
        network: of PPO (params, screens) -> (logits, values); of PQN -> what each action is worth.
        key: what is drawn from.
    """
    n, is_ppo = config.environments, config.learner == 'ppo'

    def seen(screen):
        """What the screens are worth, and how likely each action is, or what it is worth."""
        found = network(params, game.unpacked(screen))
        return found if is_ppo else (found, found.max(1))

    def frame(carry, key):
        games, frames = carry
        key_action, key_play = jax.random.split(key)
        each, value = seen(games.screen)
        if is_ppo:
            action = jax.random.categorical(key_action, each).astype(jnp.int32)
            log_prob = jnp.take_along_axis(jax.nn.log_softmax(each), action[:, None], axis=1)[:, 0]
        else:
            action, log_prob = greedy_but(epsilon_at(config, frames), each, key_action), jnp.zeros(n)
        after, found = game.play(games, action, key_play)
        kept = games.screen, action.astype(jnp.int8), log_prob, value, found.reward, found.ended, found.cut
        return (after, frames + n), kept

    key, key_order = jax.random.split(key)
    keys = jax.random.split(key, config.batch_size // n)
    start = carried['games'], carried['frames']
    (games, frames), (*kept, value, reward, ended, cut) = jax.lax.scan(frame, start, keys)
    last = seen(games.screen)[1]
    if is_ppo:
        advantage = advantages(value, reward, ended, cut, last, config.discount, config.gae_lambda)
        goal = advantage + value
    else:
        goal = lambda_returns(value, reward, ended, cut, last, config.discount, config.gae_lambda)
        advantage = jnp.zeros_like(goal)
    flat = [jnp.swapaxes(leaf, 0, 1).reshape(-1, *leaf.shape[2:]) for leaf in (*kept, advantage, goal, ~cut)]
    rollout = Rollout(*flat, passes(config, key_order))
    return {**carried, 'games': games, 'frames': frames, 'rollout': rollout, 'done': jnp.zeros((), jnp.int32)}


def advantages(
    value: jax.Array,
    reward: jax.Array,
    ended: jax.Array,
    cut: jax.Array,
    last: jax.Array,
    discount: float,
    gae_lambda: float,
) -> jax.Array:
    """Generalised advantages (Schulman et al., 2015, arXiv:1506.02438), (frames, n).

    A frame that a limit cut is no end: those before it expect what its screen is worth, as those before the chunk's end
    do of the screen after that, and it has no advantage itself.

    Args:
        value, reward, ended, cut: (frames, n), the last two as of `Frame`.
        last: (n,), what the screens after the last frame are worth.
        discount, gae_lambda: from 0 to 1.
    """

    def back(after, frame):
        next_value, next_advantage = after
        value, reward, ended, cut = frame
        goes_on = discount * ~ended
        advantage = reward + goes_on * next_value - value + gae_lambda * goes_on * next_advantage
        advantage = jnp.where(cut, 0, advantage)
        return (value, advantage), advantage

    _, found = jax.lax.scan(back, (last, jnp.zeros_like(last)), (value, reward, ended, cut), reverse=True)
    return found


def lambda_returns(
    value: jax.Array,
    reward: jax.Array,
    ended: jax.Array,
    cut: jax.Array,
    last: jax.Array,
    discount: float,
    gae_lambda: float,
) -> jax.Array:
    """Q(lambda) as PQN has it (Gallici et al., 2024, arXiv:2407.04811), (frames, n).

    Args: see `advantages`; `value` is the best action's, and all that is expected from a frame that was cut on.
    """

    def back(after, frame):
        next_value, next_return = after
        value, reward, ended, cut = frame
        found = reward + discount * ~ended * (gae_lambda * next_return + (1 - gae_lambda) * next_value)
        found = jnp.where(cut, value, found)
        return (value, found), found

    _, found = jax.lax.scan(back, (last, last), (value, reward, ended, cut), reverse=True)
    return found


def rollout_loss(
    game: Arcade, network: Callable, config: ConfigDict, params: Any, rollout: Rollout, update: jax.Array
) -> jax.Array:
    """The loss of an update's frames: PPO's, advantages brought to mean 0 and deviation 1 in each batch; or PQN's."""
    rows = rollout.order[update % config.updates]
    action, goal, learned = rollout.action[rows].astype(jnp.int32), rollout.goal[rows], rollout.learned[rows]
    found = network(params, game.unpacked(rollout.screen[rows]))
    if config.learner == 'pqn':
        return 0.5 * mean_where(learned, (jnp.take_along_axis(found, action[:, None], axis=1)[:, 0] - goal) ** 2)
    numbers = rollout.log_prob[rows], rollout.advantage[rows], goal
    return clipped_loss(config.clip, config.entropy, found, action, *numbers, learned)


def clipped_loss(
    clip: float,
    entropy: float,
    found: tuple[jax.Array, jax.Array],
    action: jax.Array,
    log_prob: jax.Array,
    advantage: jax.Array,
    goal: jax.Array,
    learned: jax.Array,
) -> jax.Array:
    """PPO's loss of what a network found, logits (n, actions) and values, where it is to be learned; see `Rollout`."""
    logits, value = found
    logs = jax.nn.log_softmax(logits)
    ratio = jnp.exp(jnp.take_along_axis(logs, action[:, None], axis=1)[:, 0] - log_prob)
    middle = mean_where(learned, advantage)
    advantage = (advantage - middle) / (jnp.sqrt(mean_where(learned, (advantage - middle) ** 2)) + 1e-8)
    gain = jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - clip, 1 + clip) * advantage)
    spread = -jnp.sum(jnp.exp(logs) * logs, axis=1)
    return mean_where(learned, -gain + 0.5 * (value - goal) ** 2 - entropy * spread)
