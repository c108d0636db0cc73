"""Runs of several hosts on this machine: a process each, with a folder of its own."""

import os
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from tests.conftest import ROOT
from tests.main_process import start_main


class Ended(NamedTuple):
    """A host that has ended."""

    code: int
    out: str
    errors: str
    seconds: float

    @property
    def sentences(self) -> list[str]:
        """What it said of how it ended."""
        return [line for line in self.errors.splitlines() if line.startswith('efficiency: ')]


class Host:
    """A process that is one of several hosts, its output in files of its folder."""

    def __init__(self, folder: pathlib.Path, command: Sequence[str], env: Mapping[str, str]):
        folder.mkdir(parents=True, exist_ok=True)
        self.workdir, self._folder = folder / 'run', folder
        command = [*command, f'--workdir={self.workdir}']
        begins = len(main_command())
        if command[:begins] == main_command():
            self.process = start_main(command[begins:], env, folder=folder)
            return
        with open(folder / 'out', 'w') as out, open(folder / 'err', 'w') as err:
            self.process = subprocess.Popen(command, cwd=ROOT, env=os.environ | env, stdout=out, stderr=err)

    @property
    def errors(self) -> str:
        return (self._folder / 'err').read_text()

    def wait(self, since: float, timeout: float = 300) -> Ended:
        """How it ended, and how long after `since`, of time.monotonic()."""
        code = self.process.wait(timeout)
        return Ended(code, (self._folder / 'out').read_text(), self.errors, time.monotonic() - since)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def image_tree(folder: pathlib.Path, count: int) -> pathlib.Path:
    """An ImageFolder tree of two classes, easily told apart, each of that many images a split."""
    for split in ('train', 'val'):
        for label in range(2):
            (folder / split / f'class{label}').mkdir(parents=True)
            for i in range(count):
                pixels = np.random.RandomState(i).randint(100 * label, 100 * label + 50, (40, 50, 3), np.uint8)
                cv2.imwrite(str(folder / split / f'class{label}' / f'{i:02}.jpg'), pixels)
    return folder


def free_port() -> int:
    with socket.socket() as held:
        held.bind(('127.0.0.1', 0))
        return held.getsockname()[1]


def main_command(*args: str) -> list[str]:
    return [sys.executable, '-m', 'efficiency.main', *args]


def start_hosts(
    folder: pathlib.Path, count: int, args: Sequence[str], env: Mapping[str, str] | None = None, each=None
) -> list[Host]:
    """Starts the hosts of a run.

    Args:
        folder: gets a folder for each, `host0` and so on.
        args: of the main command, but for workdir and hosts.
        env: of all; `each` maps a host's number to (more arguments, more environment) of its own.
    """
    coordinator = f'--coordinator=127.0.0.1:{free_port()}'
    hosts = []
    for i in range(count):
        more_args, more_env = (each or {}).get(i, ((), {}))
        command = main_command(*args, coordinator, f'--num_hosts={count}', f'--host={i}', *more_args)
        hosts.append(Host(folder / f'host{i}', command, (env or {}) | more_env))
    return hosts


def end_of(hosts: Sequence[Host], since: float | None = None, timeout: float = 300) -> list[Ended]:
    since = time.monotonic() if since is None else since
    try:
        return [host.wait(since, timeout) for host in hosts]
    finally:
        for host in hosts:
            host.kill()


def run_hosts(folder: pathlib.Path, count: int, args: Sequence[str], **how) -> list[Ended]:
    """Runs them to their end."""
    return end_of(start_hosts(folder, count, args, **how))


def wait_for(what, hosts: Sequence[Host], seconds: float = 180) -> None:
    """Until `what()` is true; fails, and ends the hosts, if it takes too long or one of them ends before."""
    until = time.monotonic() + seconds
    try:
        while not what():
            assert time.monotonic() < until, 'it took too long'
            for host in hosts:
                assert host.process.poll() is None, host.errors
            time.sleep(0.02)
    except AssertionError:
        for host in hosts:
            host.kill()
        raise
