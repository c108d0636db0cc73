"""Networks by name, of one task: what every registry of networks has."""

import fnmatch
from collections.abc import Callable
from typing import Generic, TypeVar

from efficiency import registration
from efficiency.errors import UserError, named, shown

# What is registered of a network: it has `name`, `network` and `options`.
Entry = TypeVar('Entry')


class Registry(Generic[Entry]):
    """The networks of a task.

    Attributes:
        entries: by name.
    """

    def __init__(self):
        self.entries: dict[str, Entry] = {}

    def register(self, name: str, entry_of: Callable) -> Callable:
        """A decorator that registers what it decorates under a name.

        Args:
            name: unique among the task's networks.
            entry_of: makes of a module class, or a partial of one, what is kept.

        Raises:
            ValueError: if the name is taken.
        """

        def add(network):
            registration.register(self.entries, 'a network', name, network, entry_of(network))
            return network

        return add

    def list_models(self, pattern: str = '*') -> list[str]:
        """Names of the registered networks that match a shell pattern, sorted."""
        return sorted(fnmatch.filter(self.entries, pattern))

    def model_entry(self, name: str) -> Entry:
        """The registered network of that name.

        Raises:
            UserError: if there is none; names the nearest.
        """
        return named(self.entries, 'model', name)


def check_has_option(entry: Entry, option: str) -> None:
    """Raises UserError if a network has no such option; says which it has."""
    if option not in entry.options:
        there_are = f'it has {", ".join(entry.options)}' if entry.options else 'it has none'
        raise UserError(f'{entry.name} has no option {shown(option)}; {there_are}')
