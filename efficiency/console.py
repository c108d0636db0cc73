"""Where a command speaks, whatever becomes of it: a terminal that closes, a pipe that nobody reads, a full disk.

What cannot be written there is lost, and nothing else is: what a command is for goes on, and its exit code is its own.
"""

import atexit
import contextlib
import functools
import io
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import IO

from efficiency.errors import EndOfCommand, RunError

# How long a line may wait for a terminal that was halted, or whose connection hangs, before what follows is lost.
_PATIENCE = 5.0
_DESCRIPTORS = {0: os.O_RDONLY, 1: os.O_WRONLY, 2: os.O_WRONLY}


def start(outlives: bool = False) -> None:
    """Has this process speak through streams that outlive what they lead to; at the beginning of a command.

    What an encoding does not have is written as an escape. Descriptors 1 and 2 are left to libraries, past Python.

    Args:
        outlives: whether the process goes on when its terminal is closed, and does not wait long for its stdout.
    """
    if outlives:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    closed = {}
    for number, mode in _DESCRIPTORS.items():
        try:
            os.fstat(number)
        except OSError as error:  # the next file that is opened would get the number, and all that is said there
            closed[number] = error
            os.set_inheritable(os.open(os.devnull, mode), True)
    sys.stdout = _text_stream(_Stream(1, _PATIENCE if outlives else None, closed.get(1)), sys.stdout)
    sys.stderr = _text_stream(_Stream(2, _PATIENCE, closed.get(2)), sys.stderr, line_buffering=True)
    atexit.register(sys.stdout.flush)


class _Stream(io.FileIO):
    """A file to write to that raises nothing.

    Attributes:
        lost: why something could not be written, None as long as all was; a reader that wants no more is no reason.
        patience: seconds that a line may wait; None for as long as it takes.
    """

    def __init__(self, number: int, patience: float | None, lost: OSError | None):
        """Leads where a descriptor does, which is kept as it is."""
        super().__init__(os.dup(number), 'w')
        self.lost, self.patience = lost, patience
        self._forget_writer()
        os.register_at_fork(after_in_child=self._forget_writer)  # whose threads are not there any more

    def _forget_writer(self) -> None:
        self._has_writer = False
        self._asked: queue.SimpleQueue[tuple[bytes, threading.Event]] = queue.SimpleQueue()
        self._written = threading.Event()
        self._written.set()

    def write(self, data) -> int:
        if self.patience is None:
            self._written.wait()
            self._write_all(data)
        elif not self._written.is_set():
            pass  # what is said behind a line that nobody takes is lost with it
        elif self._can_be_left():
            self._written = threading.Event()
            self._asked.put((bytes(data), self._written))
            self._written.wait(self.patience)
        else:
            self._write_all(data)
        return len(data)

    def _can_be_left(self) -> bool:
        """Whether there is a thread that writes; not where the process ends, or may have no more."""
        if not self._has_writer and not sys.is_finalizing():
            with contextlib.suppress(RuntimeError):
                threading.Thread(target=self._serve, daemon=True).start()
                self._has_writer = True
        return self._has_writer and not sys.is_finalizing()

    def _serve(self) -> None:
        while True:
            data, written = self._asked.get()
            self._write_all(data)
            written.set()

    def _write_all(self, data) -> None:
        rest = memoryview(data)
        try:
            while rest:
                count = super().write(rest)
                if count is None:  # another program has made it one that does not wait
                    time.sleep(0.01)
                rest = rest[count or 0 :]
        except BrokenPipeError:
            pass
        except OSError as error:
            self.lost = error


def _text_stream(raw: _Stream, before: IO | None, line_buffering: bool = False) -> io.TextIOWrapper:
    """With the encoding of the stream that was there before, if one was."""
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=before.encoding if before else 'utf-8', errors='backslashreplace',
        line_buffering=line_buffering or raw.isatty(), write_through=bool(before and before.write_through),
    )  # fmt: skip


def deliver(text: str) -> None:
    """Prints a result that is kept nowhere else, however long its reader takes.

    Raises:
        RunError: if it is lost, as on a full disk.
    """
    if _started():
        sys.stdout.flush()
        sys.stdout.buffer.raw.patience = None
    print(text, flush=True)
    if _started() and (lost := sys.stdout.buffer.raw.lost):
        raise RunError(f'the result cannot be written to stdout: {lost.strerror}')


def say(sentence: object) -> None:
    """Says a sentence on stderr, in one line that names who says it."""
    print('efficiency:', ' '.join(str(sentence).splitlines()), file=sys.stderr, flush=True)


@contextlib.contextmanager
def doing(seconds_between_lines: float = 10.0) -> Iterator[Callable[[str], None]]:
    """Gives a function that shows what is being done: in place on a terminal, now and then a line elsewhere.

    Args:
        seconds_between_lines: the least between one and the next, and before the first, where there is no terminal.
    """
    from tqdm import tqdm

    on_terminal = sys.stderr.isatty()
    with tqdm(disable=not on_terminal, bar_format='{desc} ({elapsed})', leave=False) as bar:
        shown_at = time.monotonic()

        def show(text: str) -> None:
            nonlocal shown_at
            bar.set_description_str(text)
            if not on_terminal and time.monotonic() - shown_at > seconds_between_lines:
                shown_at = time.monotonic()
                print(text, file=sys.stderr, flush=True)

        yield show


def command(main: Callable[..., int]) -> Callable[..., int]:
    """Has a command's main function say what ends it before its time, and return the exit code of that."""

    @functools.wraps(main)
    def told(*args, **kwargs):
        try:
            return main(*args, **kwargs)
        except EndOfCommand as end:
            say(end)
            return end.exit_code

    return told


def _started() -> bool:
    """Whether Python's streams and the libraries' have parted."""
    return isinstance(getattr(getattr(sys.stderr, 'buffer', None), 'raw', None), _Stream)


@contextlib.contextmanager
def libraries_to(file: IO) -> Iterator[None]:
    """Meanwhile what libraries say past Python's streams goes to a file, as that of a log.

    Nothing is done where this process was not begun by `start`: Python's streams would be led there too.
    """
    if not _started():
        yield
        return
    before = [os.dup(number) for number in (1, 2)]
    try:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        yield
    finally:
        for number, descriptor in zip((1, 2), before, strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Meanwhile nothing is heard of what libraries say on stderr past Python's.

    Around what says all there is to say by its result or exception. Nothing is done where `libraries_to` does not.
    """
    if not _started():
        yield
        return
    before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)
