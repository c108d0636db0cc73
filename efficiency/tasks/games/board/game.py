"""The board games by name: rules of pgx, batched; where moves go in the mirror, and positions in bits."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from efficiency.errors import named
from efficiency.tasks.games.needs import needed

# pgx's state of a batch of games.
State = Any


@dataclasses.dataclass(frozen=True)
class _Kind:
    """What is to be said of a game beside pgx's rules: the most plies that it lasts, and moves in the mirror."""

    longest: int
    mirrored: tuple[int, ...]


_KINDS = {
    'connect_four': _Kind(42, (6, 5, 4, 3, 2, 1, 0)),
    'tic_tac_toe': _Kind(9, (2, 1, 0, 5, 4, 3, 8, 7, 6)),
}
NAMES = tuple(_KINDS)


class Game:
    """A game, its functions over a batch of n states.

    Attributes:
        name: pgx's.
        actions: how many moves there are.
        shape: of a position as networks see it: (height, width, planes), the mover's stones first.
        longest: plies that a game lasts at most.
        mirrored: (actions,) int32, the move that each is in the mirror, left for right.
    """

    def __init__(self, name: str):
        """Makes it.

        Raises:
            UserError: if there is no such game, or pgx is not installed.
        """
        kind = named(_KINDS, 'board game', name)
        env = needed('pgx').make(name)
        self.name, self.longest, self.mirrored = name, kind.longest, np.array(kind.mirrored, np.int32)
        self.actions, self.shape = env.num_actions, tuple(env.observation_shape)
        self._init, self._step = jax.vmap(env.init), jax.vmap(env.step)

    @property
    def bytes(self) -> int:
        """That a position takes in bits."""
        return -(-int(np.prod(self.shape)) // 8)

    def begin(self, key: jax.Array, n: int) -> State:
        """n games at their beginning."""
        return self._init(jax.random.split(key, n))

    def play(self, state: State, action: jax.Array) -> State:
        """The games after a move each, (n,) int32; those that have ended stay as they are."""
        return self._step(state, action)

    def play_all(self, state: State, moves: jax.Array) -> State:
        """The games after moves (n, plies), as far as these are not below 0."""

        def ply(state, move):
            return where(move >= 0, self.play(state, jnp.maximum(move, 0)), state), None

        return jax.lax.scan(ply, state, moves.T)[0]

    def openings(self, key: jax.Array, n: int, most: int) -> State:
        """n games after 0 to `most` uniformly random moves each, none of them decided."""
        key_begin, key_plies, key = jax.random.split(key, 3)
        start = self.begin(key_begin, n)
        plies = jax.random.randint(key_plies, (n,), 0, most + 1)

        def ply(state, each):
            number, key = each
            return where(number < plies, self.play(state, random_moves(key, state)), state), None

        state, _ = jax.lax.scan(ply, start, (jnp.arange(most), jax.random.split(key, most)))
        return where(state.terminated, start, state)

    def packed(self, observation: jax.Array) -> jax.Array:
        """Positions (..., height, width, planes) in bits, (..., bytes) uint8."""
        return jnp.packbits(observation.reshape(*observation.shape[:-3], -1), axis=-1)

    def unpacked(self, bits: jax.Array) -> jax.Array:
        """What `packed` was given, as float32."""
        size = int(np.prod(self.shape))
        found = jnp.unpackbits(bits, axis=-1, count=size).reshape(*bits.shape[:-1], *self.shape)
        return found.astype(jnp.float32)


@functools.cache
def game(name: str) -> Game:
    """The game of that name; see `Game`."""
    return Game(name)


def where(chosen: jax.Array, a: Any, b: Any) -> Any:
    """Of two pytrees of batches, the rows of `a` where `chosen` (n,) and of `b` elsewhere."""
    return jax.tree.map(lambda x, y: jnp.where(chosen.reshape(-1, *[1] * (x.ndim - 1)), x, y), a, b)


def random_moves(key: jax.Array, state: State) -> jax.Array:
    """A legal move each, every one as likely, (n,) int32."""
    return jax.random.categorical(key, jnp.where(state.legal_action_mask, 0.0, -jnp.inf)).astype(jnp.int32)


def reward_of(state: State, player: jax.Array) -> jax.Array:
    """(n,) float32: what each game gave a player, (n,) int32, by the move that led to this state."""
    return jnp.take_along_axis(state.rewards, player[:, None], axis=1)[:, 0]
