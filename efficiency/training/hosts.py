"""The hosts of a run: the processes that train one network together, each with devices of its own.

The one place that knows of hosts. Host 0 leads: it alone writes, shows and decides, and tells the others, so that they
need no disk in common. Before `start`, and on a machine alone, there is one host, and nothing here costs anything.
"""

import glob
import importlib.util
import json
import os
import pathlib
import platform
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from efficiency import backend, console
from efficiency.errors import RunError, UserError, shown
from efficiency.training import rendezvous
from efficiency.training.store import Store
from efficiency.training.watch import HEARTBEAT_SECONDS, Watch, worded

# Of jax's own waits; its heartbeat is the second to notice, and ends a process by an abort.
_CONNECT_SECONDS, _SHUTDOWN_SECONDS = 20, 30
_JAX_HEARTBEAT_SECONDS = HEARTBEAT_SECONDS + 20
# What launchers set where a process is one of several.
_SEVERAL = ('SLURM_NTASKS', 'OMPI_COMM_WORLD_SIZE', 'MEGASCALE_NUM_SLICES')
_TPU_HOSTS = ('TPU_PROCESS_ADDRESSES', 'TPU_WORKER_HOSTNAMES')
# A day: whoever comes later than that will not come.
_LONGEST_WAIT = 86_400
_TPU_DEVICES = ('/dev/accel[0-9]*', '/dev/vfio/[0-9]*')


class HostLost(RunError):
    """Another host ended, and this one cannot go on without it.

    Attributes:
        failed: whether the run failed, for a reason that the other host gave, and was not only cut off.
    """

    def __init__(self, end: dict[str, Any]):
        super().__init__(worded(end))
        self.exit_code = end['code']
        self.failed = end['host'] is not None and end['code'] == 1


class _Place(NamedTuple):
    coordinator: str
    count: int
    index: int
    local_device_ids: list[int] | None = None


class _Cluster:
    """The hosts there are, seen from this one, once it has joined them: the process is one of them or none.

    Attributes:
        told, met: how often host 0 told the others something, and all met: the same on each.
    """

    def __init__(self):
        self.store: Store | None = None
        self.watch: Watch | None = None
        self.told = self.met = 0

    def __bool__(self) -> bool:
        return self.watch is not None


_cluster = _Cluster()


def start(config: ConfigDict, coordinator: str | None, num_hosts: int | None, host: int | None, seconds: float) -> None:
    """Joins the other hosts, if there are others: by these numbers, or as SLURM, Open MPI, GKE or a TPU VM say.

    Call it before jax is asked for anything. A process that is alone returns at once.

    Args:
        config: the run's, which is to be the same on every host, as are all versions.
        coordinator: HOST:PORT of host 0, the same on every host.
        num_hosts, host: how many there are, and this one's number. All three or none; `num_hosts` of 1 alone keeps a
            process alone, whatever is detected.
        seconds: how long to wait for the others.

    Raises:
        UserError: for a mistake in the numbers, if the others do not come, or if they differ; on every host that came.
    """
    place = _place(coordinator, num_hosts, host, seconds)
    if place is None:
        return
    # Before they meet, as each may take its time for it.
    from importlib import metadata

    backend.check_settings()

    import jax
    from jax._src import distributed  # its key-value store has no public name

    versions = {name: metadata.version(name) for name in ('jax', 'jaxlib')}
    rendezvous.meet(place.coordinator, place.count, place.index, seconds, versions)
    # Where to stop at a signal is agreed on by our own watch, also while nothing is trained.
    jax.config.update('jax_enable_preemption_service', False)
    # jax itself would wait for longer, and end with an abort.
    lost = threading.Timer(_CONNECT_SECONDS, _lost_on_the_way)
    lost.start()
    try:
        jax.distributed.initialize(
            place.coordinator, place.count, place.index, place.local_device_ids,
            cluster_detection_method='deactivate', initialization_timeout=2 * _CONNECT_SECONDS,
            heartbeat_timeout_seconds=_JAX_HEARTBEAT_SECONDS, shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
        )  # fmt: skip
    except RuntimeError as error:
        raise UserError(f'jax cannot join the other hosts: {str(error).splitlines()[0]}') from error
    finally:
        lost.cancel()
    _cluster.store = Store(distributed.global_state.client)
    _cluster.store.add(_machine())
    _cluster.watch = Watch(_cluster.store, place.index, place.count, place.coordinator)
    _cluster.watch.start()
    # Libraries tell there who is connected.
    os.dup2(2, 1)
    from efficiency.training import provenance

    agree(lambda: {'config': config.to_dict(), 'versions': provenance.versions()})


def _lost_on_the_way() -> None:
    console.say('a host was lost before all were connected; start them all again')
    os._exit(1)


def _place(coordinator: str | None, num_hosts: int | None, host: int | None, seconds: float) -> _Place | None:
    """Where this process stands among the others; None if it is alone."""
    given = {'--coordinator': coordinator, '--num_hosts': num_hosts, '--host': host}
    missing = [name for name, value in given.items() if value is None]
    if not 1 <= seconds <= _LONGEST_WAIT:
        raise UserError(f'--wait_for_hosts={seconds:g}: it must be from 1 to {_LONGEST_WAIT:,} seconds')
    if num_hosts is not None and num_hosts < 1:
        raise UserError(f'--num_hosts={num_hosts}: there is at least one host')
    if num_hosts == 1 and host in (None, 0):
        return None
    if len(missing) == len(given):
        return _detected(seconds)
    if missing:
        raise UserError(f'{" and ".join(missing)} must be given too: a run over several hosts needs {", ".join(given)}')
    if host < 0:
        raise UserError(f'--host={host}: hosts are numbered from 0')
    rendezvous.parse_address(coordinator)
    return _Place(coordinator, num_hosts, host)


def _detected(seconds: float) -> _Place | None:
    """What the launcher says, by jax's own detection, which is asked only where there may be something to find."""
    sizes = [os.environ[name] for name in _SEVERAL if name in os.environ]
    several = any(size.isdecimal() and int(size) > 1 for size in sizes)
    tpu_hosts = next((os.environ[name] for name in _TPU_HOSTS if name in os.environ), None)
    # With neither list, the machine's metadata says whether it is one of several: only on a TPU VM, and with its TPU.
    tpu_vm = (
        tpu_hosts is None
        and importlib.util.find_spec('libtpu') is not None
        and 'TPU_SKIP_MDS_QUERY' not in os.environ
        and os.environ.get('JAX_PLATFORMS', 'tpu').startswith('tpu')
        and any(map(glob.glob, _TPU_DEVICES))
    )
    if not (several or ',' in (tpu_hosts or '') or tpu_vm):
        return None
    from jax._src import clusters

    try:
        found = _Place(*clusters.ClusterEnv.auto_detect_unset_distributed_params(
            None, None, None, None, None, round(seconds)
        ))  # fmt: skip
    except Exception as error:
        raise UserError(
            f'the other hosts cannot be found: {" ".join(str(error).split())}; give --coordinator, --num_hosts and '
            '--host'
        ) from error
    if found.coordinator is None or found.count is None or found.index is None:
        if os.environ.get('SLURM_STEP_NODELIST') is None and not os.environ.get('OMPI_COMM_WORLD_SIZE'):
            return None  # in a batch script, but started without srun: one process
        raise UserError(
            'this process is one of several, and its launcher does not say where the first is; give --coordinator, '
            '--num_hosts and --host'
        )
    return found if found.count > 1 else None


def _machine() -> str:
    """Names the cores that this process may use: those that share it have the same name."""
    try:
        machine = pathlib.Path('/proc/sys/kernel/random/boot_id').read_text().strip()
    except OSError:
        machine = platform.node()
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else []
    return f'cores/{machine}/{",".join(map(str, cores))}'


def count() -> int:
    """How many hosts there are."""
    return _cluster.watch.count if _cluster else 1


def index() -> int:
    """This host's number, from 0."""
    return _cluster.watch.index if _cluster else 0


def leads() -> bool:
    """Whether this is the host that writes, shows and decides."""
    return index() == 0


def sharing_these_cores() -> int:
    """How many hosts, this one included, are processes of this machine on the same cores."""
    if not _cluster:
        return 1
    meet()  # all have been counted
    return int(_cluster.store.wait(_machine()))


def meet() -> None:
    """Waits for all hosts to come here."""
    if _cluster:
        _cluster.met += 1
        _cluster.store.barrier(f'meeting/{_cluster.met}')


def tell(say: Callable[[], Any]) -> Any:
    """What host 0 says, on every host.

    Args:
        say: called on host 0 alone; gives something small that JSON can hold.
    """
    if not _cluster:
        return say()
    _cluster.told += 1
    key = f'told/{_cluster.told}'
    if leads():
        value = say()
        _cluster.store.put(key, json.dumps(value))
        return value
    return json.loads(_cluster.store.wait(key))


def hand_out(data: bytes | None) -> bytes:
    """What host 0 has, however large, on every host; the others' is not looked at."""
    if not _cluster:
        return data
    import numpy as np
    from jax.experimental import multihost_utils

    size = tell(lambda: len(data))
    mine = np.frombuffer(data, np.uint8) if leads() else np.zeros(size, np.uint8)
    return multihost_utils.broadcast_one_to_all(mine, is_source=leads()).tobytes()


def agree(say: Callable[[], dict[str, Any]]) -> None:
    """Checks that every host has what host 0 has.

    Args:
        say: gives facts by name; dicts are compared key by key. Not called on a host alone.

    Raises:
        UserError: on a host that differs, which names where; the other hosts end with the same sentence.
    """
    if not _cluster:
        return
    from flax import traverse_util

    # As JSON gives it back, as what comes from host 0.
    ours = json.loads(json.dumps(traverse_util.flatten_dict(say(), sep='.')))
    theirs = tell(lambda: ours)
    differ = [key for key in sorted(ours.keys() | theirs.keys()) if ours.get(key) != theirs.get(key)]
    if differ:
        each = [f'{key} ({shown(ours.get(key))} there, {shown(theirs.get(key))} on host 0)' for key in differ[:3]]
        more = f' and {len(differ) - 3} more' if len(differ) > 3 else ''
        raise UserError(
            f'host {index()} differs from host 0 in {", ".join(each)}{more}; start every host by the same command, '
            'with the same versions and data'
        )
    meet()


class _Signals:
    """Of a host alone: notes a signal to stop, and nothing else comes in between."""

    def __init__(self):
        self._signal: int | None = None
        self._previous = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}

    def _note(self, number, frame):
        self._signal = number

    def asked_to_stop(self) -> int | None:
        return self._signal

    def finished_step(self) -> None:
        pass

    def expect_step(self) -> None:
        pass

    def give_back(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)


@contextmanager
def training(
    phase: Callable[[], str | None], step_seconds: float, before_end: Callable[[dict[str, Any]], None]
) -> Iterator[Any]:
    """While steps are taken: gives `asked_to_stop()`, the signal to stop at here or None.

    It is told by `finished_step()`, and by `expect_step()` where a step was begun or something else is over.
    With several hosts they stop at the same place, whichever had the signal, if all ask at the same places.

    Args:
        phase: what this host is at, of `efficiency.training.clock.PHASES`; a step is expected while it trains.
        step_seconds: the longest that a step may be thought to take before one was taken.
        before_end: called on host 0, in another thread, with what ended the run elsewhere, if it does not come out by
            itself: what is to be kept is to be written then.
    """
    if not _cluster:
        signals = _Signals()
        try:
            yield signals
        finally:
            signals.give_back()
        return
    _cluster.watch.training(phase, step_seconds, before_end)
    try:
        yield _cluster.watch
    finally:
        _cluster.watch.trained()


@contextmanager
def losses_explained() -> Iterator[None]:
    """Turns what jax says when another host is gone into what became of that host.

    Raises:
        HostLost: if another host ended the run.
    """
    try:
        yield
    except RuntimeError as error:
        import jax

        if not _cluster or not isinstance(error, jax.errors.JaxRuntimeError):
            raise
        if end := _cluster.watch.cause():
            raise HostLost(end) from error
        if 'Gloo context initialization failed' in str(error) and 'onnect' in str(error):
            raise RunError(
                'the hosts cannot connect to one another: on each, its own name must resolve to an address that the '
                f'others reach, not to 127.0.0.1 or 127.0.1.1 ({shown(str(error))})'
            ) from error
        raise


def leave(code: int, sentence: str) -> None:
    """On one of several hosts: ends them all with that exit code and sentence, and does not return."""
    if _cluster:
        _cluster.watch.leave(code, sentence)


def finish(code: int) -> None:
    """The end of the command: on several hosts, ends each with that exit code, and none before the others are there."""
    if _cluster:
        meet()
        _cluster.watch.finish(code)
