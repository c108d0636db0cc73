"""The packages of the extra `games`, each imported when a game is opened."""

import importlib
from importlib import metadata
from types import ModuleType

from efficiency.errors import UserError


def needed(name: str) -> ModuleType:
    """A package of the extra.

    Raises:
        UserError: if it cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f'games need the package {name}, which cannot be imported ({error}); pip install ".[games]"'
        ) from error


def version_of(name: str) -> str:
    """A package of the extra that is here, with its version, as 'pgx 2.6.0'."""
    return f'{name} {metadata.version(name)}'
