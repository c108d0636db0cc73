"""What a network gets of a game: the mean return of whole games, all from their beginning."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from efficiency.flops import count_jaxpr, tracing
from efficiency.tasks.evaluation import Evaluated
from efficiency.tasks.games.arcade.screen import Arcade

# Frames between two looks at whether all games are over.
_FRAMES = 50


class ReturnEvaluator:
    """Plays games to their end or limit of frames, once `compile` has been called, the same draws each time.

    The loss is the mean return below 0, as nothing else is measured.
    """

    def __init__(
        self, game: Arcade, choose: Callable[[Any, jax.Array, jax.Array], jax.Array], episodes: int, devices: Any
    ):  # fmt: skip
        """Every device plays all of them.

        Args:
            game: what is played.
            choose: (params, screens, key) -> (n,) int32 actions.
            episodes: games.
            devices: see `efficiency.training.mesh.DataParallel`.
        """
        self._game, self._choose, self._devices, self._episodes = game, choose, devices, episodes
        self._compiled: Any = None
        self._macs = 0

    def _begun(self) -> tuple[Any, jax.Array, jax.Array]:
        n = self._episodes
        return self._game.begin(jax.random.key(3), n), jnp.zeros(n), jnp.zeros(n, bool)

    def _frames(self, params: Any, under_way: Any, number: jax.Array) -> tuple[Any, jax.Array]:
        def frame(carry, key):
            games, total, over = carry
            key_action, key_play = jax.random.split(key)
            action = self._choose(params, self._game.unpacked(games.screen), key_action)
            games, found = self._game.play(games, action, key_play)
            total += jnp.where(over, 0, found.reward)
            return (games, total, over | found.ended | found.cut), None

        keys = jax.random.split(jax.random.fold_in(jax.random.key(4), number), _FRAMES)
        under_way, _ = jax.lax.scan(frame, under_way, keys)
        return under_way, under_way[2].all()

    def compile(self, variables: Any) -> None:
        params = variables['params']
        begun = self._devices.put_state(jax.jit(self._begun)())
        shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), begun)
        number = jax.ShapeDtypeStruct((), np.int32)
        with tracing():
            traced = jax.jit(self._frames, out_shardings=self._devices.replicated).trace(params, shapes, number)
        self._macs = count_jaxpr(traced.jaxpr).dense_macs
        self._compiled, self._start = traced.lower().compile(), begun

    def __call__(self, variables: Any, stopped: Callable[[], bool] = lambda: False) -> Evaluated | None:
        under_way, over, calls = self._start, False, 0
        while not over and calls * _FRAMES < self._game.longest:
            under_way, all_over = self._compiled(variables['params'], under_way, np.int32(calls))
            calls, over = calls + 1, bool(all_over)
            if stopped():
                return None
        mean = float(np.asarray(under_way[1], np.float64).mean())
        return Evaluated({'loss': -mean, 'return': mean}, self._episodes, calls * self._macs)
