"""What a run leaves in its folder and shows on the terminal as it goes: by host 0, and by no other."""

import contextlib
import functools
import logging
import math
import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax

from efficiency import records
from efficiency.errors import Stopped
from efficiency.summary import summary
from efficiency.training import hosts
from efficiency.training.checkpoint import Checkpoints
from efficiency.training.evaluation_log import EvaluationLog
from efficiency.training.progress import Progress
from efficiency.training.run import Run

_log = logging.getLogger('efficiency')
# Between two evaluations a run that takes long is saved as often.
_SECONDS_BETWEEN_CHECKPOINTS = 600


def _by_host_0(method: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(method)
    def where_it_leads(*args, **kwargs):
        if hosts.leads():
            method(*args, **kwargs)

    return where_it_leads


class RunWriter:
    """Writes record, evaluations and checkpoints of a run, and shows how far it is; on other hosts it does nothing."""

    def __init__(self, run: Run, workdir: pathlib.Path, checkpoints: Checkpoints | None, logs: Sequence[str]):
        """`checkpoints` is None on hosts other than host 0; `logs` are as of `efficiency.training.loop.train`."""
        self._run, self._workdir, self._checkpoints, self._logs = run, workdir, checkpoints, logs
        self._records = records.Writer(workdir)
        self._written_at, self._write_seconds = -math.inf, 0.0
        self._saved, self._saved_at, self._save_seconds = run.saved_place, time.monotonic(), 0.0
        self._opened = contextlib.ExitStack()

    @_by_host_0
    def open(self) -> None:
        """The first that is written and shown."""
        run = self._run
        self._opened.callback(self._checkpoints.close)
        self._progress = Progress(run.steps, run.plan, run.task.unit)
        self._opened.callback(self._progress.close)
        self._log = EvaluationLog(self._workdir, run.config, run.curve, self._logs, self._progress.line)
        self._opened.callback(self._close_log)
        self.record('running')
        on = f', on {hosts.count()} hosts' if hosts.count() > 1 else ''
        self._progress.line(f'training: {run.steps} of {run.plan.total_steps} steps are done{on}')

    @_by_host_0
    def step(self, loss: float | None) -> None:
        """Shows a step; the loss is of the newest that is known to be finished."""
        self._progress.step(self._run.steps, loss)

    @_by_host_0
    def evaluation(self, point: dict[str, Any]) -> None:
        """Writes and shows a new point of the curve."""
        self._log.write(point)
        self._progress.evaluation(point, self._run.target, self._run.metrics)

    def save_due(self) -> bool:
        """Whether so much was trained since the newest checkpoint that it would be a pity to lose."""
        return hosts.leads() and time.monotonic() - self._saved_at > _SECONDS_BETWEEN_CHECKPOINTS

    @_by_host_0
    def save(self, state: Any, at_end: bool = False) -> None:
        """Record and checkpoint of where the run is now; the record takes 1 % of the time at most, its end apart.

        Raises:
            OSError: if the checkpoint before could not be written.
        """
        if at_end or time.monotonic() - self._written_at > 100 * self._write_seconds:
            self.record('running')
        place = self._run.place
        if place == self._saved or (not at_end and self._costs_too_much(state)):
            return
        before = time.monotonic()
        with self._run.clock.phase('checkpoint'):
            self._checkpoints.save(self._run.steps, state.named, self._run.progress())
        self._saved, self._saved_at = place, time.monotonic()
        self._save_seconds = self._saved_at - before

    def _costs_too_much(self, state: Any) -> bool:
        """Whether what steps hand on, as a replay, was saved just now: saving takes a twentieth of the time at most."""
        since = time.monotonic() - self._saved_at
        return bool(jax.tree.leaves(state.carried)) and since < min(
            20 * self._save_seconds, _SECONDS_BETWEEN_CHECKPOINTS
        )  # fmt: skip

    @_by_host_0
    def wait(self) -> None:
        """Until the newest checkpoint is on disk."""
        with self._run.clock.phase('checkpoint'):
            self._checkpoints.wait()

    def record(self, status: str, failure: str | None = None) -> records.Record:
        """Writes the record as of now, and returns it."""
        before = time.monotonic()
        record = self._run.record(status, failure)
        if hosts.leads():
            if records.is_finished(record):
                _log.info('%s', summary(record, self._workdir))
            self._records.write(record)
            self._written_at = time.monotonic()
            self._write_seconds = self._written_at - before
        return record

    @_by_host_0
    def until_written(self) -> None:
        """Waits for a checkpoint that is being written, as long as a slow disk may take; from any thread."""
        self._checkpoints.until_written(_SECONDS_BETWEEN_CHECKPOINTS)

    def _close_log(self) -> None:
        error = sys.exception()
        self._log.close(failed=error is not None and not isinstance(error, Stopped))

    @_by_host_0
    def close(self) -> None:
        """Ends what is shown, and the threads that write, after what they are writing."""
        self._opened.close()
