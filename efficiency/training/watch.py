"""What the hosts of a run know of one another: who is alive, who is stuck, what ended the run, where to stop.

Two threads a host, beside the one that trains. One tells host 0's key-value store that this host is alive and hears
what is new there; the other judges by the clock, as the first may hang with the network. What ends a run is told there
once, by the first that knows it, so that every host ends with the same sentence.
"""

import contextlib
import json
import math
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

from efficiency import console
from efficiency.training.store import Store

HEARTBEAT_SECONDS = 30
_POLL_SECONDS = 0.5
# A host whose fellows lost their connection to it and that is silent for as long is gone.
_SILENT_SECONDS = 3
# For host 0's thread that trains to end by itself, once another host has ended the run: it may have a record to write.
_GRACE_SECONDS = 5
# For the others to hear how the run ended from host 0, whose end is that of the store too.
_TELL_SECONDS = 4 * _POLL_SECONDS
# From the loss of a connection to knowing why.
_CAUSE_SECONDS = 8
# Between two finished steps, at least. Under a minute in all, and after a cut of the network of nearly the heartbeat's
# time TCP may try again only when twice that time is over.
_STUCK_SECONDS = 50
# A step may take as many times the longest until now.
_STUCK_FACTOR = 10
# Where the clock stands in these phases, no step is expected; a slow disk is waited for longer than a step.
_PATIENCE = {'compile': math.inf, 'evaluation': math.inf, 'checkpoint': 600.0}


class Watch:
    """One host's part of it.

    Attributes:
        index, count: this host's number, and how many there are.
    """

    def __init__(self, store: Store, index: int, count: int, address: str):
        self.index, self.count = index, count
        self._store, self._address = store, address
        self._over = threading.Event()
        self._told: dict[str, Any] = {}
        self._heard_at = time.monotonic()
        self._began = self._heard_at
        # Of each other host: its newest beat, and when that came. Host 0 alone looks at all.
        self._beats: dict[int, tuple[dict, float]] = {}
        self._lead: tuple[str, float] = '', self._heard_at
        self._broken = False
        self._end_seen: float | None = None
        self._leaving = threading.Lock()
        # Held while the hosts agree on where to stop.
        self._moving = threading.Lock()
        self._position, self._stop_at = 0, math.inf
        # The signal that came here, and whether this host holds still to agree on where to stop.
        self._signal: int | None = None
        self._stopping = False
        # What the thread that trains is at, when it finished its last step, and the longest that one took.
        self._phase: Callable[[], str | None] = lambda: None
        self._before_end: Callable[[dict], None] | None = None
        self._finished_at: float | None = None
        self._longest = 0.0

    def start(self) -> None:
        """Takes the signals to stop, and begins; from the main thread, after jax took SIGTERM for itself."""
        self._signals, wakeup = socket.socketpair()
        wakeup.setblocking(False)
        self._wakeup = wakeup  # kept open
        # Python's own handler may run only when the compiler returns; the number comes through the socket at once.
        signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, frame: None)
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._talk, self._judge)]
        for thread in self._threads:
            thread.start()

    def finish(self, code: int) -> NoReturn:
        """Ends this process, once all hosts have come to their end; host 0, with which the store ends, as the last."""
        self._over.set()
        _flush_stdout()
        if self.index:
            self._try(lambda: self._store.put(f'gone/{self.index}', ''))
            os._exit(code)
        until = time.monotonic() + _GRACE_SECONDS
        while len(self._try(lambda: self._store.all('gone/')) or ()) < self.count - 1 and time.monotonic() < until:
            time.sleep(_POLL_SECONDS / 10)
        time.sleep(_POLL_SECONDS / 5)  # from their last word to their end
        os._exit(code)

    # What the thread that trains says and asks.

    def training(
        self, phase: Callable[[], str | None], step_seconds: float, before_end: Callable[[dict[str, Any]], None]
    ) -> None:
        """Steps are finished from now on, but in the phases that `phase` says are none of training.

        `step_seconds` is what a step may take until one is finished, and it is known what they take.
        `before_end` is called on host 0 before the watch ends the process, with what ended the run: the thread that
        trains may hang then, waiting for another host.
        """
        self._phase, self._before_end = phase, before_end
        self._longest, self._finished_at = step_seconds, time.monotonic()

    def finished_step(self) -> None:
        """A step is finished on the devices."""
        if self._finished_at is not None:
            self._longest = max(self._longest, time.monotonic() - self._finished_at)
        self.expect_step()

    def expect_step(self) -> None:
        """From now on a step is expected: one was begun, or an evaluation is over, whose time is none of a step's."""
        self._finished_at = time.monotonic()

    def trained(self) -> None:
        """No step is expected any more."""
        self._finished_at = self._before_end = None

    def asked_to_stop(self) -> int | None:
        """The signal to stop at, once all hosts have come to the place that they agreed on.

        Every host asks at the same places: before each step, and after each batch of an evaluation.
        """
        with self._moving:
            self._position += 1
            return self._told['stop']['signal'] if self._position >= self._stop_at else None

    def cause(self) -> dict[str, Any] | None:
        """What ended the run elsewhere, when the connection to another host was lost here; None if nobody knows."""
        until = time.monotonic() + (0 if self._broken else _CAUSE_SECONDS)
        self._broken = True
        while 'end' not in self._told and time.monotonic() < until:
            time.sleep(_POLL_SECONDS / 5)
        return self._told.get('end')

    def leave(self, code: int, sentence: str) -> NoReturn:
        """Ends this process, and with it the run: what one host cannot, the others cannot without it."""
        end = {'host': self.index, 'code': code, 'sentence': sentence}
        self._depart(self._announced(end), own=sentence)

    # What the threads do.

    def _talk(self) -> None:
        beat = 0
        while not self._over.is_set():
            beat += 1
            try:
                self._store.put(f'beat/{self.index}', json.dumps(self._state() | {'beat': beat}))
                if self.index == 0:
                    self._store.put('all/lead', str(beat))
                    self._note_beats(self._store.all('beat/'))
                told = self._store.all('all/')
            except Exception:
                # The network may be cut, or host 0 gone: which it is, time tells.
                time.sleep(_POLL_SECONDS)
                continue
            now = time.monotonic()
            self._heard_at = now
            lead = told.pop('lead', '')
            if lead != self._lead[0]:
                self._lead = lead, now
            self._told = {key: json.loads(value) for key, value in told.items()}
            time.sleep(_POLL_SECONDS)

    def _state(self) -> dict[str, Any]:
        phase, finished = self._phase(), self._finished_at
        patience = _PATIENCE.get(phase, max(_STUCK_SECONDS, _STUCK_FACTOR * self._longest))
        return {
            'position': self._position,
            'idle': None if finished is None else time.monotonic() - finished,
            'patience': patience if patience < math.inf else None,
            'broken': self._broken,
        }

    def _note_beats(self, beats: dict[str, str]) -> None:
        now, newest = time.monotonic(), dict(self._beats)
        for name, text in beats.items():
            beat = json.loads(text)
            known = newest.get(int(name))
            if known is None or known[0]['beat'] != beat['beat']:
                newest[int(name)] = beat, now
        self._beats = newest

    def _judge(self) -> None:
        while not self._over.is_set():
            self._hear_signals()
            now = time.monotonic()
            if 'end' in self._told:
                self._end_seen = self._end_seen or now
                if self.index or not self._before_end or now - self._end_seen > _GRACE_SECONDS:
                    self._depart(self._told['end'])
                continue
            sentence = self._what_is_wrong(now)
            if sentence:
                end = self._announced({'host': None, 'code': 1, 'sentence': sentence})
                self._told = self._told | {'end': end}
                # Whose connection hangs will not come out by itself.
                if not self._broken:
                    self._depart(end)
            elif 'stop' in self._told:
                self._agree_on_stop()

    def _hear_signals(self) -> None:
        ready, _, _ = select.select([self._signals], [], [], _POLL_SECONDS)
        for number in self._signals.recv(64) if ready else b'':
            if number in (signal.SIGTERM, signal.SIGINT):
                self._signal = number
        if self._signal and 'stop' not in self._told:
            # Said again until it is heard, as the network may be cut for a while.
            text = json.dumps({'signal': self._signal, 'host': self.index})
            self._try(lambda: self._store.put_once('all/stop', text))

    def _what_is_wrong(self, now: float) -> str | None:
        """What ends the run, in one sentence; None while nothing does."""
        limit = _SILENT_SECONDS if self._broken else HEARTBEAT_SECONDS
        if self.index and now - min(self._heard_at, self._lead[1]) > limit:
            return _gone(f'host 0, at {self._address},', limit)
        if self.index:
            return None
        if any(beat['broken'] for beat, _ in self._beats.values()):
            limit = _SILENT_SECONDS
        came = {i: at for i, (_, at) in self._beats.items()}
        silent = [i for i in range(1, self.count) if now - came.get(i, self._began) > limit]
        if silent:
            return _gone(f'{_hosts(silent)}', limit)
        return self._stuck()

    def _stuck(self) -> str | None:
        """Whether no step was finished for too long, though all hosts train."""
        beats = {i: beat for i, (beat, _) in self._beats.items()} | {0: self._state()}
        if len(beats) < self.count or any(b['idle'] is None or b['patience'] is None for b in beats.values()):
            return None
        # Who expects a step for the shortest time: it may have been evaluating for longer than the others.
        idle = min(beat['idle'] for beat in beats.values())
        patience = max(beat['patience'] for beat in beats.values())
        if idle <= patience:
            return None
        first = min(beat['position'] for beat in beats.values())
        behind = sorted(i for i, beat in beats.items() if beat['position'] == first)
        if len(behind) == self.count:
            return f'no step was finished for {idle:.0f} s, and no host is behind the others: is the network whole?'
        return (
            f'{_hosts(behind)} hung: no step was finished for {idle:.0f} s, and the others wait; '
            'the same command goes on from what was saved'
        )

    def _agree_on_stop(self) -> None:
        """All hold still, say where they are, and stop after the one that is furthest."""
        if not self._stopping:
            self._moving.acquire()
            self._stopping = True
        if 'stop_at' not in self._told:
            self._try(lambda: self._store.put(f'at/{self.index}', str(self._position)))
        if self.index == 0 and 'stop_at' not in self._told:
            places = self._try(lambda: self._store.all('at/')) or {}
            if len(places) == self.count:
                positions = [int(position) for position in places.values()]
                # Where one has not begun, no step is finished, and there is nothing to save.
                stop_at = max(positions) + 1 if all(positions) else 0
                self._try(lambda: self._store.put_once('all/stop_at', str(stop_at)))
        if 'stop_at' in self._told and self._stop_at == math.inf:
            self._stop_at = self._told['stop_at']
            if self._stop_at == 0:
                code = 128 + self._told['stop']['signal']
                sentence = 'stopped before a step was finished; the same command goes on from what was saved'
                self._depart({'host': None, 'code': code, 'sentence': sentence})
            self._moving.release()

    def _announced(self, end: dict[str, Any]) -> dict[str, Any]:
        """Tells the others what ended the run; returns what they were told before, if they were."""
        if 'end' in self._told:
            return self._told['end']
        told = self._try(lambda: self._store.put_once('all/end', json.dumps(end)))
        return json.loads(told) if told else end

    def _try(self, ask: Callable[[], Any]) -> Any:
        """What the store says; None if it does not within seconds."""
        answer: list[Any] = []

        def attempt():
            try:
                answer.append(ask())
            except Exception:
                answer.append(None)

        thread = threading.Thread(target=attempt, daemon=True)
        thread.start()
        thread.join(_SILENT_SECONDS)
        return answer[0] if answer else None

    def _depart(self, end: dict[str, Any], own: str | None = None) -> NoReturn:
        if not self._leaving.acquire(blocking=False):
            threading.Event().wait()  # the other thread ends the process
        before_end = self._before_end
        try:
            if self.index == 0 and before_end:
                before_end(end)
            _flush_stdout()
            console.say(own if end['sentence'] == own else worded(end))
        finally:  # whatever cannot be written any more
            if self.index == 0:
                # The store ends with this process, and the others are to hear of it first.
                time.sleep(_TELL_SECONDS)
            # Not by way of jax's own end, which waits for the others.
            os._exit(end['code'])


def _flush_stdout() -> None:
    """What was printed is not lost with the process; where it cannot be written, or was closed, nothing is."""
    if sys.stdout is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()


def worded(end: dict[str, Any]) -> str:
    """What ended a run, and at which host, in one sentence."""
    host = f'host {end["host"]}'
    named = end['host'] is None or end['sentence'].startswith(host)
    return end['sentence'] if named else f'{host}: {end["sentence"]}'


def _hosts(numbers: list[int]) -> str:
    shown = ', '.join(map(str, numbers[:8])) + (' and others' if len(numbers) > 8 else '')
    return f'{"host" if len(numbers) == 1 else "hosts"} {shown}'


def _gone(who: str, seconds: float) -> str:
    why = (
        f'the connection to {who} is lost: it was killed, or its machine is gone'
        if seconds < HEARTBEAT_SECONDS
        else f'{who} was not heard of for {seconds:.0f} s: it hangs, or the network between is cut'
    )
    return f'{why}; the same command goes on from what was saved'
