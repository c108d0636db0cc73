"""The files that a run's code is in: which they are, and a hash of each."""

import functools
import hashlib
import importlib.machinery
import inspect
import os
import pathlib
import re
import sys
import sysconfig
from collections.abc import Iterable

from efficiency.registration import CONFIG_FILE, place_of

# How the names of this package's modules begin, and those that networks are made of.
PACKAGE = 'efficiency.'
_OF_NETWORKS = re.compile(r'efficiency\.(layers|tasks\.\w+\.networks)\.')
_FOLDER = str(pathlib.Path(__file__).parents[1])
_NOT_OWN = tuple(f'{folder}{os.sep}' for folder in (_FOLDER, sysconfig.get_path('stdlib')))
_INSTALLED = {'site-packages', 'dist-packages'}
NO_FILE, UNREADABLE = 'has no file', 'cannot be read'


def own_files(
    config_file: str | None = None, more: Iterable[str] = (), defined_by: Iterable[type] = ()
) -> dict[str, str]:
    """sha256 of the files of all modules that are loaded and are the user's own, by the modules' names.

    Those are what is neither Python's, nor installed, nor of this package, but for a network's.

    Args:
        config_file: taken for the config's.
        more: names of modules that are asked for though they may not be loaded; those with no file are left out.
        defined_by: what a run is of, as its network, whose own modules of this package are added.
    """
    found = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, '__file__', None)
        if file is None and name == '__main__':  # as of a notebook
            found[name] = NO_FILE
        elif file is not None and (path := _own_path(file)):
            found[name] = digest_of(path)
    for each in defined_by:
        if each.__module__.startswith(PACKAGE) and not _is_of_networks(each.__module__):
            continue  # as images
        more = {*more, *_of_networks(each.__module__)}
        # By where its code is, as a module that was loaded by its path alone is not among those of Python.
        file, _ = place_of(each)
        if file and each.__module__ not in found and (path := _own_path(file)):
            found[each.__module__] = digest_of(path)
    for name in set(more) - found.keys():
        if path := _file_of(name):
            found[name] = digest_of(path)
    if config_file is not None:
        found[CONFIG_FILE] = digest_of(pathlib.Path(config_file).expanduser().absolute())
    return dict(sorted(found.items()))


@functools.cache
def _own_path(file: str) -> pathlib.Path | None:
    """The path of a module's file, if that is the user's own."""
    path = pathlib.Path(file).absolute()
    own = not str(path).startswith(_NOT_OWN) and _INSTALLED.isdisjoint(path.parts) and path.is_file()
    return path if own else None


def _is_of_networks(module: str) -> bool:
    """Whether a module of this package is a network's, or layers'."""
    return bool(_OF_NETWORKS.match(module))


def _of_networks(module: str) -> set[str]:
    """The modules of networks and layers that a module is one of, or uses what is defined in."""
    found, left = set(), [module]
    while left:
        name = left.pop()
        found.add(name)
        for value in vars(sys.modules.get(name, object)).values():
            used = value.__name__ if inspect.ismodule(value) else getattr(value, '__module__', None)
            if isinstance(used, str) and _is_of_networks(used) and used in sys.modules and used not in found:
                left.append(used)
    return set(filter(_is_of_networks, found))


def _file_of(module: str) -> pathlib.Path | None:
    """Where a module would be loaded from; None if it has no file."""
    if _is_of_networks(module):  # found without the whole of flax
        path = pathlib.Path(_FOLDER).parent.joinpath(*module.split('.')).with_suffix('.py')
        return path if path.is_file() else None
    places = None
    for end in (match.end() for match in re.finditer(r'[^.]+', module)):  # nothing is run, as by importlib's find_spec
        spec = importlib.machinery.PathFinder.find_spec(module[:end], places)
        if spec is None:
            return None
        places = spec.submodule_search_locations or []
    return _own_path(spec.origin) if spec.has_location else None


def digest_of(path: pathlib.Path) -> str:
    """sha256 of a file, or that it cannot be read."""
    try:
        state = path.stat()
        return _digest(path, state.st_mtime_ns, state.st_size)
    except OSError:
        return UNREADABLE


@functools.cache
def _digest(path: pathlib.Path, changed: int, size: int) -> str:
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()
