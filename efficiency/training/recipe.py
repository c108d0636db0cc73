"""What a config comes to: its task, its plan, and the programs of both, each made once; every mistake in it found."""

import functools
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from efficiency.stages import stages_of
from efficiency.tasks import open_task, outline_task, task_entry
from efficiency.tasks.task import Task
from efficiency.training import hosts
from efficiency.training.checkpoint import digest
from efficiency.training.mesh import DataParallel
from efficiency.training.plan import Plan, Stage, averaging_of, optimizer_of
from efficiency.training.programs import trace_forward, trace_train_step
from efficiency.training.settings import check_config
from efficiency.training.step import TrainState, init_state, make_train_step, state_shapes


class Traced(NamedTuple):
    """The traces of a stage: of its train step, and of the forward pass that the paper's convention counts."""

    step: jax.stages.Traced
    forward: jax.stages.Traced


class Recipe:
    """A run before its first step.

    Attributes:
        config: the task's, with what it left to the data.
        task: what is trained, on what.
        plan: in which steps.
        devices: on which.
    """

    def __init__(self, task: Task, plan: Plan, devices: DataParallel):
        self.config, self.task, self.plan, self.devices = task.config, task, plan, devices

    @functools.cached_property
    def drawn(self) -> TrainState:
        """The state of the values that the seed draws, on the host."""
        init_key, step_key = jax.random.split(jax.random.key(self.config.seed))
        first = self.plan.stages[0]
        return init_state(self.task.init(init_key), first.optimizer, step_key, first.averaging)

    @functools.cached_property
    def start(self) -> TrainState:
        """The state before the first step, on the host: as drawn, or of the weights of `config.init_from`."""
        if not self.config.init_from:
            return self.drawn
        weights = dict(self.task.weights())
        average = self.plan.stages[0].averaging.init(weights)
        return self.drawn.replace(params=weights.pop('params'), extra=weights, average=average)

    def let_go(self) -> None:
        """Frees the state before the first step, once the devices have it."""
        for name in ('drawn', 'start'):
            self.__dict__.pop(name, None)

    def agree(self, name: str, arrays: Any) -> None:
        """Checks that every host has the same data, and the same arrays, which are called by a name.

        Raises:
            UserError: if not.
            DataError: if an example that must be read for it is damaged.
        """
        if hosts.count() > 1:
            self.task.check_readable()  # or it would be said that hosts differ, where an example is damaged on one
        hosts.agree(lambda: {'the data': self.task.description['fingerprint'], name: digest(arrays)})

    def state_in(self, stage: Stage) -> TrainState:
        """The shapes of a stage's state, on the devices."""
        return self.devices.like(state_shapes(self.drawn.variables, stage.optimizer, stage.averaging))

    def trace(self) -> list[Traced]:
        """The programs of each stage."""
        return [self._traced(stage) for stage in self.plan.stages]

    def _traced(self, stage: Stage) -> Traced:
        state, precision = self.state_in(stage), self.config.precision
        batch = self.devices.shapes(self.task.batch_shapes(stage.config))
        step = make_train_step(self.task.loss(stage.config), stage.optimizer, stage.averaging)
        return Traced(
            trace_train_step(step, state, batch, precision),
            trace_forward(self.task.forward(stage.config), state.variables, precision),
        )


def opened(config: ConfigDict, data_dir: str | os.PathLike | None, trains: bool = True) -> Recipe:
    """What a config comes to, all mistakes in it found.

    Args:
        config: see `configs/common.py`.
        data_dir: see `efficiency.tasks.open_task`.
        trains: whether it is to be trained to its target.

    Raises:
        UserError: for a mistake in the config, or if its data are not there.
        DataError: if an example that must be read for it is damaged.
    """
    config = _checked(config)
    # Names and divisions are checked before large data are read.
    devices = DataParallel(config.batch_size)
    for _, stage in stages_of(config):
        devices.check(stage.batch_size)
    task = open_task(config, data_dir)
    if trains:
        task.check_target()
    for _, stage in stages_of(task.config) if config.stages else ():
        task.check_stage(stage)
    return Recipe(task, Plan(task.config, task.epoch_examples), devices)


def outlined(
    config: ConfigDict, data_dir: str | os.PathLike | None = None, known: Mapping[str, Any] = MappingProxyType({})
) -> Task:
    """The task of a config as far as its shapes go; see `efficiency.tasks.outline_task`.

    Raises:
        UserError: for a mistake in the config, or if its data are not there.
    """
    return outline_task(_checked(config), data_dir, known)


def _checked(config: ConfigDict) -> ConfigDict:
    config = check_config(config)
    check_names = task_entry(config.task).check_names
    for _, stage in stages_of(config):
        check_names(stage)
        optimizer_of(stage)
        averaging_of(stage, 1)
    return config
