"""The train step: what a task's loss and an optimizer make of a state and a batch."""

from collections.abc import Callable
from typing import Any

import flax
import jax
import numpy as np
import optax

from efficiency.tasks.task import Loss
from efficiency.training.averaging import NO_AVERAGING, Averaging
from efficiency.training.programs import OPTIMIZER_SCOPE

Batch = dict[str, jax.Array]


# What a state has beside other collections of variables.
NAMES = ('step', 'key', 'params', 'opt_state', 'average')


@flax.struct.dataclass
class TrainState:
    """Everything that an optimizer step changes, and the key its randomness comes from.

    Attributes:
        step: int32, steps taken.
        key: (2,) uint32; step i draws from it folded with i.
        params: what is trained.
        extra: other collections of variables by name, as 'batch_stats', each a tree of arrays.
        opt_state: the optimizer's.
        average: of the weights (`efficiency.training.averaging`), without arrays where there is none.
    """

    step: jax.Array
    key: jax.Array
    params: Any
    extra: dict[str, Any]
    opt_state: optax.OptState
    average: Any = ()

    @property
    def variables(self) -> dict[str, Any]:
        """{'params': ..., **extra}."""
        return {'params': self.params, **self.extra}

    @property
    def named(self) -> dict[str, Any]:
        """All of it by the names that checkpoints have: other collections stand beside the parameters."""
        rest = {'opt_state': self.opt_state, 'average': self.average}
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
) -> TrainState:
    """The state before the first step, on the host.

    Args:
        variables: {'params': ..., and other collections by name}, numpy arrays.
        optimizer: whose state is new.
        key: a jax key, which every step's randomness comes from.
        averaging: of the weights.
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
    )


def state_shapes(
    variables: dict[str, Any], optimizer: optax.GradientTransformation, averaging: Averaging = NO_AVERAGING
) -> TrainState:
    """The state of variables that are shapes, as shapes."""
    extra = dict(variables)
    params = extra.pop('params')
    step, key = jax.ShapeDtypeStruct((), np.int32), jax.ShapeDtypeStruct((2,), np.uint32)
    opt_state, average = jax.eval_shape(optimizer.init, params), jax.eval_shape(averaging.init, variables)
    return TrainState(step, key, params, extra, opt_state, average)


def make_train_step(
    loss: Loss, optimizer: optax.GradientTransformation, averaging: Averaging = NO_AVERAGING
) -> Callable[[TrainState, Batch], tuple[TrainState, jax.Array]]:
    """One optimizer step, to be jitted: (state, batch) -> (state, loss of the batch before the step).

    Args:
        loss: see `efficiency.tasks.task.Loss`.
        optimizer: makes updates of gradients; what it multiplies is counted under its own scope.
        averaging: of the weights that it leaves.
    """

    def train_step(state, batch):
        key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)

        def loss_fn(params):
            return loss(params, state.extra, batch, key)

        (found, extra), gradients = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
        with jax.named_scope(OPTIMIZER_SCOPE):
            updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        state = state.replace(step=state.step + 1, params=params, extra=extra, opt_state=opt_state)
        return state.replace(average=averaging.update(state.average, state.variables)), found

    return train_step
