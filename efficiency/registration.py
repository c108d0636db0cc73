"""Names that a user's own files give to what they define: networks, data sets, tasks, optimizers, schedules."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

Made = TypeVar('Made')
# What ml_collections names the module of the file that --config names.
CONFIG_FILE = 'config_config'

_places: dict[tuple[str, str], Any] = {}


def register(known: dict[str, Any], kind: str, name: str, made: Any, entry: Any = None) -> None:
    """Adds what was made under a name.

    A file that is read again, as a config's by a study with several systems of it, gives the same names again.

    Args:
        known: what there is, by name.
        kind: with its article, as 'a network'.
        made: a function or class.
        entry: what is kept; `made` itself where None.

    Raises:
        ValueError: if the name is taken by what is defined elsewhere.
    """
    place = place_of(made)
    if name in known and _places.get((kind, name)) != place:
        raise ValueError(f'{kind} named {name!r} is registered already')
    known[name] = made if entry is None else entry
    _places[kind, name] = place


def registers(known: dict[str, Any], kind: str, name: str) -> Callable[[Made], Made]:
    """A decorator that adds what it decorates under a name; arguments and errors as of `register`."""

    def add(made):
        register(known, kind, name, made)
        return made

    return add


def place_of(made: Any) -> tuple[str | None, str]:
    """The file that a function or class is defined in, as far as that is known, and its name there."""
    while isinstance(made, functools.partial):
        made = made.func
    function = made.__call__ if inspect.isclass(made) else made
    code = getattr(inspect.unwrap(function), '__code__', None)
    return code and code.co_filename, getattr(made, '__qualname__', '')
