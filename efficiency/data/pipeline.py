"""The input pipeline: batches made ahead of the step that needs them, by worker processes and threads of grain."""

import functools
import gc
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from efficiency import console
from efficiency.data.batches import Batch, EvalBatches, RunBatches
from efficiency.errors import DataError
from efficiency.registration import CONFIG_FILE

# Why a worker ends that did not end by itself, by the exit code.
_ENDINGS = {
    -signal.SIGBUS: 'no room is left in /dev/shm, through which it sends batches; give it more, as by docker run '
    '--shm-size, or decode in threads with --data_workers=0',
    -signal.SIGKILL: 'it was killed, as the system does when memory runs out; fewer --data_workers need less',
}
# Batches that each worker keeps ready, and that a thread keeps ready for the evaluation.
_AHEAD = 2
_MOST_WORKERS = 16


def default_workers() -> int:
    """Worker processes for a data set that is decoded as it is needed: one a core, up to 16."""
    return min(len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1, _MOST_WORKERS)


class TrainStream:
    """The batches of a run from a step on, in order.

    What is in memory is taken when it is asked for; what must be decoded is decoded ahead by worker processes. The
    batches are the same with any number of workers, so a run's position is the number of its step alone.
    """

    def __init__(self, batches: RunBatches, first: int, stop: int, workers: int):
        """Starts the workers, with batches `first` to `stop` - 1 to make; `workers` of 0 decodes in this process."""
        self._batches, self._next = batches, first
        self._iterator = None
        if batches.in_memory or first >= stop:
            return
        import grain
        from absl import flags

        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()  # called from a program without absl's flags, of which grain reads some
        ahead = grain.MapDataset.range(first, stop).map(batches.at)
        if workers:
            _send_config_by_value()
            # Each worker takes every workers-th batch, whole, so that their number does not change what is in one.
            stream = ahead.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=1))
            options = grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=_AHEAD)
            stream = stream.mp_prefetch(options, worker_init_fn=functools.partial(_start_worker, os.getpid()))
        else:
            stream = ahead.to_iter_dataset(grain.ReadOptions(num_threads=_AHEAD, prefetch_buffer_size=_AHEAD))
        self._iterator = iter(stream)
        # Asked for before it is needed: the workers start at the first question.
        self._asker = ThreadPoolExecutor(1)
        self._coming = self._asker.submit(self._ask)

    def __next__(self) -> Batch:
        """The next batch.

        Raises:
            DamagedExample: if an example of it cannot be read.
            DataError: if a worker ended.
        """
        if self._iterator is None:
            number, self._next = self._next, self._next + 1
            return self._batches.at(number)
        batch = self._coming.result()
        if isinstance(batch, DataError):
            raise batch
        self._coming = self._asker.submit(self._ask)
        return batch

    def _ask(self) -> Batch | DataError | None:
        # Errors are made anew: the trace of those that come would hold on to memory that is shared with the workers.
        try:
            batch = next(self._iterator, None)
        except DataError as error:
            return type(error)(str(error))
        except RuntimeError as error:
            ended = re.search(r'terminated unexpectedly with exit code (-?\d+)', str(error))
            if not ended:
                raise
            return DataError(f'a data worker ended: {_ENDINGS.get(int(ended[1]), f"it crashed: {error}")}')
        except OSError:
            if problem := _nothing_can_be_shared():
                return DataError(problem)
            raise
        finally:
            _give_back_at_once()
        # Copied out of that memory, which is given back at once.
        return batch and {name: np.array(value) for name, value in batch.items()}

    def close(self) -> None:
        """Ends the workers."""
        if self._iterator is not None:
            self._asker.shutdown(cancel_futures=True)
            self._iterator.close()
            self._iterator = self._coming = None
            _give_back_at_once()
            # The iterators are in cycles, with batches among them, and the end of the process would leave those.
            gc.collect()


def _nothing_can_be_shared() -> str | None:
    """Why processes cannot be given anything in common, as semaphores are; None if they can."""
    try:
        multiprocessing.get_context('spawn').Lock()
    except OSError as error:
        return (
            'data workers cannot be started: /dev/shm, through which they send batches, cannot be written to '
            f'({error.strerror}); mend that, or decode in threads with --data_workers=0'
        )
    return None


def _give_back_at_once() -> None:
    """Has memory that was shared with workers given back where its last user lets go of it, without grain's thread.

    Where the collector of cycles ends an array and its memory together, that thread and the collector would both close
    the memory, and the thread, finding it closed, would not give it back. Starting a worker starts the thread.
    """
    from grain._src.python.ipc.shared_memory_array import SharedMemoryArray

    thread = SharedMemoryArray._del_thread_pool
    if thread:
        SharedMemoryArray._del_thread_pool = None
        thread.apply(int)  # it takes what it was given in turn


def eval_stream(batches: EvalBatches) -> Iterator[Batch]:
    """The batches of an evaluation in order; those that must be decoded are, by threads and one batch ahead."""
    if batches.split.in_memory or len(batches) == 1:
        yield from map(batches.at, range(len(batches)))
        return
    import grain

    options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=_AHEAD)
    iterator = iter(grain.MapDataset.range(len(batches)).map(batches.at).to_iter_dataset(options))
    try:
        yield from iterator
    finally:
        iterator.close()


def _send_config_by_value() -> None:
    """Makes what a config file defines known to the workers, which cannot import it: it is no module of a package."""
    import cloudpickle

    config_file = sys.modules.get(CONFIG_FILE)
    if config_file:
        cloudpickle.register_pickle_by_value(config_file)


def _start_worker(parent: int, index: int, count: int) -> None:
    """In a worker: leaves signals to the process that it works for, and ends when that ends, however it does."""
    import cv2

    console.start()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    # The workers share the cores among themselves.
    cv2.setNumThreads(1)


def _end_with(parent: int) -> None:
    # The parent's number comes from itself: it may have ended before this worker could ask.
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
