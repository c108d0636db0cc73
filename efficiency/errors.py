"""Mistakes that a user can make and undo, apart from bugs."""

import difflib
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar('T')


class EndOfCommand(Exception):
    """What ends a command before its time: its message is the one sentence that the command says.

    Attributes:
        exit_code: the command's.
    """

    exit_code: int


class UserError(EndOfCommand):
    """One sentence that says what is wrong and what would be right."""

    exit_code = 2


class RunError(EndOfCommand):
    """A run that cannot go on, with the reason in one sentence."""

    exit_code = 1


class DataError(RunError):
    """A run that cannot go on because of its data, as of an example that cannot be read; once mended, it can."""


class Stopped(EndOfCommand):
    """The command was asked to stop by a signal; what it has is saved, and the same command goes on."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.exit_code = 128 + signal_number


def out_of_memory(error: BaseException) -> str | None:
    """What jax says of memory that is exhausted, in a sentence with what would be right; None of any other error."""
    if 'RESOURCE_EXHAUSTED' not in str(error):
        return None
    said = str(error).splitlines()[0].rstrip('.')
    return f'it does not fit into memory: {said}; take a smaller batch, or smaller examples'


def shown(value: object) -> str:
    """A value in a message: on one line, and cut where it is long."""
    text = ' '.join(repr(value).split())
    return text if len(text) <= 80 else f'{text[:77]}...'


def named(known: Mapping[str, T], kind: str, name: str) -> T:
    """The entry of that name.

    Args:
        kind: what the entries are, for the message.

    Raises:
        UserError: if there is none; lists the nearest names, or all.
    """
    if not isinstance(name, str) or name not in known:
        names = sorted(map(str, known))
        longer = [other for other in names if name and other.startswith(str(name))][:8]
        near = longer or difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
        hint = f'the nearest are {", ".join(near)}' if near else f'there are {", ".join(names)}'
        raise UserError(f'no {kind} is named {shown(name)}; {hint}')
    return known[name]
