"""The user's cache folder: what can be made again."""

import contextlib
import hashlib
import os
import pathlib
import tempfile
from collections.abc import Callable

from efficiency.files import write_atomically


def cache_dir() -> pathlib.Path:
    """The per-user folder for what can be made again: compiled programs, counts that were checked."""
    base = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    # Where the user has no home, expanduser leaves the ~ as it is.
    return pathlib.Path(tempfile.gettempdir() if base.startswith('~') else base, 'efficiency')


def use_compilation_cache() -> None:
    """Keeps compiled programs in the user's cache folder, if there can be one, unless jax is told of another place."""
    import jax

    if jax.config.jax_compilation_cache_dir is None:
        folder = cache_dir() / 'xla'
        with contextlib.suppress(OSError):  # as in a home that is another user's
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.R_OK | os.W_OK | os.X_OK):
                jax.config.update('jax_compilation_cache_dir', str(folder))
                jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)


def remembered(folder: str | os.PathLike, key: str, find: Callable[[], float | None]) -> float | None:
    """What `find` gives, or gave when it was asked under this key before; a None is not remembered.

    Args:
        folder: where, below `cache_dir`; made if it is not there.
        key: all that decides what it gives.
    """
    path = pathlib.Path(folder, hashlib.sha256(key.encode()).hexdigest())
    with contextlib.suppress(OSError, ValueError):  # where there is none, or what a loss of power leaves
        return float.fromhex(path.read_text())
    found = find()
    if found is not None:
        # A cache that cannot be written to costs that time again at the next start, no more.
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, float(found).hex().encode())
    return found
