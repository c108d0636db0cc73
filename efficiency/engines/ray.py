"""Runs as tasks of a Ray cluster, over whatever machines it has.

A task trains one run as a process of its own, which dies with the task's worker and so with its node; Ray tries a task
again that was lost with its node or whose run was killed. Record and log come back as the task's result, so that no
shared disk is needed; with one, a run that is tried again goes on from its checkpoint.
"""

import collections
import contextlib
import os
import pathlib
import signal
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from efficiency import records
from efficiency.engines.tasks import Event, Task, note_end, start, stop
from efficiency.errors import RunError, UserError, named
from efficiency.files import write_atomically

WHEN_STOPPED = 'its runs have been ended after saving on their machines, and the same command goes on'
_MOST_RETRIES = 3
_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_TO_ANSWER = 10
_LONGEST_LOG = 100_000
# What a task can ask its node for; TPU chips are what Ray calls a custom resource.
_OPTIONS = ('num_cpus', 'num_gpus', 'memory', 'TPU')


class RunKilled(Exception):
    """A run that was ended by a signal that nobody sent through Ray: worth another try."""


class _Back(NamedTuple):
    """What comes back from a run's machine: the files' contents, None of a record that is not there."""

    record: bytes | None
    log: bytes


def check(options: str) -> None:
    """Whether Ray is here.

    Raises:
        UserError: if it is not, or an option is not one of a task's.
    """
    import importlib.util

    if importlib.util.find_spec('ray') is None:
        raise UserError('--engine=ray needs Ray, which is not installed here: pip install ".[sweep]"')
    _resources(options)


def _resources(options: str) -> dict:
    resources = {}
    for word in options.split():
        name, _, value = word.partition('=')
        named(dict.fromkeys(_OPTIONS), 'option of a Ray task', name)
        try:
            resources[name] = float(value)
        except ValueError as error:
            raise UserError(f'--engine_options: {word} must be a number, as {name}=1') from error
    chips = resources.pop('TPU', None)
    return resources | ({'resources': {'TPU': chips}} if chips else {})


def under_way(folder: pathlib.Path) -> dict[str, str]:
    """Nothing: Ray ends the tasks of a command that has ended."""
    return {}


def run(tasks: Sequence[Task], jobs: int | None, options: str, folder: pathlib.Path) -> Iterator[Event | None]:
    """Runs tasks wherever the cluster has room, in the order given; see `efficiency.engines`.

    Raises:
        UserError: if no cluster is where RAY_ADDRESS says.
        RunError: if it cannot be joined.
    """
    import ray

    from efficiency.source import git_state

    _join()
    train = ray.remote(max_retries=_MOST_RETRIES, retry_exceptions=[RunKilled], **_resources(options))(_train)
    git = git_state()  # of the folder that is sent, without its history
    waiting, running = collections.deque(tasks), {}
    try:
        while waiting or running:
            while waiting and (jobs is None or len(running) < jobs):
                task = waiting.popleft()
                running[train.remote(task)] = task
            ended, _ = ray.wait(list(running), timeout=_SECONDS_BETWEEN_LOOKS)
            for reference in ended:
                task = running.pop(reference)
                try:
                    _keep(task, ray.get(reference), git)
                except ray.exceptions.RayError as error:
                    _note_loss(task, error)
                yield Event(task, ended=True)
            yield None
    finally:
        for reference in running:
            with contextlib.suppress(ray.exceptions.RayError):
                ray.cancel(reference)
        if running:
            ray.wait(list(running), num_returns=len(running), timeout=60)


def _join() -> None:
    """Joins the cluster of RAY_ADDRESS, else the one on this machine, else starts one of this machine alone."""
    import ray

    if ray.is_initialized():
        return
    _check_answer(os.environ.get('RAY_ADDRESS', ''))
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
    environment = {'working_dir': os.getcwd(), 'excludes': ['/.git', '/results', '/runs']}
    try:
        ray.init(runtime_env=environment, log_to_driver=False, logging_level='ERROR', include_dashboard=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise RunError(f'the Ray cluster cannot be joined: {error}') from error


def _check_answer(address: str) -> None:
    """Whether anything answers at HOST:PORT, for which Ray would wait five minutes."""
    host, _, port = address.removeprefix('ray://').rpartition(':')
    if host and port.isdigit():
        try:
            socket.create_connection((host, int(port)), _SECONDS_TO_ANSWER).close()
        except OSError as error:
            raise UserError(f'no Ray cluster answers at {address}, which RAY_ADDRESS names: {error}') from error


def _train(task: Task) -> _Back:
    """One run, on the machine where this is called; cancelled, it saves and ends."""
    process = start(task, signal.SIGKILL)
    try:
        while process.poll() is None:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    finally:
        stop([process])
        note_end(task.log, process.returncode)
    if process.returncode < 0:
        raise RunKilled(f'the run was ended by {signal.Signals(-process.returncode).name}')
    record = task.workdir / records.FILE_NAME
    log = task.log.read_bytes()[-_LONGEST_LOG:]
    return _Back(record.read_bytes() if record.exists() else None, log)


def _keep(task: Task, back: _Back, git: Mapping | None) -> None:
    """Puts what a run left on its machine where it would have left it here."""
    task.workdir.parent.mkdir(parents=True, exist_ok=True)
    task.log.write_bytes(back.log)
    if back.record is None:
        return
    task.workdir.mkdir(exist_ok=True)
    path = task.workdir / records.FILE_NAME
    write_atomically(path, back.record)
    record = records.read(path)
    records.write(task.workdir, record | {'git': record['git'] or git})


def _note_loss(task: Task, error: Exception) -> None:
    """Says in a run's log that Ray has given it up."""
    task.log.parent.mkdir(parents=True, exist_ok=True)
    reason = str(getattr(error, 'cause', None) or error).strip().splitlines()[-1]
    with open(task.log, 'a', encoding='utf-8') as log:
        print(f'efficiency: Ray has given the run up after {_MOST_RETRIES} more tries: {reason}', file=log)
    note_end(task.log, 1)
