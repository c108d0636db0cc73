"""The games of MinAtar by name: gymnax's rules, batched, with the sticky actions of MinAtar's own."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from efficiency.errors import named
from efficiency.tasks.games.needs import needed

# By the names that configs have: gymnax's.
_GYMNAX = {'asterix': 'Asterix-MinAtar', 'breakout': 'Breakout-MinAtar', 'freeway': 'Freeway-MinAtar'}
NAMES = tuple(_GYMNAX)


class Played(NamedTuple):
    """Games under way, n of them.

    Attributes:
        state: gymnax's.
        screen: (n, bytes) uint8, what is seen, in bits.
        last: (n,) int32, the action before, which a sticky one repeats.
    """

    state: Any
    screen: jax.Array
    last: jax.Array


class Frame(NamedTuple):
    """What a frame of n games gives, (n,) each.

    Attributes:
        reward: float32.
        ended: bool, whether the game was over.
        cut: bool, whether it was only ended by its limit of frames; either way the next one has begun.
    """

    reward: jax.Array
    ended: jax.Array
    cut: jax.Array


class Arcade:
    """A game, its functions over a batch of n.

    Attributes:
        name: as in a config.
        actions: how many there are, of the game's minimal set.
        shape: of a screen: (10, 10, channels).
        longest: frames after which a game is cut.
    """

    def __init__(self, name: str, sticky: float):
        """Makes it.

        Args:
            name: of `NAMES`.
            sticky: how likely the action before is repeated in place of the one chosen (Machado et al., 2018,
                arXiv:1709.06009); MinAtar's is 0.1, and gymnax has none.

        Raises:
            UserError: if there is no such game, or gymnax is not installed.
        """
        full = named(_GYMNAX, 'arcade game', name)
        env, params = needed('gymnax').make(full)
        self.name, self._sticky = name, float(sticky)
        self.actions, self.shape = env.num_actions, tuple(env.obs_shape)
        self.longest = params.max_steps_in_episode
        self._reset = jax.vmap(lambda key: env.reset(key, params))
        self._step = jax.vmap(lambda key, state, action: env.step(key, state, action, params))

    @property
    def bytes(self) -> int:
        """That a screen takes in bits."""
        return -(-int(np.prod(self.shape)) // 8)

    def packed(self, screens: jax.Array) -> jax.Array:
        """Screens (n, 10, 10, channels) of zeros and ones in bits, (n, bytes) uint8."""
        return jnp.packbits(screens.reshape(len(screens), -1) > 0, axis=-1)

    def unpacked(self, bits: jax.Array) -> jax.Array:
        """What `packed` was given, as float32."""
        found = jnp.unpackbits(bits, axis=-1, count=int(np.prod(self.shape)))
        return found.reshape(*bits.shape[:-1], *self.shape).astype(jnp.float32)

    def begin(self, key: jax.Array, n: int) -> Played:
        """n games at their beginning."""
        screens, state = self._reset(jax.random.split(key, n))
        return Played(state, self.packed(screens), jnp.zeros(n, jnp.int32))

    def play(self, games: Played, action: jax.Array, key: jax.Array) -> tuple[Played, Frame]:
        """A frame of each game, by the actions chosen, (n,) int32; those that end begin again."""
        key_sticky, key = jax.random.split(key)
        n = len(action)
        action = jnp.where(jax.random.bernoulli(key_sticky, self._sticky, (n,)), games.last, action)
        screens, state, reward, ended, cut, _ = self._step(jax.random.split(key, n), games.state, action)
        last = jnp.where(ended | cut, 0, action)
        return Played(state, self.packed(screens), last), Frame(reward, ended, cut & ~ended)


@functools.cache
def arcade(name: str, sticky: float) -> Arcade:
    """The game of that name; see `Arcade`."""
    return Arcade(name, sticky)
