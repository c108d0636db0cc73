"""How a study shows how far it is: a bar on a terminal, plain lines elsewhere."""

import math
import time
from collections.abc import Sequence

from efficiency.engines.tasks import Task, last_try
from efficiency.studies.state import Folders, State
from efficiency.training.progress import SECONDS_BETWEEN_LINES, Bar


class Progress(Bar):
    """Shows the runs of one start of a study."""

    def __init__(self, total: int, folders: Folders):
        super().__init__(total, unit='run')
        self._folders = folders
        self._ended = 0
        self._running: dict[str, Task] = {}

    def __enter__(self) -> 'Progress':
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def begin(self, macs: Sequence[float]) -> None:
        """Before the first: the most train macs of each run, infinite where they could not be counted."""
        known = [each for each in macs if each < math.inf]
        most = f', {sum(known):.3g} train macs at the most' if known else ''
        unknown = f', {len(macs) - len(known)} of unknown compute' if len(known) < len(macs) else ''
        self.line(f'{self._total} run{"s" if self._total != 1 else ""} to make in {self._folders.runs}{most}{unknown}')

    def started(self, task: Task, stopped: str | None) -> None:
        """A run has begun, or goes on with where it was stopped, in words."""
        self._running[task.name] = task
        self.line(f'{task.name} goes on, stopped {stopped}' if stopped else f'{task.name} has begun')

    def ended(self, task: Task, state: State) -> None:
        self._running.pop(task.name, None)
        self._ended += 1
        self._bar.update()
        self.line(f'{task.name}: {state.status}, {state.detail} ({self._ended} of {self._total})')

    def look(self) -> None:
        """While nothing begins or ends: what the runs said last."""
        every = 1 if self._on_terminal else SECONDS_BETWEEN_LINES
        if time.monotonic() - self._last_line < every:
            return
        self._last_line = time.monotonic()
        if not self._running and self._ended < self._total:
            self.line(f'{self._ended} of {self._total} runs have ended')
        for task in self._running.values():
            tried = last_try(task.log)
            if tried and tried.sentence:
                text = f'{task.name}: {tried.sentence}'
                if self._on_terminal:
                    self._bar.set_description_str(text[:60])
                else:
                    self.line(text)
