"""How a run shows how far it is: a bar on a terminal, plain lines elsewhere and in its log."""

import logging
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from efficiency.metrics import Metric

if TYPE_CHECKING:
    from efficiency.training.plan import Plan

SECONDS_BETWEEN_LINES = 30
_log = logging.getLogger('efficiency')


class Bar:
    """A bar on a terminal, with lines above it; elsewhere the lines alone."""

    def __init__(self, total: int, **options: Any):
        """`options` are tqdm's."""
        self._total = total
        self._on_terminal = sys.stderr.isatty()
        self._bar = tqdm(total=total, disable=not self._on_terminal, dynamic_ncols=True, **options)
        self._last_line = time.monotonic()

    def line(self, text: str) -> None:
        """One line above the bar."""
        self._last_line = time.monotonic()
        if self._on_terminal:
            self._bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        self._bar.close()


class Progress(Bar):
    """Shows the steps of one process's share of a run."""

    def __init__(self, done: int, plan: 'Plan'):
        super().__init__(plan.total_steps, initial=done, unit='step', smoothing=0.05)
        self._plan = plan

    def line(self, text: str) -> None:
        _log.info(text)
        super().line(text)

    def step(self, done: int, loss: float | None) -> None:
        """After a step; the loss is of the newest step that is known to be finished."""
        if self._on_terminal:
            self._bar.update(done - self._bar.n)
        if loss is None:
            return
        text = f'epoch {self._plan.examples_at(done) / self._plan.epoch_examples:.2f}, loss {loss:.4f}'
        if self._on_terminal:
            self._bar.set_description_str(text, refresh=False)
        if time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES:
            line = f'step {done} of {self._total}, {text}'
            if self._on_terminal:
                self._last_line = time.monotonic()
                _log.info(line)
            else:
                self.line(line)

    def evaluation(self, point: Mapping, target: Mapping, metrics: Mapping[str, Metric]) -> None:
        """After an evaluation; the target's metric is one of `metrics`."""
        metric = metrics[target['metric']]
        self.line(
            f'step {point["step"]} of {self._total}, epoch {point["epochs"]:.2f}: {metric.name} '
            f'{metric.text(point[metric.name])} (target {target["value"]:g}), loss {point["loss"]:.4f}, '
            f'{point["train_seconds"]:.1f} s of training'
        )
