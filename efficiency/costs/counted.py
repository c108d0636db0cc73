"""What is to be counted, from shapes: a network alone, and the stages of a recipe."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from efficiency.flops import Count, count, count_jaxpr
from efficiency.layers import ops
from efficiency.stages import stages_of
from efficiency.tasks.networks import alone
from efficiency.tasks.task import Form, Forward, Task
from efficiency.training.gradients import gradients_of
from efficiency.training.plan import averaging_of, optimizer_of
from efficiency.training.recipe import outlined
from efficiency.training.step import make_part_step, make_train_step, state_shapes, whole_step

Shapes = Any


@dataclasses.dataclass(frozen=True)
class Counted:
    """A network's forward pass over one example and a train step over a batch, as functions and shapes.

    Attributes:
        task: the name of the domain.
        network: the module, None where there is none.
        variables: its parameters and other collections, as shapes.
        pass_over_one: its forward pass over one example, as in evaluation.
        evaluation: the jaxpr of that pass; None where it has to be traced.
        step: (state, batch) -> the new state or gradients, and the loss.
        state, batch: what it takes, as shapes; the leaves of `batch` have the examples first.
        batch_size: how many examples a step takes.
        sizes: what else a table says of it, as {'image_size': 224}.
        precision: as in `config.precision`, which a compiler is asked for.
        trains: whether what the step gives is the next state.
        stage: of a run in stages, what tells this one from others: {'from_epoch': 5.0, 'batch_size': 64}.
        share: of its stage's steps that are such.
    """

    task: str
    network: nn.Module | None
    variables: Shapes
    pass_over_one: Forward
    evaluation: Any
    step: Callable
    state: Shapes
    batch: dict[str, jax.ShapeDtypeStruct]
    batch_size: int
    sizes: Mapping[str, Any]
    precision: str = 'float32'
    trains: bool = False
    stage: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    share: float = 1.0

    @functools.cached_property
    def params(self) -> int:
        """How many parameters."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.variables['params']))

    @functools.cached_property
    def forward(self) -> Count:
        """Of one example, as in evaluation."""
        if self.evaluation is not None:
            return count_jaxpr(self.evaluation)
        with ops.override('stock'):
            return count(self.pass_over_one.function, self.variables, *self.pass_over_one.inputs)

    @functools.cached_property
    def train(self) -> Count:
        """Of the step, over its batch."""
        # Traced in the one formulation that is counted, in a fraction of the time that all of them take.
        with ops.override('stock'):
            return count(self.step, self.state, self.batch)


def counted_network(
    name: str, batch_size: int = 1, options: Mapping[str, Any] = MappingProxyType({}), **sizes: Any
) -> Counted:
    """A network of any task and a step without an optimizer: forward and backward of the network and its loss.

    Args:
        name, batch_size, options, sizes: see `efficiency.tasks.networks.alone`.

    Raises:
        UserError: if there is no such network, or not of that size.
    """
    task, found = alone(name, batch_size, options, **sizes)
    extra = dict(found.variables)
    state = {'params': extra.pop('params'), 'extra': extra, 'key': jax.ShapeDtypeStruct((2,), jnp.uint32)}

    def step(state, batch):
        key = jax.random.wrap_key_data(state['key'])

        def loss(params):
            return found.loss(params, state['extra'], batch, key)

        return jax.value_and_grad(loss, has_aux=True)(state['params'])

    batch = {name: jax.ShapeDtypeStruct(*each) for name, each in found.batch.items()}
    return Counted(
        task, found.network, found.variables, found.forward, found.evaluation, step, state, batch, batch_size,
        found.sizes,
    )  # fmt: skip


def counted_recipe(config: ConfigDict, known: Mapping[str, Any] = MappingProxyType({})) -> Counted:
    """The very train step of a recipe's first stage; see `counted_stages`."""
    return counted_stages(outlined(config, known=known))[0]


def counted_stages(task: Task) -> Sequence[Counted]:
    """The very train steps of a recipe's programs: their precision, network, augmentation and optimizer.

    Of a stage whose batches have several forms there is one for each.

    Args:
        task: of the recipe, `efficiency.training.recipe.outlined` at least.
    """
    variables, evaluation = task.outline()
    return [
        _of_form(task, *stage, form, variables, evaluation)
        for stage in stages_of(task.config)
        for form in task.forms(stage[1])
    ]


def counted_evaluation(task: Task) -> Count:
    """The forward pass over one example as evaluated, which is under the config's own keys in every stage."""
    variables, evaluation = task.outline()
    return _of_form(task, 0.0, task.config, task.forms(task.config)[0], variables, evaluation).forward


def _of_form(
    task: Task, from_epoch: float, config: ConfigDict, form: Form, variables: Shapes, evaluation: Any
) -> Counted:
    optimizer, averaging, gradients = optimizer_of(config), averaging_of(config, 1), gradients_of(config)
    stage = {'from_epoch': from_epoch, 'batch_size': config.batch_size} if config.stages else {}
    carried = jax.eval_shape(task.carried, variables, jax.random.key(0))
    if form.parts:
        batch = {}
        step = whole_step([(make_part_step(part, optimizer, averaging, gradients), part.calls) for part in form.parts])
    else:
        batch = {name: jax.ShapeDtypeStruct(*each) for name, each in form.batch.items()}
        step = make_train_step(task.loss(config), optimizer, averaging, gradients)
    return Counted(
        task.config.task, task.network, variables, form.forward, None if stage else evaluation,
        step, state_shapes(variables, optimizer, averaging, carried, gradients), batch,
        config.batch_size, form.settings, task.config.precision, trains=True, stage=stage, share=form.share,
    )  # fmt: skip
