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

    def __init__(self, done: int, plan: 'Plan', unit: str | None = None):
        """`unit` is what examples are called where they have no end, by which the bar goes then."""
        self._plan, self._unit = plan, unit
        options = {'unit': f' {unit}', 'unit_scale': True} if unit else {'unit': 'step'}
        super().__init__(self._amount(plan.total_steps), initial=self._amount(done), smoothing=0.05, **options)

    def _amount(self, steps: int) -> int:
        return self._plan.examples_at(steps) if self._unit else steps

    def _place(self, examples: int) -> str:
        if self._unit:
            return f'{examples:,} {self._unit}'
        return f'epoch {examples / self._plan.epoch_examples:.2f}'

    def line(self, text: str) -> None:
        _log.info(text)
        super().line(text)

    def step(self, done: int, loss: float | None) -> None:
        """After a step; the loss is of the newest step that is known to be finished."""
        if self._on_terminal:
            self._bar.update(self._amount(done) - self._bar.n)
        if loss is None:
            return
        text = f'{self._place(self._plan.examples_at(done))}, loss {loss:.4f}'
        if self._on_terminal:
            self._bar.set_description_str(text, refresh=False)
        if time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES:
            line = f'step {done} of {self._plan.total_steps}, {text}'
            if self._on_terminal:
                self._last_line = time.monotonic()
                _log.info(line)
            else:
                self.line(line)

    def evaluation(self, point: Mapping, target: Mapping, metrics: Mapping[str, Metric]) -> None:
        """After an evaluation; the target's metric is one of `metrics`."""
        metric = metrics[target['metric']]
        self.line(
            f'step {point["step"]} of {self._plan.total_steps}, {self._place(point["examples"])}: {metric.name} '
            f'{metric.text(point[metric.name])} (target {target["value"]:g}), loss {point["loss"]:.4f}, '
            f'{point["train_seconds"]:.1f} s of training'
        )
