"""The two programs of a run: one optimizer step, and the evaluation of one batch."""

from collections.abc import Callable
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
from clu import metrics
from flax import linen as nn

from efficiency.data.augment import Augmentation, normalise
from efficiency.models.initializers import initialise
from efficiency.training.loss import loss_and_stats
from efficiency.training.programs import OPTIMIZER_SCOPE

Batch = dict[str, jax.Array]


@flax.struct.dataclass
class TrainState:
    """Everything that an optimizer step changes, and the key its randomness comes from.

    Attributes:
        step: int32, steps taken.
        key: (2,) uint32; step i draws from it folded with i.
    """

    step: jax.Array
    key: jax.Array
    params: Any
    batch_stats: Any
    opt_state: optax.OptState


def init_state(model: nn.Module, optimizer: optax.GradientTransformation, seed: int, image_size: int) -> TrainState:
    """The state before the first step."""
    init_key, step_key = jax.random.split(jax.random.key(seed))
    variables = initialise(model, init_key, image_size)
    return TrainState(
        step=np.zeros((), np.int32),
        key=np.asarray(jax.random.key_data(step_key)),
        params=variables['params'],
        batch_stats=variables.get('batch_stats', {}),
        opt_state=jax.jit(optimizer.init)(variables['params']),
    )


def make_train_step(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    augment: Augmentation,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Callable[[TrainState, Batch], tuple[TrainState, jax.Array]]:
    """One optimizer step: (state, {'image' (n, h, w, c) uint8, 'label' (n,)}) -> (state, mean loss of the batch)."""

    def train_step(state, batch):
        key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
        augment_key, dropout_key = jax.random.split(key)
        images = normalise(augment(augment_key, batch['image']), mean, std)

        def loss_fn(params):
            return loss_and_stats(model, params, state.batch_stats, images, batch['label'], dropout_key)

        (loss, batch_stats), gradients = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
        with jax.named_scope(OPTIMIZER_SCOPE):
            updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        state = state.replace(step=state.step + 1, params=params, batch_stats=batch_stats, opt_state=opt_state)
        return state, loss

    return train_step


@flax.struct.dataclass
class Total(metrics.Metric):
    """The sum over all examples, exact where the values are integers."""

    total: jax.Array

    @classmethod
    def of(cls, values: jax.Array) -> 'Total':
        return cls(jnp.sum(values))

    def merge(self, other: 'Total') -> 'Total':
        return Total(self.total + other.total)

    def compute(self) -> jax.Array:
        return self.total


@flax.struct.dataclass
class EvalTotals(metrics.Collection):
    """Over the examples seen: how many, how many right at the first and within five guesses, and the summed loss."""

    examples: Total
    top1: Total
    top5: Total
    loss: Total


def make_eval_step(
    model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]
) -> Callable[[Any, Any, Batch], EvalTotals]:
    """The totals of one batch: (params, batch_stats, {'image', 'label', 'mask' (n,) bool}) -> EvalTotals."""

    def eval_step(params, batch_stats, batch):
        variables = {'params': params, 'batch_stats': batch_stats}
        logits = model.apply(variables, normalise(batch['image'], mean, std), train=False)
        labels, mask = batch['label'], batch['mask']
        rank = label_rank(logits, labels)
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return EvalTotals.create_collection(
            examples=Total.of(mask.astype(jnp.int32)),
            top1=Total.of((mask & (rank < 1)).astype(jnp.int32)),
            top5=Total.of((mask & (rank < 5)).astype(jnp.int32)),
            loss=Total.of(jnp.where(mask, loss, 0.0)),
        )

    return eval_step


def label_rank(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """How many classes stand before the right one: (n, classes), (n,) -> (n,) int32.

    Of equal logits the lower class stands first, so that a network that says nothing is not right by chance of
    the implementation; logits that are not finite put the label behind every rank that counts.
    """
    chosen = jnp.take_along_axis(logits, labels[:, None], axis=1)
    classes = jnp.arange(logits.shape[1])
    before = (logits > chosen) | ((logits == chosen) & (classes < labels[:, None]))
    finite = jnp.all(jnp.isfinite(logits), axis=1)
    return jnp.where(finite, jnp.sum(before, axis=1, dtype=jnp.int32), max(logits.shape[1], 5))
