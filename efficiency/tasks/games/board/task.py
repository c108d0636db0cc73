"""Board games as a task: what a step calls, what it hands on, and what strength is measured on."""

import functools
import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict

from efficiency.data.batches import Batch, Host
from efficiency.flops import count_jaxpr, tracing
from efficiency.layers.precision import dtype_of
from efficiency.tasks.evaluation import Evaluator
from efficiency.tasks.games.board import learning, ppo
from efficiency.tasks.games.board.evaluation import PositionsEvaluator
from efficiency.tasks.games.board.game import game
from efficiency.tasks.games.board.match import match, plain_mcts
from efficiency.tasks.games.board.positions import positions_of
from efficiency.tasks.games.board.search import network_of, searched, seeing
from efficiency.tasks.games.board.self_play import gate, played
from efficiency.tasks.games.needs import version_of
from efficiency.tasks.games.networks import create_model
from efficiency.tasks.games.published import published_of
from efficiency.tasks.games.task import GameTask
from efficiency.tasks.task import Form, Part

TASK = 'board_games'
SELF_PLAY, UPDATE, GATE = 'self-play', 'update', 'gate'
_MATCH_GAMES = 128


class Iterations(NamedTuple):
    """Which form each step has: every `gate_every`-th ends with a gate, none where that is 0."""

    batch_size: int
    gate_every: int
    in_memory = True

    def at(self, position: int) -> Batch:
        number = position // self.batch_size + 1
        gated = bool(self.gate_every) and number % self.gate_every == 0
        return {'gate' if gated else 'plain': np.zeros((), np.int32)}


class BoardGame(GameTask):
    """A network on a game that it plays against itself."""

    unit = 'moves'

    def __init__(self, config: ConfigDict):
        self.config, self.game = config, game(config.dataset)
        self.updates, self.shape, self.published = config.updates, self.game.shape, published_of(config)
        self.network = network(config)
        self._apply = network_of(self.network)

    @functools.cached_property
    def _positions(self):
        return positions_of(self.config.dataset)

    @property
    def description(self) -> dict[str, Any]:
        positions, simulations = self._positions, self.config.eval_simulations
        # Who searches more finds more: another search is another question.
        asked = f'{positions.digest} {simulations} simulations'
        return {
            'name': self.config.dataset,
            'version': version_of('pgx'),
            'fingerprint': hashlib.sha256(asked.encode()).hexdigest(),
            'num_eval': len(positions.right),
            'random_accuracy': float((positions.right.sum(1) / self._legal).mean()),
        }

    @functools.cached_property
    def _legal(self) -> np.ndarray:
        """How many moves are legal in each position."""
        moves = self._positions.moves
        state = self.game.play_all(self.game.begin(jax.random.key(0), len(moves)), jnp.int32(moves))
        return np.asarray(state.legal_action_mask.sum(1))

    def carried(self, variables: dict[str, Any], key: jax.Array) -> dict[str, Any]:
        config, state = self.config, self.game.openings(key, self.config.environments, self.config.opening_plies)
        carried = {'games': state, 'done': jnp.zeros((), jnp.int32)}
        if config.learner == 'ppo':
            return carried | {'rollout': ppo.empty_rollout(self.game, config)}
        carried['replay'] = learning.empty_replay(self.game, config)
        none = jnp.zeros((), jnp.int32)
        return carried | ({'best': variables['params'], 'gates': none, 'passed': none} if config.gate_every else {})

    def batches(self, config: ConfigDict, host: Host) -> Iterations:
        return Iterations(config.batch_size, config.gate_every)

    def forms(self, config: ConfigDict) -> Sequence[Form]:
        forward = self._forward()
        parts = [
            Part(SELF_PLAY, 1, functools.partial(self._self_play, config)),
            Part(UPDATE, config.updates, functools.partial(self._update, config), trains=True),
        ]
        share = 1 - (1 / config.gate_every if config.gate_every else 0)
        forms = [Form({'plain': ((), np.int32)}, forward, {}, share, parts=parts)]
        if config.gate_every:
            parts = [*parts, Part(GATE, 1, functools.partial(self._gate, config))]
            forms.append(Form({'gate': ((), np.int32)}, forward, {}, 1 - share, parts=parts))
        return forms

    def _self_play(self, config: ConfigDict, params: Any, carried: dict[str, Any], key: jax.Array) -> dict[str, Any]:
        done = carried['done']
        if config.learner == 'ppo':
            state, rollout = ppo.rolled_out(self.game, self._apply, config, params, carried['games'], key)
            return {'games': state, 'done': jnp.zeros_like(done), 'rollout': rollout}
        state, samples = played(self.game, self._apply, config, carried.get('best', params), carried['games'], key)
        replay = learning.added(carried['replay'], samples, done)
        return {**carried, 'games': state, 'done': done + 1, 'replay': replay}

    def _update(self, config: ConfigDict, params: Any, carried: dict[str, Any], key: jax.Array) -> tuple[Any, Any]:
        done = carried['done']
        if config.learner == 'ppo':  # `done` counts the updates since the chunk
            loss = ppo.ppo_loss(self.game, self._apply, config, params, carried['rollout'], done)
            return loss, {**carried, 'done': done + 1}
        return learning.loss_of(self.game, self._apply, config, params, carried['replay'], done, key), carried

    def _gate(self, config: ConfigDict, params: Any, carried: dict[str, Any], key: jax.Array) -> dict[str, Any]:
        best, passed = gate(self.game, self._apply, config, params, carried['best'], key)
        return {**carried, 'best': best, 'gates': carried['gates'] + 1, 'passed': carried['passed'] + passed}

    def evaluator(self, devices: Any) -> Evaluator:
        return PositionsEvaluator(self.game, self._apply, self._positions, self.config.eval_simulations, devices)

    def at_end(self, variables: Any, devices: Any, carried: Any) -> dict[str, Any] | None:
        """How many gates were passed, and the score against plain search: noisy, and never a target."""
        found = {}
        if self.config.gate_every:
            found = {'gates': int(carried['gates']), 'gates_passed': int(carried['passed']), 'dense_macs': 0}
        if self.config.match_rollouts:
            found |= self._match(variables, devices)
        return found or None

    def _match(self, variables: Any, devices: Any) -> dict[str, Any]:
        """The score of the searching network against plain Monte Carlo tree search."""
        rollouts = self.config.match_rollouts

        def ours(params):
            def action(state, key):
                return searched(
                    self.game, seeing(self._apply), 'gumbel', self.config.eval_simulations, params, state, key
                ).action

            return action

        def score(params, key):
            return match(self.game, ours(params), plain_mcts(self.game, rollouts), _MATCH_GAMES, key)

        with tracing():
            traced = jax.jit(score, out_shardings=devices.replicated).trace(variables['params'], jax.random.key(2))
        found = float(traced.lower().compile()(variables['params'], jax.random.key(2)))
        return {
            f'score_against_mcts_{rollouts}': found,
            'games': _MATCH_GAMES,
            'dense_macs': count_jaxpr(traced.jaxpr).dense_macs,
        }


def network(config: ConfigDict) -> nn.Module:
    """The network of a config."""
    options = config.model.to_dict()
    name = options.pop('name')
    return create_model(name, TASK, game(config.dataset).actions, dtype_of(config.precision), options)
