"""Processes of the main command, forked where that can be from one that has imported it, which takes 1.5 seconds."""

import atexit
import multiprocessing
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

from tests.conftest import ROOT

_IMPORTED = ['efficiency.main', 'efficiency.training.loop', 'efficiency.tasks.images.task', 'efficiency.summary']
_fork = multiprocessing.get_context('forkserver')
_fork.set_forkserver_preload(_IMPORTED)
# What is read where Python starts, or where these modules are imported.
_READ_AT_START = ('JAX_', 'PYTHON')


# With this in its environment a process is none that was forked, and has loaded what the command alone loads.
NOT_FORKED = {'PYTHONHASHSEED': '0'}


def _read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_READ_AT_START)}


_BEGAN_WITH = _read_at_start(os.environ)


def _run(args: Sequence[str], environment: Mapping[str, str], output: str, errors: str) -> None:
    """What `python -m efficiency.main` does, in a process that has just been forked."""
    for number, path in ((1, output), (2, errors)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    sys.argv = [str(ROOT / 'efficiency' / 'main.py'), *args]
    from efficiency import console, main

    console.start(outlives=True)
    try:
        main.run()
    finally:
        sys.stdout.flush()
        atexit._run_exitfuncs()  # which multiprocessing leaves out


def start_main(
    args: Sequence[str],
    env: Mapping[str, str] | None = None,
    cwd: pathlib.Path = ROOT,
    folder: pathlib.Path | None = None,
) -> 'subprocess.Popen | Forked':
    """Starts `python -m efficiency.main`.

    Args:
        args: of the command.
        env: what its environment has beyond this process's. Where Python itself is to read that, none is forked.
        cwd: where it is started.
        folder: gets what it says, in the files `out` and `err`. By default `communicate` has it.
    """
    environment = os.environ | (env or {})
    if _read_at_start(environment) == _BEGAN_WITH and cwd == ROOT:
        return Forked(args, environment, folder)
    command = [sys.executable, '-m', 'efficiency.main', *args]
    if not folder:
        return subprocess.Popen(command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with open(folder / 'out', 'w') as out, open(folder / 'err', 'w') as err:
        return subprocess.Popen(command, cwd=cwd, env=environment, stdout=out, stderr=err)


class Forked:
    """A process of the main command, with what the tests use of subprocess.Popen."""

    def __init__(self, args: Sequence[str], environment: Mapping[str, str], folder: pathlib.Path | None):
        self._own = None if folder else tempfile.mkdtemp()
        self._files = [pathlib.Path(folder or self._own, name) for name in ('out', 'err')]
        for file in self._files:
            file.touch()
        self._process = _fork.Process(target=_run, args=([*args], dict(environment), *map(str, self._files)))
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired('efficiency.main', timeout)
        return self.poll()

    def communicate(self, timeout: float | None = None) -> tuple[bytes, bytes]:
        """Its output and its errors, once it has ended."""
        self.wait(timeout)
        said = tuple(file.read_bytes() for file in self._files)
        if self._own:
            shutil.rmtree(self._own)
        return said

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
