"""What an engine is given to run, and how a run is started as a process that does not outlive who started it."""

import ctypes
import os
import pathlib
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

_PR_SET_PDEATHSIG = 1
_LAST_LINE = 'exit code '
# What SLURM adds to what a run says.
_SLURM = ('srun: ', 'slurmstepd: ')


class Task(NamedTuple):
    """One run.

    Attributes:
        name: of the run, '<system>/seed<k>'.
        options: of the main command.
        workdir: of the run, absolute.
    """

    name: str
    options: Sequence[str]
    workdir: pathlib.Path

    @property
    def log(self) -> pathlib.Path:
        """Where what the run prints is kept, all tries one after the other."""
        return self.workdir.with_name(f'{self.workdir.name}.log')

    @property
    def command(self) -> list[str]:
        """The main command."""
        return [sys.executable, '-m', 'efficiency.main', *self.options, f'--workdir={self.workdir}']


class Event(NamedTuple):
    """A task has begun, or has ended in whatever way."""

    task: Task
    ended: bool


def start(task: Task, when_parent_dies: signal.Signals) -> subprocess.Popen:
    """Starts a run in a session of its own, so that a Ctrl-C meant for its parent reaches it through its parent only.

    Args:
        when_parent_dies: sent to the run by the kernel (Linux) when the calling thread ends in whatever way.
    """
    task.log.parent.mkdir(parents=True, exist_ok=True)
    libc, parent = ctypes.CDLL(None), os.getpid()

    def tie_to_parent():
        if hasattr(libc, 'prctl'):
            libc.prctl(_PR_SET_PDEATHSIG, int(when_parent_dies))
            if os.getppid() != parent:  # which died before that
                os._exit(1)

    with open(task.log, 'a', encoding='utf-8', errors='surrogateescape') as log:
        print('+', shlex.join(task.command), file=log, flush=True)
        return subprocess.Popen(
            task.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            preexec_fn=tie_to_parent,  # noqa: PLW1509  (it allocates nothing and takes no lock)
        )  # fmt: skip


def note_end(log: pathlib.Path, code: int) -> None:
    """Ends a try in the log."""
    with open(log, 'a', encoding='utf-8') as file:
        print(f'{_LAST_LINE}{code}', file=file)


def stop(processes: Sequence[subprocess.Popen], seconds: float = 60) -> None:
    """Asks runs to save and end, and kills those that have not after so long."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class LastTry(NamedTuple):
    """What a log says of a run's last try.

    Attributes:
        code: its exit code, None while it runs or if it ended together with who started it.
        sentence: what it said last.
    """

    code: int | None
    sentence: str


def last_try(log: pathlib.Path, tail: int = 10_000) -> LastTry | None:
    """The last try in a log; None where there was none."""
    try:
        with open(log, 'rb') as file:
            file.seek(max(0, os.path.getsize(log) - tail))
            lines = file.read().decode(errors='replace').split('\n')
    except (FileNotFoundError, NotADirectoryError):
        return None
    lines = [line.strip() for line in lines if line.strip() and not line.startswith(_SLURM)]
    code = None
    if lines and lines[-1].removeprefix(_LAST_LINE).lstrip('-').isdigit():
        code = int(lines.pop().removeprefix(_LAST_LINE))
    ours = [line.removeprefix('efficiency: ') for line in lines if line.startswith('efficiency: ')]
    # A bug's last line is its exception; of an old try's nothing counts.
    last = lines[-1] if lines and not lines[-1].startswith('+ ') else ''
    return LastTry(code, ours[-1] if last.startswith('efficiency: ') else last)
