"""Evaluation of language models: every window of the held-out documents, and what all of them come to."""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from efficiency.data.batches import EvalBatches, shapes_of_batch
from efficiency.data.pipeline import eval_stream
from efficiency.flops import count_jaxpr, tracing
from efficiency.tasks.evaluation import Evaluated
from efficiency.tasks.language.data.rows import Windows
from efficiency.tasks.language.loss import token_scores

# (nats of all tokens that were asked for, tokens, how many of a text were the likeliest) -> metrics by name.
Metrics = Callable[[float, int, int], Mapping[str, float]]


class WindowsEvaluator:
    """Evaluates a network on windows, once `compile` has been called."""

    def __init__(
        self,
        network: nn.Module,
        windows: Windows,
        text: range,
        documents: int,
        batch_size: int,
        devices: Any,
        of: Metrics,
    ):
        """`batch_size` is rounded up to a multiple of the devices, and down to what there is.

        Args:
            network: of the task.
            windows: what is evaluated on.
            text: which tokens are of a text.
            documents: how many they are of, the examples of an evaluation.
            batch_size: windows that are evaluated together.
            devices: see `efficiency.training.mesh.DataParallel`.
            of: makes the metrics.
        """
        self._windows, self._documents, self._devices, self._of = windows, documents, devices, of
        count = devices.mesh.size
        size = -(-min(batch_size, len(windows.split)) // count) * count
        self._batches = EvalBatches(windows.split, size, devices.host)
        # What comes out is whole on every host.
        self._scores = jax.jit(functools.partial(token_scores, network, text), out_shardings=devices.replicated)
        self._compiled: Any = None
        self._macs = 0

    def compile(self, variables: Any) -> None:
        batch = self._devices.shapes(shapes_of_batch(self._windows.split.shapes, self._batches.batch_size))
        with tracing():
            traced = self._scores.trace(variables, batch)
        self._macs = count_jaxpr(traced.jaxpr).dense_macs
        self._compiled = traced.lower().compile()

    def __call__(self, variables: Any, stopped: Callable[[], bool] = lambda: False) -> Evaluated | None:
        found = []
        for batch in eval_stream(self._batches):
            given = {name: array for name, array in batch.items() if name != 'mask'}
            found.append(self._compiled(variables, self._devices.put_batch(given)))
            if stopped():
                return None
        windows = len(self._windows.split)
        rows = np.concatenate([np.asarray(each, np.float64) for each in found])[:windows]
        nats, right = math.fsum(rows[:, 0]), round(math.fsum(rows[:, 1]))
        metrics = self._of(nats, int(self._windows.counts.sum()), right)
        return Evaluated(dict(metrics), self._documents, windows * self._macs // self._batches.batch_size)
