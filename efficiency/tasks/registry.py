"""Networks by name, of one task: what every registry of networks has."""

import fnmatch
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from efficiency import registration
from efficiency.errors import UserError, named, shown
from efficiency.values import is_number, is_whole

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


def check_option(
    entry: Entry, option: str, value: Any, words: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> None:
    """Checks that a network has an option, and with a value that is like its default.

    Whole numbers are sizes, above 0, or 0 too where that is the default; others are shares, below 1.

    Args:
        entry: of the network.
        option, value: of a config.
        words: by option, those that it may be.

    Raises:
        UserError: if not.
    """
    check_has_option(entry, option)
    default = inspect.signature(entry.network).parameters[option].default
    match default:
        case bool():
            fits, like = isinstance(value, bool), 'True or False'
        case str():
            fits, like = value in words[option], ' or '.join(words[option])
        case float():
            fits, like = is_number(value) and 0 <= value < 1, 'a share, as 0.1, below 1'
        case _:
            fits = is_whole(value) and (value > 0 or value == 0 == default)
            like = 'a whole number above 0' + (', or 0 for none' if default == 0 else '')
    if not fits:
        raise UserError(f'option {option} of {entry.name} is {shown(value)}; it must be {like}')
