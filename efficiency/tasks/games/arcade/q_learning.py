"""Deep Q-learning from a replay: 2013's, 2015's with a target network, Double DQN, and returns of several steps."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from efficiency.tasks.games.arcade.screen import Arcade, Frame, Played

# (params, screens (n, 10, 10, channels)) -> what each action is worth, (n, actions).
Network = Callable[[Any, jax.Array], jax.Array]


class Replay(NamedTuple):
    """The newest frames, a ring of slots of n games each.

    Attributes:
        screen: (slots, n, bytes) uint8, before the action.
        action: (slots, n) int8.
        reward: (slots, n) float32.
        ended, cut: (slots, n) bool, as of `Frame`.
        count: () int32, slots written so far.
    """

    screen: jax.Array
    action: jax.Array
    reward: jax.Array
    ended: jax.Array
    cut: jax.Array
    count: jax.Array


def empty_replay(game: Arcade, config: ConfigDict) -> Replay:
    """A replay of `config.replay_frames`, empty."""
    size = config.replay_frames // config.environments, config.environments
    return Replay(
        jnp.zeros((*size, game.bytes), jnp.uint8), jnp.zeros(size, jnp.int8), jnp.zeros(size), jnp.zeros(size, bool),
        jnp.zeros(size, bool), jnp.zeros((), jnp.int32),
    )  # fmt: skip


def greedy_but(epsilon: jax.Array, worth: jax.Array, key: jax.Array) -> jax.Array:
    """(n,) int32: the best of what each action is worth, (n, actions), and with a chance of epsilon any."""
    key_any, key_whether = jax.random.split(key)
    n, actions = worth.shape
    any_ = jax.random.randint(key_any, (n,), 0, actions)
    return jnp.where(jax.random.bernoulli(key_whether, epsilon, (n,)), any_, worth.argmax(1)).astype(jnp.int32)


def epsilon_at(config: ConfigDict, frames: jax.Array) -> jax.Array:
    """How often to explore after so many frames: down on a line to `config.epsilon` within `config.epsilon_frames`."""
    return 1 + (config.epsilon - 1) * jnp.minimum(1.0, frames / config.epsilon_frames)


def explored(
    game: Arcade, network: Network, config: ConfigDict, params: Any, carried: dict[str, Any], key: jax.Array
) -> dict[str, Any]:
    """Some frames into the replay; what steps hand on afterwards, the target network renewed where that is due."""
    n = config.environments

    def frame(carry, key):
        games, replay, frames = carry
        key_action, key_play = jax.random.split(key)
        worth = network(params, game.unpacked(games.screen))
        action = greedy_but(epsilon_at(config, frames), worth, key_action)
        after, found = game.play(games, action, key_play)
        return (after, _added(replay, games, action, found), frames + n), None

    start = carried['games'], carried['replay'], carried['frames']
    keys = jax.random.split(key, config.batch_size // n)
    (games, replay, frames), _ = jax.lax.scan(frame, start, keys)
    carried = {**carried, 'games': games, 'replay': replay, 'frames': frames}
    if config.target_every:
        due = frames // config.target_every > start[2] // config.target_every
        carried['target'] = jax.tree.map(lambda new, old: jnp.where(due, new, old), params, carried['target'])
    return carried


def _added(replay: Replay, games: Played, action: jax.Array, found: Frame) -> Replay:
    slot = replay.count % len(replay.action)
    return Replay(
        replay.screen.at[slot].set(games.screen), replay.action.at[slot].set(action.astype(jnp.int8)),
        replay.reward.at[slot].set(found.reward), replay.ended.at[slot].set(found.ended),
        replay.cut.at[slot].set(found.cut), replay.count + 1,
    )  # fmt: skip


def q_loss(
    game: Arcade, network: Network, config: ConfigDict, params: Any, carried: dict[str, Any], key: jax.Array
) -> jax.Array:
    """The Huber loss of a batch from the replay against the best that the target network sees after `config.n_step`.

    The target network is the newest there is where `config.target_every` is 0 (Mnih et al., 2013, arXiv:1312.5602),
    otherwise an older one (2015, doi:10.1038/nature14236); with `config.double` the newest chooses the action that it
    values (van Hasselt et al., 2015, arXiv:1509.06461). What a limit of frames cut is not learned.
    """
    target = jax.lax.stop_gradient(carried['target'] if config.target_every else params)
    screen, action, gained, goes_on, after, learned = _drawn(config, carried['replay'], key)
    next_screens = game.unpacked(after)
    values = network(target, next_screens)
    chosen = (network(jax.lax.stop_gradient(params), next_screens) if config.double else values).argmax(1)
    goal = gained + goes_on * jnp.take_along_axis(values, chosen[:, None], axis=1)[:, 0]
    return jnp.where(learned, huber_of(network(params, game.unpacked(screen)), action, goal), 0).mean()


def huber_of(worth: jax.Array, action: jax.Array, goal: jax.Array) -> jax.Array:
    """The Huber loss of what the actions (n,) are worth, of (n, actions), against their goals, (n,)."""
    error = jnp.take_along_axis(worth, action[:, None], axis=1)[:, 0] - goal
    return jnp.where(jnp.abs(error) < 1, 0.5 * error**2, jnp.abs(error) - 0.5)


def _drawn(config: ConfigDict, replay: Replay, key: jax.Array) -> tuple[jax.Array, ...]:
    """A batch of the replay.

    Returns:
        The screens and actions; what came of these within n steps, discounted; the discount of what follows, 0 after
        an end; the screens then; and whether no limit of frames cut in.
    """
    slots, n = replay.action.shape
    key_slot, key_game = jax.random.split(key)
    filled = jnp.minimum(replay.count, slots)
    # The newest few have no screen yet that follows them.
    age = jax.random.randint(key_slot, (config.update_batch,), 0, jnp.maximum(1, filled - config.n_step))
    first = (replay.count - filled + age) % slots
    at = jax.random.randint(key_game, (config.update_batch,), 0, n)
    gained, goes_on = jnp.zeros(config.update_batch), jnp.ones(config.update_batch)
    learned = jnp.ones(config.update_batch, bool)
    for step in range(config.n_step):
        slot = (first + step) % slots
        learned &= ~(replay.cut[slot, at] & (goes_on > 0))
        gained += goes_on * replay.reward[slot, at]
        goes_on *= config.discount * ~replay.ended[slot, at]
    last = (first + config.n_step) % slots
    action = replay.action[first, at].astype(jnp.int32)
    return replay.screen[first, at], action, gained, goes_on, replay.screen[last, at], learned
