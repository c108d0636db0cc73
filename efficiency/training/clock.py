"""Where the time of a run goes."""

import contextlib
import time
from collections.abc import Iterator, Mapping

PHASES = ('compile', 'train', 'data_wait', 'evaluation', 'checkpoint')


class Clock:
    """Seconds spent in each phase, over all the processes that a run took; a phase excludes those inside it.

    Attributes:
        seconds: by phase.
    """

    def __init__(self, seconds: Mapping[str, float] | None = None):
        self.seconds = dict.fromkeys(PHASES, 0.0) | dict(seconds or {})
        self._phase: str | None = None
        self._since = 0.0

    @property
    def phase_now(self) -> str | None:
        """The phase that is being counted."""
        return self._phase

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Counts the time inside it as the phase's; what was being counted pauses."""
        outer = self._switch(name)
        try:
            yield
        finally:
            self._switch(outer)

    def _switch(self, name: str | None) -> str | None:
        now = time.perf_counter()
        if self._phase is not None:
            self.seconds[self._phase] += now - self._since
        previous, self._phase, self._since = self._phase, name, now
        return previous
