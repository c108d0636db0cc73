"""What the watch over hosts concludes from what they say, and how hosts find one another: without any run."""

import json
import signal
import socket
import threading
import time

import pytest

from efficiency.errors import UserError
from efficiency.training import rendezvous, watch
from efficiency.training.watch import Watch
from tests.training.several import free_port


class Table(dict):
    """A store in this process."""

    def put(self, key, value):
        self[key] = value

    def put_once(self, key, value):
        return self.setdefault(key, value)

    def all(self, folder):
        return {key.removeprefix(folder): value for key, value in self.items() if key.startswith(folder)}


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(watch, 'time', clock)
    return clock


@pytest.fixture
def watches(clock):
    store = Table()
    return [Watch(store, index, 3, '10.0.0.1:8476') for index in range(3)]


def beat(watches, number):
    """All say how they are, and host 0 hears it."""
    lead = watches[0]
    for each in watches:
        lead._store.put(f'beat/{each.index}', json.dumps(each._state() | {'beat': number}))
    lead._note_beats(lead._store.all('beat/'))


def begin(watches, phases):
    for each in watches:
        each.training(lambda index=each.index: phases[index], 0.1, lambda end: None)


def test_an_evaluation_of_any_length_is_no_stuck_step(watches, clock):
    phases = ['train'] * 3
    begin(watches, phases)
    for each in watches:
        clock.now += 0.1
        each.finished_step()
    phases[:] = ['evaluation'] * 3
    clock.now += 600
    beat(watches, 1)
    assert watches[0]._what_is_wrong(clock.now) is None
    # One is through with it, and the others soon are.
    for index, each in enumerate(watches):
        phases[index] = 'train'
        each.expect_step()
        clock.now += 40
        beat(watches, 2 + index)
        assert watches[0]._what_is_wrong(clock.now) is None
    # Then somebody does not go on, and the evaluation has not made anybody more patient.
    watches[0]._position = watches[2]._position = 7
    clock.now += 30
    beat(watches, 5)
    assert 'host 1 hung: no step was finished for' in watches[0]._what_is_wrong(clock.now)


def test_a_slow_disk_is_waited_for_and_slow_steps_make_patient(watches, clock):
    phases = ['checkpoint', 'train', 'train']
    begin(watches, phases)
    clock.now += 500
    beat(watches, 1)
    assert watches[0]._what_is_wrong(clock.now) is None
    phases[0] = 'train'
    for each in watches:
        each.expect_step()
    clock.now += 20
    for each in watches:
        each.finished_step()  # of 20 s
    clock.now += 190
    beat(watches, 2)
    assert watches[0]._what_is_wrong(clock.now) is None
    clock.now += 20
    beat(watches, 3)
    assert 'no host is behind the others' in watches[0]._what_is_wrong(clock.now)


def test_a_first_step_that_must_be_slow_is_waited_for(watches, clock):
    for each in watches:
        each.training(lambda: 'train', 30.0, lambda end: None)
    clock.now += 290
    beat(watches, 1)
    assert watches[0]._what_is_wrong(clock.now) is None
    clock.now += 20
    beat(watches, 2)
    assert 'no step was finished for 310 s' in watches[0]._what_is_wrong(clock.now)


def test_a_host_that_never_said_a_word_is_named(watches, clock):
    clock.now += 31
    beat(watches[:2], 1)
    assert watches[0]._what_is_wrong(clock.now).startswith('host 2 was not heard of for 30 s')


def test_a_silent_host_is_named_sooner_where_a_connection_is_lost(watches, clock):
    beat(watches, 1)
    clock.now += 29
    assert watches[0]._what_is_wrong(clock.now) is None
    beat(watches[:2], 2)
    clock.now += 2
    assert watches[0]._what_is_wrong(clock.now).startswith('host 2 was not heard of for 30 s')
    watches[1]._broken = True
    clock.now += 2
    beat(watches[:2], 3)
    assert watches[0]._what_is_wrong(clock.now).startswith('the connection to host 2 is lost')


def test_hosts_stop_after_the_one_that_is_furthest_and_a_lost_signal_is_said_again(watches):
    for each, position in zip(watches, (4, 6, 5), strict=True):
        each._position = position
    store, cut = watches[0]._store, {1}

    def put_once(key, value, put_once=store.put_once):
        if cut:
            cut.clear()
            raise RuntimeError('the network is cut')
        return put_once(key, value)

    store.put_once = put_once
    watches[1]._signals = type('Signals', (), {'recv': lambda self, size: bytes([signal.SIGTERM])})()
    watch_select, watch.select.select = watch.select.select, lambda *args: ([watches[1]._signals], [], [])
    try:
        watches[1]._hear_signals()
        assert 'all/stop' not in store
        watches[1]._hear_signals()
    finally:
        watch.select.select = watch_select
    for _ in range(3):
        for each in watches:
            each._told = {key: json.loads(value) for key, value in store.all('all/').items()}
            each._agree_on_stop()
    stops = []
    for each in watches:
        while each.asked_to_stop() is None:
            assert each._position < 20
        stops.append(each._position)
    assert stops == [7, 7, 7]


def meet_in_threads(port, came, seconds=20):
    """Hosts, (number, when) each; gives what became of each, None where it met the others."""
    outcomes = [None] * len(came)

    def host(place, index, after):
        time.sleep(after)
        try:
            rendezvous.meet(f'127.0.0.1:{port}', 3, index, seconds, {'jax': '1'})
        except UserError as error:
            outcomes[place] = str(error)

    threads = [threading.Thread(target=host, args=(place, *each)) for place, each in enumerate(came)]
    for thread in threads:
        thread.start()
    return threads, outcomes


def come_and_go(port, index):
    """A host that says its number, of three, and is gone."""
    with socket.create_connection(('127.0.0.1', port)) as gone:
        words = {'protocol': 'efficiency 1', 'index': index, 'count': 3, 'versions': {'jax': '1'}}
        gone.sendall(json.dumps(words).encode() + b'\n')
        time.sleep(0.2)


def test_a_host_that_was_started_again_while_others_were_awaited_is_no_second_one():
    port = free_port()
    threads, outcomes = meet_in_threads(port, [(0, 0.0), (1, 1.5), (2, 1.5)])
    time.sleep(0.5)
    come_and_go(port, 1)  # killed
    for thread in threads:
        thread.join()
    assert outcomes == [None] * 3


@pytest.mark.parametrize(
    'words', [b'[' * 4000, b'{"protocol": "efficiency 1", "index": Infinity}', b'{}', b'GET /', b'']
)
def test_strays_at_the_port_are_let_go_of(words):
    port = free_port()
    threads, outcomes = meet_in_threads(port, [(0, 0.0), (1, 1.0), (2, 1.0)])
    time.sleep(0.5)
    with socket.create_connection(('127.0.0.1', port)) as stray:
        stray.sendall(words + b'\n')
    for thread in threads:
        thread.join()
    assert outcomes == [None] * 3


def test_a_host_that_came_and_went_did_not_come():
    port = free_port()
    threads, outcomes = meet_in_threads(port, [(0, 0.0)], seconds=3)
    time.sleep(0.5)
    come_and_go(port, 1)
    come_and_go(port, 2)
    threads[0].join()
    assert outcomes[0].startswith('of 3 hosts 1, 2 did not come')


def test_another_version_of_jax_is_told_before_it_is_asked():
    port = free_port()
    outcomes = {}

    def host(index, version):
        try:
            rendezvous.meet(f'127.0.0.1:{port}', 2, index, 10, {'jax': version})
        except UserError as error:
            outcomes[index] = str(error)

    threads = [threading.Thread(target=host, args=each) for each in ((0, '0.10.2'), (1, '0.12.0'))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == dict.fromkeys((0, 1), 'host 1 has jax 0.12.0 and host 0 has jax 0.10.2')
