"""The input pipeline: the same batches with any number of workers, from any position, and no process left behind."""

import collections
import contextlib
import gc
import importlib.util
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time
from multiprocessing import shared_memory

import numpy as np
import pytest

from efficiency.data.batches import BatchSpan, EvalBatches, RunBatches, TrainBatches
from efficiency.data.pipeline import TrainStream, eval_stream
from efficiency.errors import RunError
from efficiency.tasks.images.data import Examples, Source
from efficiency.tasks.images.data.datasets import load
from efficiency.tasks.images.data.splits import DamagedExample, StoredSplit
from tests.conftest import ROOT


@pytest.fixture
def photographs(tfds_dir):
    return load('imagenet_sample', ('validation', 'validation'), 48, tfds_dir)


def numbered(batches):
    return RunBatches([BatchSpan(0, 0, batches.batch_size, batches)])


def train_batches(data):
    return numbered(TrainBatches(data.train, 40, seed=3, augmented_on_host=True))


@pytest.mark.parametrize('workers', [0, 1, 2])
def test_a_stream_is_the_batches_in_order_with_any_number_of_workers(photographs, workers):
    batches = train_batches(photographs)
    first = 5  # the middle of an epoch's end: batch 6 runs on into the next
    stream = TrainStream(batches, first, first + 3, workers)
    try:
        for number in range(first, first + 3):
            ours, expected = next(stream), batches.at(number)
            for name in expected:
                np.testing.assert_array_equal(ours[name], expected[name])
    finally:
        stream.close()


def test_each_example_is_cropped_anew_in_each_epoch_and_as_its_place_says(photographs):
    batches = TrainBatches(photographs.train, 250, seed=3, augmented_on_host=True)
    images, again = batches.at(0), batches.at(250)
    one, other = (batch['image'][np.argsort(batch['label'])] for batch in (images, again))
    assert sorted(images['label']) == sorted(again['label'])
    assert (one != other).any(axis=(1, 2, 3)).mean() > 0.95
    halves = TrainBatches(photographs.train, 125, seed=3, augmented_on_host=True)
    np.testing.assert_array_equal(halves.at(125)['image'], images['image'][125:])


def test_an_evaluation_streams_each_example_once(photographs):
    labels = [batch['label'][batch['mask']] for batch in eval_stream(EvalBatches(photographs.eval, 64))]
    assert np.concatenate(labels).tolist() == list(range(0, 1000, 4))


_WORKING = """
import time
from efficiency.data.batches import BatchSpan, RunBatches, TrainBatches
from efficiency.tasks.images.data.datasets import load
from efficiency.data.pipeline import TrainStream

if __name__ == '__main__':
    data = load('imagenet_sample', ('validation', 'validation'), 48)
    batches = RunBatches([BatchSpan(0, 0, 40, TrainBatches(data.train, 40, 0, True))])
    stream = TrainStream(batches, 0, 10**6, 2)
    if WAIT:
        next(stream)
    print('ready', flush=True)
    time.sleep(60)
"""


def children(pid):
    found = []
    for path in pathlib.Path('/proc').glob('[0-9]*/stat'):
        with contextlib.suppress(OSError):
            if int(path.read_text().rsplit(')', 1)[1].split()[1]) == pid:
                found.append(int(path.parent.name))
    return found


def alive(pid):
    status = pathlib.Path(f'/proc/{pid}/stat')
    return status.exists() and status.read_text().rsplit(')', 1)[1].split()[0] != 'Z'


@pytest.fixture(params=[True, False], ids=['at work', 'starting'])
def working(request, tfds_dir, tmp_path):
    """A process with two data workers, whether they are at work."""
    script = tmp_path / 'working.py'
    script.write_text(_WORKING.replace('WAIT', str(request.param)))
    environment = os.environ | {'PYTHONPATH': str(ROOT)}
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, env=environment)
    assert process.stdout.readline() == b'ready\n'
    yield process, request.param
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.skipif(sys.platform != 'linux', reason='looks into /proc')
def test_workers_end_with_the_process_they_work_for_however_it_ends(working):
    process, at_work = working
    while len(workers := children(process.pid)) < 3:  # with the one that keeps track of what they share
        time.sleep(0.01)
    if at_work:
        for worker in workers:
            os.kill(worker, signal.SIGINT)  # as Ctrl-C does to the whole group
        time.sleep(0.5)
        assert all(map(alive, workers))
    process.kill()
    deadline = time.monotonic() + 20
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(alive, workers))


def test_a_worker_that_is_killed_is_said_in_one_sentence(photographs):
    stream = TrainStream(train_batches(photographs), 0, 10**6, 1)
    try:
        next(stream)
        for worker in multiprocessing.active_children():
            worker.kill()
        with pytest.raises(RunError, match='it was killed, as the system does when memory runs out'):
            collections.deque((next(stream) for _ in range(20)), maxlen=0)
    finally:
        stream.close()


class _DamagedAtTheFifth:
    """Batches of no data set, of which one cannot be made."""

    in_memory = False

    def at(self, number):
        if number == 4:
            raise DamagedExample('the fifth')
        return {'image': np.full((8, 4, 4, 3), number, np.uint8)}


@pytest.mark.skipif(sys.platform != 'linux', reason='looks into /dev/shm')
@pytest.mark.parametrize('workers', [1, 2])
def test_a_failed_stream_gives_shared_memory_back_whenever_the_collector_runs(workers, monkeypatch):
    close = shared_memory.SharedMemory.close
    taken = set()

    def slow_close(self):  # so that two threads that would close one piece of memory meet
        taken.add(self.name)
        if self._buf is not None:
            time.sleep(0.05)
            self._buf.release()
            self._buf = None
        close(self)

    monkeypatch.setattr(shared_memory.SharedMemory, 'close', slow_close)
    stream = TrainStream(_DamagedAtTheFifth(), 0, 10, workers)
    try:
        with pytest.raises(DamagedExample, match='the fifth'):
            collections.deque((next(stream) for _ in range(10)), maxlen=0)
        gc.collect()
    finally:
        stream.close()
    assert len(taken) >= 4
    assert not taken & set(os.listdir('/dev/shm'))


_CONFIG_FILE = """
class Lazy:
    def __len__(self):
        return 4

    def __getitem__(self, index):
        import numpy as np

        return np.full((5 + index, 9, 3), index, np.uint8)
"""


def test_what_a_config_file_defines_is_known_to_the_workers(tmp_path, monkeypatch):
    # As ml_collections loads it: under a name that no worker can import.
    path = tmp_path / 'mine.py'
    path.write_text(_CONFIG_FILE)
    spec = importlib.util.spec_from_file_location('config_config', path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, 'config_config', module)
    spec.loader.exec_module(module)
    source = Source(4, {'train': Examples(module.Lazy(), [0, 1, 2, 3])})
    stream = TrainStream(numbered(TrainBatches(StoredSplit(source.splits['train'], source, 8), 4, 0)), 0, 1, 1)
    try:
        batch = next(stream)
    finally:
        stream.close()
    assert batch['image'].max(axis=(1, 2, 3)).tolist() == batch['label'].tolist()
