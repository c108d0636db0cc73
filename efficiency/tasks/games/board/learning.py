"""Learning from search: a replay of samples, and the loss of a batch of them."""

from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from efficiency.tasks.games.board.game import Game
from efficiency.tasks.games.board.search import Network
from efficiency.tasks.games.board.self_play import Samples
from efficiency.tasks.games.masked import mean_where


def empty_replay(game: Game, config: ConfigDict) -> Samples:
    """A replay of the newest `config.replay_iterations` chunks, (batch_size, chunks, ...) each, empty."""
    size = config.batch_size, config.replay_iterations
    return Samples(
        jnp.zeros((*size, game.bytes), jnp.uint8), jnp.zeros((*size, game.actions), jnp.float16),
        jnp.zeros(size, jnp.int8), jnp.zeros(size, bool), jnp.zeros(size, bool),
    )  # fmt: skip


def added(replay: Samples, samples: Samples, iteration: jax.Array) -> Samples:
    """The replay with a chunk in place of its oldest; `iteration` is how many there were before, () int32."""
    slot = iteration % replay.value.shape[1]
    return jax.tree.map(lambda all_, one: all_.at[:, slot].set(one), replay, samples)


def drawn(replay: Samples, iteration: jax.Array, size: int, key: jax.Array) -> Samples:
    """`size` samples of those that there are after so many chunks, each as likely."""
    key_row, key_slot = jax.random.split(key)
    count, slots = replay.value.shape
    row = jax.random.randint(key_row, (size,), 0, count)
    slot = jax.random.randint(key_slot, (size,), 0, jnp.minimum(iteration, slots))
    return jax.tree.map(lambda leaf: leaf[row, slot], replay)


def mirrored(game: Game, positions: jax.Array, policy: jax.Array, chosen: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Positions and what to play there, of the rows that are chosen, (n,) bool, in the mirror."""
    return (
        jnp.where(chosen[:, None, None, None], positions[:, :, ::-1], positions),
        jnp.where(chosen[:, None], policy[:, game.mirrored], policy),
    )


def loss_of(
    game: Game, network: Network, config: ConfigDict, params: Any, replay: Samples, iteration: jax.Array, key: jax.Array
) -> jax.Array:
    """The loss of a batch drawn from the replay: cross-entropy to the search's policy, and squared error of the value.

    AlphaGo Zero's, whose weight decay is the optimizer's here; with `config.mirror` half of the positions are mirrored.
    """
    key_draw, key_mirror = jax.random.split(key)
    samples = drawn(replay, iteration, config.update_batch, key_draw)
    positions, policy = game.unpacked(samples.position), samples.policy.astype(jnp.float32)
    if config.mirror:
        chosen = jax.random.bernoulli(key_mirror, shape=(config.update_batch,))
        positions, policy = mirrored(game, positions, policy, chosen)
    found = network(params, positions)
    return search_loss(*found, policy, samples.value, samples.learned, samples.decided)


def search_loss(
    logits: jax.Array, value: jax.Array, policy: jax.Array, goal: jax.Array, learned: jax.Array, decided: jax.Array
) -> jax.Array:
    """Cross-entropy to a policy (n, actions) where `learned`, and squared error to a value (n,) where `decided`."""
    cross_entropy = -jnp.sum(policy * jax.nn.log_softmax(logits), axis=1)
    return mean_where(learned, cross_entropy) + mean_where(decided, (value - goal) ** 2)
