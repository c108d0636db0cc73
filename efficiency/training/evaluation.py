"""Evaluation: every example of the split exactly once."""

from collections.abc import Callable

import jax
import numpy as np
from flax import linen as nn

from efficiency.data.batches import EvalBatches
from efficiency.data.datasets import Dataset
from efficiency.data.pipeline import eval_stream
from efficiency.training.mesh import DataParallel
from efficiency.training.programs import multiplying
from efficiency.training.step import TrainState, make_eval_step


class Evaluator:
    """Evaluates a network on the whole evaluation split, once `compile` has been called."""

    def __init__(self, model: nn.Module, dataset: Dataset, batch_size: int, devices: DataParallel, precision: str):
        """`batch_size` is rounded up to a multiple of the devices, and down to what the split needs.

        `precision` is that of the config.
        """
        self._precision = precision
        self._devices = devices
        count = devices.mesh.size
        batch_size = -(-min(batch_size, len(dataset.eval)) // count) * count
        self._batches = EvalBatches(dataset.eval, batch_size, devices.host)
        # What comes out is whole on every host.
        self._step = jax.jit(make_eval_step(model, dataset.mean, dataset.std), out_shardings=devices.replicated)
        self._compiled = None

    def compile(self, state: TrainState) -> None:
        """Compiles the evaluation of a batch."""
        batch = self._devices.batch_shapes(self._batches.batch_size, self._batches.split.image_shape)
        batch['mask'] = jax.ShapeDtypeStruct(batch['label'].shape, bool, sharding=self._devices.split)
        with multiplying(self._precision):
            lowered = self._step.lower(state.params, state.batch_stats, batch)
        self._compiled = lowered.compile()

    def __call__(self, state: TrainState, stopped: Callable[[], bool] = lambda: False) -> dict[str, float] | None:
        """Mean loss, and the shares right at the first guess and within five: {'loss', 'top1', 'top5'}.

        `stopped` is asked after each batch; None is returned once it says yes.
        """
        totals = None
        for batch in eval_stream(self._batches):
            update = self._compiled(state.params, state.batch_stats, self._devices.put_batch(batch))
            totals = update if totals is None else totals.merge(update)
            if stopped():
                return None
        counts = jax.tree.map(np.asarray, totals.compute())
        examples = int(counts['examples'])
        if examples != len(self._batches.split):
            raise AssertionError(f'evaluated {examples} examples of a split of {len(self._batches.split)}')
        # In float64, so that a share of exactly the target is not a rounding below it.
        return {name: float(counts[name]) / examples for name in ('loss', 'top1', 'top5')}
