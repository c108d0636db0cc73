"""Strength: the share of positions in which what a network plays keeps the position's value."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from efficiency.flops import count_jaxpr, tracing
from efficiency.tasks.evaluation import Evaluated
from efficiency.tasks.games.board.game import Game
from efficiency.tasks.games.board.positions import Positions
from efficiency.tasks.games.board.search import Network, searched, seeing

METRICS = ('raw_accuracy', 'puct_accuracy', 'gumbel_accuracy')


class PositionsEvaluator:
    """Evaluates a network on all positions at once, once `compile` has been called.

    By the policy alone, and by a search of one size by PUCT and by Gumbel, both without noise: the papers' levels are
    of agents that search, and either search may favour what was trained by it. The loss is that of the policy, the mean
    of -log of the probability that it gives to the right moves together, in nats.
    """

    def __init__(self, game: Game, network: Network, positions: Positions, simulations: int, devices: Any):
        """`simulations` of each search; `devices` as of `efficiency.training.mesh.DataParallel`."""
        self._game, self._network, self._simulations, self._devices = game, network, simulations, devices
        self._count = len(positions.right)
        # Filled up by copies of the first.
        rows = np.arange(-(-self._count // devices.mesh.size) * devices.mesh.size)
        rows = np.where(rows < self._count, rows, 0)
        mask = np.arange(len(rows)) < self._count
        self._batch = {'moves': positions.moves[rows], 'right': positions.right[rows], 'mask': mask}
        self._compiled: Any = None
        self._macs = 0

    def compile(self, variables: Any) -> None:
        shapes = {name: (array.shape, array.dtype) for name, array in self._batch.items()}
        with tracing():
            traced = jax.jit(self._totals, out_shardings=self._devices.replicated).trace(
                variables, self._devices.shapes(shapes)
            )
        self._macs = count_jaxpr(traced.jaxpr).dense_macs * self._count // len(self._batch['mask'])
        self._compiled = traced.lower().compile()

    def _totals(self, variables: Any, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        params, right = variables['params'], batch['right']
        start = self._game.begin(jax.random.key(0), len(right))
        state = self._game.play_all(start, batch['moves'].astype(jnp.int32))
        logits, _ = self._network(params, state.observation)
        logs = jax.nn.log_softmax(jnp.where(state.legal_action_mask, logits, -jnp.inf))

        def accuracy(action):
            kept = jnp.take_along_axis(right, action[:, None], axis=1)[:, 0]
            return jnp.sum(kept & batch['mask'])

        found = {'raw_accuracy': accuracy(logs.argmax(1))}
        for kind in ('puct', 'gumbel'):
            best = searched(
                self._game, seeing(self._network), kind, self._simulations, params, state, jax.random.key(1)
            )
            found[f'{kind}_accuracy'] = accuracy(best.action)
        likely = jax.nn.logsumexp(jnp.where(right, logs, -jnp.inf), axis=1)
        return found | {'loss': -jnp.sum(jnp.where(batch['mask'], likely, 0))}

    def __call__(self, variables: Any, stopped: Callable[[], bool] = lambda: False) -> Evaluated | None:
        totals = self._compiled(variables, self._put())
        if stopped():
            return None
        metrics = {name: float(np.asarray(total)) / self._count for name, total in totals.items()}
        return Evaluated(metrics, self._count, self._macs)

    def _put(self) -> dict[str, jax.Array]:
        part = self._devices.host.part(len(self._batch['mask']))
        return self._devices.put_batch({name: array[part] for name, array in self._batch.items()})
