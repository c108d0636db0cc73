"""Evaluation: every example of the split exactly once, and what that took."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from efficiency.data.batches import EvalBatches, Split, shapes_of_batch
from efficiency.data.pipeline import eval_stream
from efficiency.errors import UserError, shown
from efficiency.flops import count_jaxpr, tracing

Scores = Callable[[dict[str, Any], dict[str, jax.Array]], dict[str, jax.Array]]


class Evaluated(NamedTuple):
    """What an evaluation found.

    Attributes:
        metrics: 'loss' and the task's metrics.
        examples: how many were evaluated.
        dense_macs: what all of it multiplied, by the dense convention: every pass that it took, and nothing of the
            copies that fill up a last batch.
    """

    metrics: dict[str, float]
    examples: int
    dense_macs: int


class Evaluator(Protocol):
    """Evaluates a task's network."""

    def compile(self, variables: Any) -> None:
        """Compiles what an evaluation runs; `variables` are arrays on the devices, or their shapes."""

    def __call__(self, variables: Any, stopped: Callable[[], bool] = lambda: False) -> Evaluated | None:
        """Evaluates; asks `stopped` now and then, and gives None once that says yes."""


class ScoresEvaluator:
    """Evaluates a network by the mean of what each example gets, once `compile` has been called."""

    def __init__(self, scores: Scores, names: Iterable[str], split: Split, batch_size: int, devices: Any):
        """`batch_size` is rounded up to a multiple of the devices, and down to what the split needs.

        Args:
            scores: see `efficiency.tasks.task.DataTask.scores`.
            names: what they must be, beside 'loss'.
            split: what is evaluated on.
            batch_size: examples that are evaluated together.
            devices: see `efficiency.training.mesh.DataParallel`.
        """
        self._devices, self._names = devices, {'loss', *names}
        count = devices.mesh.size
        self._batches = EvalBatches(split, -(-min(batch_size, len(split)) // count) * count, devices.host)
        # What comes out is whole on every host.
        self._totals = jax.jit(_totals_of(self._checked(scores)), out_shardings=devices.replicated)
        self._compiled: Any = None
        self._macs = 0

    def compile(self, variables: Any) -> None:
        size = self._batches.batch_size
        shapes = shapes_of_batch(self._batches.split.shapes, size)
        batch = self._devices.shapes({**shapes, 'mask': ((size,), bool)})
        with tracing():
            traced = self._totals.trace(variables, batch)
        self._macs = count_jaxpr(traced.jaxpr).dense_macs
        if not self._macs:
            raise UserError('the scores multiply no matrices and convolve nothing: there is nothing to count')
        self._compiled = traced.lower().compile()

    def _checked(self, scores: Scores) -> Scores:
        """The scores, told while they are traced if they are not what they must be."""

        def checked(variables, batch):
            found = scores(variables, batch)
            count = len(next(iter(batch.values())))
            names = found.keys() if isinstance(found, Mapping) else ()
            if names != self._names or any(getattr(each, 'shape', None) != (count,) for each in found.values()):
                wanted = ', '.join(sorted(self._names))
                shapes = {name: getattr(found[name], 'shape', type(found[name]).__name__) for name in names}
                raise UserError(
                    f'the scores of {count} examples are {shown(shapes or type(found).__name__)}; they must be '
                    f'{wanted}, ({count},) each'
                )
            return found

        return checked

    def __call__(self, variables: Any, stopped: Callable[[], bool] = lambda: False) -> Evaluated | None:
        totals = None
        for batch in eval_stream(self._batches):
            found = self._compiled(variables, self._devices.put_batch(batch))
            totals = found if totals is None else jax.tree.map(jnp.add, totals, found)
            if stopped():
                return None
        counts = jax.tree.map(np.asarray, totals)
        examples = int(counts.pop('examples'))
        if examples != len(self._batches.split):
            raise AssertionError(f'evaluated {examples} examples of a split of {len(self._batches.split)}')
        # In float64, so that a share of exactly the target is not a rounding below it.
        metrics = {name: float(total) / examples for name, total in counts.items()}
        return Evaluated(metrics, examples, examples * self._macs // self._batches.batch_size)


def _totals_of(scores: Scores) -> Callable[[Any, dict[str, jax.Array]], dict[str, jax.Array]]:
    """The totals of one batch: (variables, {..., 'mask' (n,) bool}) -> sums over the examples that are no copies."""

    def totals(variables, batch):
        mask = batch['mask']
        found = scores(variables, {name: array for name, array in batch.items() if name != 'mask'})
        whole = {name: each.astype(jnp.int32) if each.dtype == bool else each for name, each in found.items()}
        sums = {name: jnp.sum(jnp.where(mask, each, 0)) for name, each in whole.items()}
        return {'examples': jnp.sum(mask.astype(jnp.int32)), **sums}

    return totals
