"""The train step: what a task's loss and an optimizer make of a state and a batch."""

from collections.abc import Callable, Sequence
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax

from efficiency.tasks.task import Loss, Part
from efficiency.training.averaging import NO_AVERAGING, Averaging
from efficiency.training.gradients import Gradients, LossOfStep
from efficiency.training.programs import OPTIMIZER_SCOPE

Batch = dict[str, jax.Array]


# What a state has beside other collections of variables.
_REST = ('opt_state', 'average', 'carried', 'gradients')
NAMES = ('step', 'key', 'params', *_REST)
_WHOLE = Gradients()  # of the whole batch at once, in float32


@flax.struct.dataclass
class TrainState:
    """Everything that an optimizer step changes, and the key its randomness comes from.

    Attributes:
        step: int32, train steps taken; where a step has parts, their calls.
        key: (2,) uint32; step i draws from it folded with i.
        params: what is trained.
        extra: other collections of variables by name, as 'batch_stats', each a tree of arrays.
        opt_state: the optimizer's.
        average: of the weights (`efficiency.training.averaging`), without arrays where there is none.
        carried: what parts of steps hand on (`efficiency.tasks.task.Task.carried`), without arrays for most tasks.
        gradients: what taking them hands on (`efficiency.training.gradients`), without arrays in most runs.
    """

    step: jax.Array
    key: jax.Array
    params: Any
    extra: dict[str, Any]
    opt_state: optax.OptState
    average: Any = ()
    carried: Any = ()
    gradients: Any = ()

    @property
    def variables(self) -> dict[str, Any]:
        """{'params': ..., **extra}."""
        return {'params': self.params, **self.extra}

    @property
    def named(self) -> dict[str, Any]:
        """All of it by the names that checkpoints have: other collections stand beside the parameters."""
        rest = {name: getattr(self, name) for name in _REST}
        return {'step': self.step, 'key': self.key, **self.variables, **rest}

    def renewed(self, named: dict[str, Any]) -> 'TrainState':
        """A state of this one's structure, of arrays in the form of `named`."""
        extra = {name: named[name] for name in self.extra}
        return TrainState(extra=extra, **{name: named[name] for name in NAMES})


def init_state(
    variables: dict[str, Any],
    optimizer: optax.GradientTransformation,
    key: jax.Array,
    averaging: Averaging = NO_AVERAGING,
    carried: Any = (),
    gradients: Gradients = _WHOLE,
) -> TrainState:
    """The state before the first step, on the host.

    Args:
        variables: {'params': ..., and other collections by name}, numpy arrays.
        optimizer: whose state is new.
        key: a jax key, which every step's randomness comes from.
        averaging: of the weights.
        carried: what parts of steps hand on, numpy arrays.
        gradients: how steps take them.
    """
    extra = dict(variables)
    params = extra.pop('params')
    return TrainState(
        step=np.zeros((), np.int32),
        key=np.asarray(jax.random.key_data(key)),
        params=params,
        extra=extra,
        opt_state=jax.jit(optimizer.init)(params),
        average=averaging.init(variables),
        carried=carried,
        gradients=gradients.init(),
    )


def state_shapes(
    variables: dict[str, Any],
    optimizer: optax.GradientTransformation,
    averaging: Averaging = NO_AVERAGING,
    carried: Any = (),
    gradients: Gradients = _WHOLE,
) -> TrainState:
    """The state of variables, and of what is carried, that are shapes, as shapes."""
    extra = dict(variables)
    params = extra.pop('params')
    step, key = jax.ShapeDtypeStruct((), np.int32), jax.ShapeDtypeStruct((2,), np.uint32)
    opt_state, average = jax.eval_shape(optimizer.init, params), jax.eval_shape(averaging.init, variables)
    return TrainState(step, key, params, extra, opt_state, average, carried, jax.eval_shape(gradients.init))


def make_train_step(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    averaging: Averaging = NO_AVERAGING,
    gradients: Gradients = _WHOLE,
) -> Callable[[TrainState, Batch], tuple[TrainState, jax.Array]]:
    """One optimizer step, to be jitted: (state, batch) -> (state, loss of the batch before the step).

    Args:
        loss: see `efficiency.tasks.task.Loss`.
        optimizer: makes updates of gradients; what it multiplies is counted under its own scope.
        averaging: of the weights that it leaves.
        gradients: how they are taken.
    """

    def loss_fn(params, extra, batch, key):
        found, extra = loss(params, extra, batch, key)
        return found, {'extra': extra}

    def train_step(state, batch):
        return _optimized(state, loss_fn, batch, optimizer, averaging, gradients)

    return train_step


def _optimized(
    state: TrainState,
    loss: LossOfStep,
    batch: Batch,
    optimizer: optax.GradientTransformation,
    averaging: Averaging,
    gradients: Gradients,
) -> tuple[TrainState, jax.Array]:
    """The state after an optimizer step on a loss, and the loss."""
    key = _key_of(state)
    found = gradients.of(loss, state, batch, key)
    with jax.named_scope(OPTIMIZER_SCOPE):
        updates, opt_state = optimizer.update(found.gradients, state.opt_state, state.params)
    params = gradients.kept(optax.apply_updates(state.params, updates), key)
    after = state.replace(params=params, opt_state=opt_state, **found.new)
    after = after.replace(average=averaging.update(state.average, after.variables))
    if found.finite is not None:  # or else the step changes nothing but its own number
        after = jax.tree.map(lambda new, old: jnp.where(found.finite, new, old), after, state)
    return after.replace(step=state.step + 1, gradients=found.state), found.loss


def make_part_step(
    part: Part,
    optimizer: optax.GradientTransformation,
    averaging: Averaging = NO_AVERAGING,
    gradients: Gradients = _WHOLE,
) -> Callable[[TrainState, Batch], tuple[TrainState, jax.Array]]:
    """One call of a part, to be jitted, in the form of a train step whose batch is empty.

    The loss of a part that does not train is 0.
    """
    if not part.trains:

        def call(state, batch):
            carried = part.function(state.params, state.carried, _key_of(state))
            return state.replace(step=state.step + 1, carried=carried), jnp.zeros(())

        return call

    def train(state, batch):
        def loss_fn(params, extra, batch, key):
            found, carried = part.function(params, state.carried, key)
            return found, {'carried': carried}

        return _optimized(state, loss_fn, batch, optimizer, averaging, gradients)

    return train


def whole_step(parts: Sequence[tuple[Callable, int]]) -> Callable[[TrainState, Batch], tuple[TrainState, jax.Array]]:
    """A step of several programs as one, to be counted: each with the number of its calls."""

    def step(state, batch):
        found = jnp.zeros(())
        for function, calls in parts:
            state, losses = jax.lax.scan(lambda state, _, f=function: f(state, batch), state, length=calls)
            found = losses[-1]
        return state, found

    return step


def _key_of(state: TrainState) -> jax.Array:
    return jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
