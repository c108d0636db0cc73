"""How often while loops run whose own program does not say: by what their author says."""

import dataclasses
import operator
from collections.abc import Mapping, Sequence

from efficiency.errors import shown
from efficiency.flops.tracing import CountError

TripCount = int | Sequence[int] | Mapping[str | int, int] | None


@dataclasses.dataclass
class _Loop:
    """A loop that says nothing of its length.

    Attributes:
        scope: names of the scopes around it, joined by '/'.
        name: that and its own.
        multiplies: whether a turn costs anything.
    """

    scope: str
    name: str
    multiplies: bool = False


class Loops:
    """The while loops of a program in its order, an outer one before those in it, and how often each runs.

    Args:
        trip_count: a number of turns for all of them; or of those that multiply a list of numbers in their order, or
            numbers by name, by a scope that they are in, or by position.

    Raises:
        ValueError: if that is not what a loop can be given.
    """

    def __init__(self, trip_count: TripCount):
        self._found: list[_Loop] = []
        self._given: int | list[int] | dict[str | int, int] | None
        if isinstance(trip_count, Mapping):
            self._given = {key: _turns(value, f' of {shown(key)}') for key, value in trip_count.items()}
        elif isinstance(trip_count, Sequence) and not isinstance(trip_count, str | bytes):
            self._given = [_turns(value, f'[{i}]') for i, value in enumerate(trip_count)]
        else:
            self._given = None if trip_count is None else _turns(trip_count, '')
        self._turns: list[int] | None = None
        self._next = 0

    def enter(self, scope: str) -> int:
        """The number of a loop that is come to next."""
        if self._turns is None:
            name = f'{scope}/while'.lstrip('/')
            same = sum(loop.name.partition('#')[0] == name for loop in self._found)
            self._found.append(_Loop(scope, f'{name}#{same + 1}' if same else name))
        self._next += 1
        return self._next - 1

    def leave(self, number: int, multiplies: bool) -> None:
        """Says whether that loop multiplies."""
        if self._turns is None:
            self._found[number].multiplies = multiplies

    def turns(self, number: int) -> int:
        """Of that loop; until all loops are known, one."""
        return 1 if self._turns is None else self._turns[number]

    def settle(self) -> bool:
        """Gives each loop its number of turns, once all are known; whether the program has to be counted again for it.

        Raises:
            CountError: if one is missing, or one is given that no loop is there for; lists the loops.
        """
        self._next = 0
        asked = [loop for loop in self._found if loop.multiplies]
        given = self._given
        if isinstance(given, list):
            if len(given) != len(asked):
                raise CountError(f'trip_count has {len(given)} numbers for {self._listed(asked)}')
            given = dict(enumerate(given))
        if isinstance(given, dict):
            self._check_keys(given, asked)
            given = {loop.name: _of(loop.name, i, given) for i, loop in enumerate(asked)}
        else:
            given = dict.fromkeys((loop.name for loop in asked), given)
        if missing := [loop for loop in asked if given[loop.name] is None]:
            where = ' and '.join(loop.scope or 'the program' for loop in missing)
            raise CountError(
                f"cannot count 'while' in {where}: how often it runs is not known before it runs; pass trip_count=N"
                + ('' if len(asked) == 1 else f', or one for each of {self._listed(asked)}, by name or as a list')
            )
        self._turns = [given.get(loop.name, 0) for loop in self._found]
        return bool(asked)

    def _check_keys(self, given, asked) -> None:
        for key in given:
            there = range(len(asked)) if isinstance(key, int) else [loop.name for loop in self._found]
            if not any(key == each if isinstance(key, int) else _is_within(each, key) for each in there):
                raise CountError(f'trip_count has {shown(key)}, which is none of {self._listed(asked)}')

    @staticmethod
    def _listed(loops: Sequence[_Loop]) -> str:
        names = ', '.join(repr(loop.name) for loop in loops)
        return f'the {len(loops)} loops of unknown length that multiply{f" ({names})" if loops else ""}'


def _is_within(name: str, scope: str) -> bool:
    return name == scope or name.startswith(f'{scope}/')


def _of(name: str, position: int, given: Mapping[str | int, int]) -> int | None:
    """What is given for a loop: by its name, else its position, else the innermost scope around it."""
    scopes = sorted((key for key in given if isinstance(key, str) and _is_within(name, key)), key=len, reverse=True)
    if name in given:
        return given[name]
    return given[position] if position in given else given[scopes[0]] if scopes else None


def _turns(value: object, where: str) -> int:
    try:
        turns = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        turns = -1
    if turns < 0:
        raise ValueError(f'trip_count{where} is {shown(value)}; a loop runs 0 times or more, a whole number')
    return turns
