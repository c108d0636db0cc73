"""Runs on this machine, some at a time, in the order given."""

import collections
import contextlib
import pathlib
import signal
import time
from collections.abc import Iterator, Sequence

from efficiency.engines.tasks import Event, Task, note_end, start, stop
from efficiency.errors import UserError

WHEN_STOPPED = 'what ran has saved its state, and the same command goes on'
_SECONDS_BETWEEN_LOOKS = 0.2


def check(options: str) -> None:
    """This machine is always there.

    Raises:
        UserError: for options, of which there are none.
    """
    if options:
        raise UserError('--engine_options are for --engine=slurm or ray; this machine has none')


def under_way(folder: pathlib.Path) -> dict[str, str]:
    """Nothing: runs end with the command that started them."""
    return {}


def run(tasks: Sequence[Task], jobs: int | None, options: str, folder: pathlib.Path) -> Iterator[Event | None]:
    """Runs tasks, `jobs` at a time, one by default; see `efficiency.engines`."""
    waiting, running = collections.deque(tasks), {}
    try:
        while waiting or running:
            while waiting and len(running) < (jobs or 1):
                task = waiting.popleft()
                running[task.name] = task, start(task, signal.SIGTERM)
                yield Event(task, ended=False)
            for name, (task, process) in list(running.items()):
                if process.poll() is not None:
                    del running[name]
                    note_end(task.log, process.returncode)
                    yield Event(task, ended=True)
            yield None
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    finally:
        stop([process for _, process in running.values()])
        for task, process in running.values():
            with contextlib.suppress(OSError):
                note_end(task.log, process.returncode)
