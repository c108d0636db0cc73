"""Evaluation: every example of the split exactly once."""

import jax
import numpy as np
from flax import linen as nn

from efficiency.data.batches import eval_batches
from efficiency.data.sources import Dataset
from efficiency.training.mesh import DataParallel
from efficiency.training.step import TrainState, make_eval_step


class Evaluator:
    """Evaluates a network on the whole evaluation split, once `compile` has been called."""

    def __init__(self, model: nn.Module, dataset: Dataset, batch_size: int, devices: DataParallel):
        """`batch_size` is rounded up to a multiple of the devices, and down to what the split needs."""
        self._split = dataset.eval
        self._devices = devices
        count = devices.mesh.size
        self._batch_size = -(-min(batch_size, len(self._split)) // count) * count
        self._step = jax.jit(make_eval_step(model, dataset.mean, dataset.std))
        self._compiled = None

    def compile(self, state: TrainState) -> None:
        """Compiles the evaluation of a batch."""
        batch = self._put(next(self._batches()))
        self._compiled = self._step.lower(state.params, state.batch_stats, batch).compile()

    def __call__(self, state: TrainState) -> dict[str, float]:
        """Mean loss, and the shares right at the first guess and within five: {'loss', 'top1', 'top5'}."""
        totals = None
        for batch in self._batches():
            update = self._compiled(state.params, state.batch_stats, self._put(batch))
            totals = update if totals is None else totals.merge(update)
        counts = jax.tree.map(np.asarray, totals.compute())
        examples = int(counts['examples'])
        if examples != len(self._split):
            raise AssertionError(f'evaluated {examples} examples of a split of {len(self._split)}')
        # In float64, so that a share of exactly the target is not a rounding below it.
        return {name: float(counts[name]) / examples for name in ('loss', 'top1', 'top5')}

    def _batches(self):
        return eval_batches(self._split, self._batch_size)

    def _put(self, batch):
        return self._devices.put_batch(batch)
