"""Processes that help a report: they read records and draw figures while it works out the rest."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from efficiency.errors import RunError

T, R = TypeVar('T'), TypeVar('R')
# Each has some 100 MiB of libraries, and more of them than this would wait for the report.
_MOST = 3


@contextlib.contextmanager
def helpers() -> Iterator[Executor | None]:
    """Other processes, one less than there are cores; None where there is one core.

    A script that asks for them must do so under `if __name__ == '__main__':`.

    Raises:
        RunError: if one was killed.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    if cores < 2:
        yield None
        return
    # Of threads that a program may have, a fork would copy the locks and not the threads.
    pool = ProcessPoolExecutor(min(cores - 1, _MOST), multiprocessing.get_context('spawn'), _begin)
    pool.submit(os.getpid)  # begins them, as they take a while to
    try:
        yield pool
    except BrokenProcessPool as error:
        raise RunError('a process that helps the report was killed, perhaps for want of memory') from error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """Leaves it to the report when to end, and ends with it, however that is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)


def shared(pool: Executor | None, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """What a function gives of each item, in their order, found by the helpers and by this process, too."""
    if pool is None:
        yield from map(function, items)
        return
    asked = [pool.submit(function, item) for item in items]
    # They begin with the first, and what they have not begun with is done here from the last.
    own = []
    for item, future in zip(reversed(items), reversed(asked), strict=True):
        if not future.cancel():
            break
        own.append(function(item))
    for future in asked[: len(asked) - len(own)]:
        yield future.result()
    yield from reversed(own)
