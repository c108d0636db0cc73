"""Names the layers of NNX modules while they are traced: Flax names those of Linen modules itself."""

import contextlib
import contextvars
import functools
import gc
import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax

# Re-entrant, as a function that is counted may count.
_lock = threading.RLock()
# Around a module: its attributes, lists of modules, those that hold it.
_MOST_HOLDERS = 64


_named: contextvars.ContextVar['_Paths | None'] = contextvars.ContextVar('paths', default=None)


@contextlib.contextmanager
def scopes() -> Iterator[None]:
    """Within this, what an NNX module multiplies is in the scope of the module's path, 'Net/encoder/linear'.

    The module that holds the others gives its class's name to the path, they the names of their attributes. NNX has no
    hook around a call, so that the classes' methods are exchanged meanwhile.
    """
    if 'flax.nnx' not in sys.modules:
        yield
        return
    from flax import nnx

    paths = _Paths(nnx.Module)
    with _lock, contextlib.ExitStack() as stack:
        token = _named.set(paths)
        stack.callback(_named.reset, token)
        for cls in _subclasses(nnx.Module):
            for name, method in list(vars(cls).items()):
                if _multiplies(cls, name, method):
                    setattr(cls, name, paths.named(method))
                    stack.callback(setattr, cls, name, method)
        yield


def name(*containers: Any) -> None:
    """Has the modules in some arguments known by the paths below them."""
    if paths := _named.get():
        for value in jax.tree.leaves(containers, is_leaf=paths.is_module):
            if paths.is_module(value):
                paths.know(value, (type(value).__name__,))


def _subclasses(cls: type) -> set[type]:
    found = {cls}
    for below in cls.__subclasses__():
        found |= _subclasses(below)
    return found


def _multiplies(cls: type, name: str, method: Any) -> bool:
    """Whether a name of a class is a method that may run the module: `__call__`, and others of users' classes."""
    if name == '__call__':
        return callable(method)  # also one that a transformation of NNX has wrapped
    return inspect.isfunction(method) and cls.__module__.partition('.')[0] != 'flax' and not name.startswith('__')


class _Paths:
    """The modules that are being called, and the paths of those that they hold.

    Args:
        base: the class of all modules.
    """

    def __init__(self, base: type):
        self._base = base
        self._known: dict[int, tuple[str, ...]] = {}
        # Of the modules that are being called, the path and the class.
        self._called: list[tuple[tuple[str, ...], type | None]] = [((), None)]
        # What has a path must not make room for another of the same id.
        self._kept: list[object] = []

    def is_module(self, value: Any) -> bool:
        return isinstance(value, self._base)

    def named(self, method: Any) -> Callable:
        """A module's method, in the scope of its path."""

        @functools.wraps(method)
        def in_scope(module, *args, **kwargs):
            bound = method.__get__(module, type(module)) if hasattr(method, '__get__') else partial(method, module)
            if not self.is_module(module):
                return bound(*args, **kwargs)
            path, (around, _) = self._path(module), self._called[-1]
            if path == around:  # a method that calls another
                return bound(*args, **kwargs)
            own = path[len(around) :] if path[: len(around)] == around else path
            self._called.append((path, type(module)))
            try:
                with jax.named_scope('/'.join(own)):
                    return bound(*args, **kwargs)
            finally:
                self._called.pop()

        return in_scope

    def know(self, root: Any, around: tuple[str, ...]) -> None:
        """Gives a module, and those that it holds, their paths, where they have none."""
        from flax import nnx

        for below, held in nnx.iter_modules(root):
            self._known.setdefault(id(held), (*around, *map(str, below)))
            self._kept.append(held)

    def _path(self, module: Any) -> tuple[str, ...]:
        if id(module) not in self._known:
            # Made anew from what it holds, as transformations do; then so was the one that holds it.
            root = self._holder(module)
            around, cls = self._called[-1]
            self.know(root, around if type(root) is cls else (*around, type(root).__name__))
        return self._known[id(module)]

    def _holder(self, module: Any) -> Any:
        """The outermost of the modules that hold one, as far as it is not known."""
        holders = [module]
        for value in holders:  # which grows meanwhile
            for referrer in gc.get_referrers(value):
                is_inside = isinstance(referrer, dict | list | tuple) or self.is_module(referrer)
                if is_inside and not any(referrer is each for each in holders) and len(holders) < _MOST_HOLDERS:
                    holders.append(referrer)
        return next(value for value in reversed(holders) if self.is_module(value) and id(value) not in self._known)
