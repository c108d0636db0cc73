"""What a config comes to: its task, its plan, and the programs of both, each made once; every mistake in it found."""

import functools
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from efficiency.errors import UserError, shown
from efficiency.records import Place
from efficiency.stages import stages_of
from efficiency.tasks import open_task, outline_task, task_entry
from efficiency.tasks.task import Form, Task, plain, shapes_of
from efficiency.training import hosts
from efficiency.training.checkpoint import digest
from efficiency.training.gradients import gradients_of
from efficiency.training.mesh import DataParallel
from efficiency.training.plan import Plan, Stage, averaging_of, optimizer_of
from efficiency.training.programs import Traced, TracedPart, trace_forward, trace_train_step
from efficiency.training.settings import check_config
from efficiency.training.step import NAMES, TrainState, init_state, make_part_step, make_train_step, state_shapes
from efficiency.values import is_whole


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
        variables, first = self.task.init(init_key), self.plan.stages[0]
        _check_names(variables, self.config.task)
        carried = self._carried(variables)
        return init_state(variables, first.optimizer, step_key, first.averaging, carried, first.gradients)

    def _carried(self, variables: dict[str, Any]) -> Any:
        """What the first step is handed."""
        # 0 and 1 are what splitting it in two gives.
        key = jax.random.fold_in(jax.random.key(self.config.seed), 2)
        return jax.tree.map(np.asarray, self.task.carried(variables, key))

    @functools.cached_property
    def start(self) -> TrainState:
        """The state before the first step, on the host: as drawn, or of the weights of `config.init_from`."""
        if not self.config.init_from:
            return self.drawn
        weights = dict(self.task.weights())
        average, carried = self.plan.stages[0].averaging.init(weights), self._carried(weights)
        return self.drawn.replace(params=weights.pop('params'), extra=weights, average=average, carried=carried)

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
        state = self.devices.like(
            state_shapes(self.drawn.variables, stage.optimizer, stage.averaging, (), stage.gradients)
        )
        return state.replace(carried=self.devices.like(self.drawn.carried, carried=True))

    def put(self, state: TrainState) -> TrainState:
        """A state on the host, given to the devices."""
        carried = self.devices.put_state(state.carried, carried=True)
        return self.devices.put_state(state.replace(carried=())).replace(carried=carried)

    @functools.cached_property
    def forms(self) -> dict[Place, Form]:
        """The forms of all stages' batches."""
        return {
            (stage.number, number): form
            for stage in self.plan.stages
            for number, form in enumerate(self.task.forms(stage.config))
        }

    @functools.cached_property
    def _batches(self) -> dict[Place, dict]:  # asked for at each step
        return {place: plain(form.batch) for place, form in self.forms.items()}

    def place_of(self, stage: Stage, batch: Mapping[str, Any]) -> Place:
        """The program that takes a batch of a stage.

        Raises:
            UserError: if none does.
        """
        found = plain(shapes_of(batch))
        for place, batch_of_form in self._batches.items():
            if place[0] == stage.number and found == batch_of_form:
                return place
        raise UserError(f'the task {self.config.task} made a batch of {shown(found)}, which is none of its forms')

    def trace(self) -> dict[Place, Traced]:
        """All programs; what forms of a stage have in common is traced once."""
        parts: dict[tuple[int, str], jax.stages.Traced] = {}
        return {place: self._traced(self.plan.stages[place[0]], form, parts) for place, form in self.forms.items()}

    def _traced(self, stage: Stage, form: Form, parts: dict[tuple[int, str], jax.stages.Traced]) -> Traced:
        forward = trace_forward(form.forward, self.drawn.variables, self.config.precision)
        if not form.parts:
            return Traced([TracedPart('', 1, True, self._traced_loss(stage, form))], forward)
        for part in form.parts:
            if (stage.number, part.name) not in parts:
                step = make_part_step(part, stage.optimizer, stage.averaging, stage.gradients)
                parts[stage.number, part.name] = trace_train_step(
                    step, self.state_in(stage), {}, self.config.precision
                )  # fmt: skip
        return Traced(
            [TracedPart(part.name, part.calls, part.trains, parts[stage.number, part.name]) for part in form.parts],
            forward,
        )

    def _traced_loss(self, stage: Stage, form: Form) -> jax.stages.Traced:
        state, precision = self.state_in(stage), self.config.precision
        batch = self.devices.shapes(form.batch)
        loss = self.task.loss(stage.config)
        step = make_train_step(loss, stage.optimizer, stage.averaging, stage.gradients)
        try:
            step = trace_train_step(step, state, batch, precision)
        except (TypeError, ValueError):  # of which jax says much where the loss gives something else than it must
            self._check_loss(jax.eval_shape(loss, state.params, state.extra, batch, jax.random.key(0)), state)
            raise
        self._check_kept(state, step.out_info[0].extra)
        return step

    def _check_loss(self, found: Any, state: TrainState) -> None:
        value = found[0] if isinstance(found, tuple) and len(found) == 2 else None
        if getattr(value, 'shape', None) != () or not np.issubdtype(value.dtype, np.floating):
            raise UserError(
                f'the loss of the task {self.config.task} gives {shown(jax.tree.map(_form, found))}; it must give a '
                'number, float32 (), and the variables beside params'
            )
        self._check_kept(state, found[1])

    def _check_kept(self, state: TrainState, extra: Any) -> None:
        """Checks that the variables which a loss gives beside its value are of the form of those that it takes."""
        took, gave = (jax.tree.map(_form, each) for each in (state.extra, extra))
        if took != gave:
            raise UserError(
                f'the loss of the task {self.config.task} takes the variables {shown(took)} beside params and gives '
                f'{shown(gave)}; it must give the same names, types and shapes'
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
    task = _whole(open_task(config, data_dir), config)
    if trains:
        if config.target.value is None:
            raise UserError(f'which target on {config.dataset}? It has no preset, so pass --config.target.value')
        task.check_target()
    _check_stages(task)
    return Recipe(task, Plan(task.config, task.epoch_examples, task.updates), devices)


def outlined(
    config: ConfigDict, data_dir: str | os.PathLike | None = None, known: Mapping[str, Any] = MappingProxyType({})
) -> Task:
    """The task of a config as far as its shapes go; see `efficiency.tasks.outline_task`.

    Raises:
        UserError: for a mistake in the config, or if its data are not there.
    """
    task = outline_task(_checked(config), data_dir, known)
    _check_stages(task)
    return task


def _whole(task: Any, config: ConfigDict) -> Task:
    """A task that was opened, if it says of itself what it must."""
    if not isinstance(task, Task):
        raise UserError(f'the task {config.task} opened {type(task).__name__}; it must be a Task of efficiency.tasks')
    count, said = task.epoch_examples, task.description
    if not is_whole(count) or count < 1:
        raise UserError(
            f'epoch_examples of the task {config.task} is {shown(count)}; it must be a whole number above 0'
        )
    for key in ('name', 'version', 'fingerprint'):
        if not isinstance(said.get(key), str):
            raise UserError(
                f'the description of the task {config.task} has the {key} {shown(said.get(key))}; it must be text'
            )
    return task


def _check_stages(task: Task) -> None:
    for _, stage in stages_of(task.config) if task.config.stages else ():
        task.check_stage(stage)


def _form(leaf: Any) -> str:
    return f'{leaf.dtype} {leaf.shape}'


def _check_names(variables: Any, task: str) -> None:
    """Checks the variables that a task makes to begin with."""
    if not isinstance(variables, Mapping) or 'params' not in variables:
        found = sorted(variables) if isinstance(variables, Mapping) else type(variables).__name__
        raise UserError(f'the task {task} makes the variables {shown(found)}; they must be a dict that has params')
    for name in NAMES:
        if name != 'params' and name in variables:
            raise UserError(f'the task {task} makes variables called {name}, as training calls its own; rename them')


def _checked(config: ConfigDict) -> ConfigDict:
    config = check_config(config)
    check_names = task_entry(config.task).check_names
    for from_epoch, stage in stages_of(config):
        try:
            check_names(stage)
            optimizer_of(stage)
            averaging_of(stage, 1)
            gradients_of(stage)
        except UserError as error:
            if not config.stages:
                raise
            raise UserError(f'in the stage from epoch {from_epoch:g}, {error}') from error
    return config
