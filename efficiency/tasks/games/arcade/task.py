"""MinAtar's games as a task: what a step calls, and what it hands on."""

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
from efficiency.layers.precision import dtype_of
from efficiency.tasks.evaluation import Evaluator
from efficiency.tasks.games.arcade import q_learning, rollout
from efficiency.tasks.games.arcade.evaluation import ReturnEvaluator
from efficiency.tasks.games.arcade.screen import arcade
from efficiency.tasks.games.needs import version_of
from efficiency.tasks.games.networks import create_model
from efficiency.tasks.games.published import published_of
from efficiency.tasks.games.task import GameTask
from efficiency.tasks.task import Form, Part

TASK = 'arcade_games'
PLAY, UPDATE = 'play', 'update'


class Steps(NamedTuple):
    """Which form each step has: none learns before there are `warm_up` frames."""

    warm_up: int
    in_memory = True

    def at(self, position: int) -> Batch:
        return {'warm_up' if position < self.warm_up else 'plain': np.zeros((), np.int32)}


class ArcadeGame(GameTask):
    """A network on a game of MinAtar."""

    unit = 'frames'

    def __init__(self, config: ConfigDict):
        self.config, self.game = config, arcade(config.dataset, config.sticky)
        self.updates, self.shape, self.published = config.updates, self.game.shape, published_of(config)
        self.network = network(config)

    def _apply(self, params: Any, screens: jax.Array) -> Any:
        return self.network.apply({'params': params}, screens, train=False)

    @property
    def description(self) -> dict[str, Any]:
        # The mean of fewer games scatters more, and is sooner above a level by chance.
        episodes = self.config.eval_episodes
        rules = f'{version_of("gymnax")} {self.game.name}, sticky {self.config.sticky:g}, {episodes} games'
        return {
            'name': self.config.dataset,
            'version': version_of('gymnax'),
            'fingerprint': hashlib.sha256(rules.encode()).hexdigest(),
            'num_eval': episodes,
        }

    def carried(self, variables: dict[str, Any], key: jax.Array) -> dict[str, Any]:
        config = self.config
        carried = {'games': self.game.begin(key, config.environments), 'frames': jnp.zeros((), jnp.int32)}
        if config.learner == 'dqn':
            carried['replay'] = q_learning.empty_replay(self.game, config)
            return carried | ({'target': variables['params']} if config.target_every else {})
        return carried | {'rollout': rollout.empty_rollout(self.game, config), 'done': jnp.zeros((), jnp.int32)}

    def batches(self, config: ConfigDict, host: Host) -> Steps:
        return Steps(config.warm_up)

    def forms(self, config: ConfigDict) -> Sequence[Form]:
        forward = self._forward()
        plays = q_learning.explored if config.learner == 'dqn' else rollout.rolled_out
        play = Part(PLAY, 1, functools.partial(plays, self.game, self._apply, config))
        update = Part(UPDATE, config.updates, functools.partial(self._update, config), trains=True)
        forms = [Form({'plain': ((), np.int32)}, forward, parts=[play, update])]
        if config.warm_up:
            share = min(1.0, config.warm_up / (config.num_epochs * self.epoch_examples))
            forms = [
                forms[0]._replace(share=1 - share), Form({'warm_up': ((), np.int32)}, forward, {}, share, parts=[play])
            ]  # fmt: skip
        return forms

    def _update(self, config: ConfigDict, params: Any, carried: dict[str, Any], key: jax.Array) -> tuple[Any, Any]:
        if config.learner == 'dqn':
            return q_learning.q_loss(self.game, self._apply, config, params, carried, key), carried
        done = carried['done']
        loss = rollout.rollout_loss(self.game, self._apply, config, params, carried['rollout'], done)
        return loss, {**carried, 'done': done + 1}

    def evaluator(self, devices: Any) -> Evaluator:
        """By the best action; PPO's, which learns how likely each should be, by drawing."""

        def choose(params, screens, key):
            found = self._apply(params, screens)
            if self.config.learner == 'ppo':
                return jax.random.categorical(key, found[0]).astype(jnp.int32)
            return found.argmax(1).astype(jnp.int32)

        return ReturnEvaluator(self.game, choose, self.config.eval_episodes, devices)


def network(config: ConfigDict) -> nn.Module:
    """The network of a config.

    Raises:
        UserError: if there is none such.
    """
    options = config.model.to_dict()
    name = options.pop('name')
    return create_model(name, TASK, arcade(config.dataset, config.sticky).actions, dtype_of(config.precision), options)
