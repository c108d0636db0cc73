"""Names the layers of NNX modules while they are traced: Flax names those of Linen modules itself."""

import contextlib
import functools
import inspect
import sys
import threading
from collections.abc import Callable, Iterator

import jax

# Re-entrant, as a function that is counted may count.
_lock = threading.RLock()


@contextlib.contextmanager
def scopes() -> Iterator[None]:
    """Within this, what an NNX module multiplies is in the scope of the module's path, 'Net/encoder/linear'.

    The first module that is called gives its class's name to the path, those that it holds the names of their
    attributes. NNX has no hook around a call, so that the classes' methods are exchanged meanwhile.
    """
    if 'flax.nnx' not in sys.modules:
        yield
        return
    from flax import nnx

    paths = _Paths()
    with _lock, contextlib.ExitStack() as stack:
        for cls in _subclasses(nnx.Module):
            for name, method in list(vars(cls).items()):
                if _multiplies(cls, name, method):
                    setattr(cls, name, paths.named(method))
                    stack.callback(setattr, cls, name, method)
        yield


def _multiplies(cls: type, name: str, method: object) -> bool:
    """Whether a name of a class is a method that may run the module: `__call__`, and public ones of users' classes."""
    is_flax = cls.__module__.partition('.')[0] == 'flax'
    return inspect.isfunction(method) and (name == '__call__' or not (is_flax or name.startswith('_')))


def _subclasses(cls: type) -> set[type]:
    found = {cls}
    for below in cls.__subclasses__():
        found |= _subclasses(below)
    return found


class _Paths:
    """The modules that are being called, and the paths of those that they hold."""

    def __init__(self):
        self._known: dict[int, tuple[str, ...]] = {}
        self._called: list[tuple[str, ...]] = []
        # What has a path must not make room for another of the same id.
        self._kept: list[object] = []

    def named(self, call: Callable) -> Callable:
        """A module's method, in the scope of its path."""

        @functools.wraps(call)
        def in_scope(module, *args, **kwargs):
            path, around = self._path(module), self._called[-1] if self._called else ()
            if path == around:  # a class that calls the one it is derived of
                return call(module, *args, **kwargs)
            own = path[len(around) :] if path[: len(around)] == around else path
            self._called.append(path)
            try:
                with jax.named_scope('/'.join(own)):
                    return call(module, *args, **kwargs)
            finally:
                self._called.pop()

        return in_scope

    def _path(self, module) -> tuple[str, ...]:
        from flax import nnx

        if id(module) not in self._known:
            # Also one that was made anew from what it holds, as transformations do, inside of another.
            around = self._called[-1] if self._called else ()
            for below, held in nnx.iter_modules(module):
                self._known.setdefault(id(held), (*around, type(module).__name__, *map(str, below)))
                self._kept.append(held)
        return self._known[id(module)]
