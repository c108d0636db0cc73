"""How often while loops run whose own program does not say: by what their author says."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from efficiency.errors import shown
from efficiency.flops.counts import whole
from efficiency.flops.tracing import CountError

TripCount = int | Sequence[int] | Mapping[str | int, int] | None


@dataclasses.dataclass
class _Loop:
    """A loop that says nothing of its length.

    Attributes:
        scope: the scopes, loops and branches around it, joined by '/'.
        multiplies: whether a turn costs anything.
        name: its scope's and its own, once all loops are known.
    """

    scope: str
    multiplies: bool = False
    name: str = ''


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
            self._given = {_key(key): _turns(value, f' of {shown(key)}') for key, value in trip_count.items()}
        elif isinstance(trip_count, Sequence | np.ndarray) and not isinstance(trip_count, str | bytes):
            self._given = [_turns(value, f'[{i}]') for i, value in enumerate(trip_count)]
        else:
            self._given = None if trip_count is None else _turns(trip_count, '')
        self._counts: list[int] | None = None
        self._next = 0

    def enter(self, scope: str) -> int:
        """The number of a loop that is come to next."""
        if self._counts is None:
            self._found.append(_Loop(scope))
        self._next += 1
        return self._next - 1

    def leave(self, number: int, multiplies: bool) -> None:
        """Says whether that loop multiplies."""
        if self._counts is None:
            self._found[number].multiplies = multiplies

    @property
    def are_known(self) -> bool:
        """Whether none that was come to so far has to be given its number of turns."""
        return not any(loop.multiplies for loop in self._found)

    def turns(self, number: int) -> int:
        """Of that loop; until all loops are known, one."""
        return 1 if self._counts is None else self._counts[number]

    def settle(self) -> bool:
        """Gives each loop its number of turns, once all are known; whether the program has to be counted again for it.

        Raises:
            CountError: if one is missing, or one is given that no loop is there for; lists the loops.
        """
        self._next = 0
        asked = [loop for loop in self._found if loop.multiplies]
        for loop in (*asked, *(loop for loop in self._found if not loop.multiplies)):
            name = f'{loop.scope}/while'.lstrip('/')
            same = sum(other.name.partition('#')[0] == name for other in self._found)
            loop.name = f'{name}#{same + 1}' if same else name
        given = self._given
        if isinstance(given, list):
            if len(given) != len(asked):
                raise CountError(f'trip_count has {len(given)} numbers for {_listed(asked)}')
            given = dict(enumerate(given))
        if isinstance(given, dict):
            for key in given:
                named = isinstance(key, str) and any(_ends(loop.name, key) for loop in self._found)
                if not named and key not in range(len(asked)):
                    raise CountError(f'trip_count has {shown(key)}, which is none of {_listed(asked)}')
            counts = {loop.name: _of(loop.name, i, given) for i, loop in enumerate(asked)}
        else:
            counts = dict.fromkeys((loop.name for loop in asked), given)
        if missing := [loop for loop in asked if counts[loop.name] is None]:
            where = ' and '.join(dict.fromkeys(loop.scope or 'the program' for loop in missing))
            raise CountError(
                f"cannot count 'while' in {where}: how often it runs is not known before it runs; pass trip_count=N"
                + ('' if len(asked) == 1 else f', or one for each of {_listed(asked)}, by name or as a list')
            )
        self._counts = [counts.get(loop.name, 0) for loop in self._found]
        return bool(asked)


def _listed(loops: Sequence[_Loop]) -> str:
    names = ', '.join(repr(loop.name) for loop in loops)
    if len(loops) > 1:
        return f'the {len(loops)} loops of unknown length that multiply ({names})'
    return f'the loops of unknown length that multiply ({names or "there are none"})'


def _ends(name: str, scope: str) -> list[int]:
    """Where a scope ends in a loop's name, each time that it is a part of it."""
    parts, asked = name.split('/'), scope.split('/')
    # 'while' alone is a loop around it, if there is one.
    if asked == parts[-1:] != parts:
        parts = parts[:-1]
    return [i for i in range(len(asked), len(parts) + 1) if parts[i - len(asked) : i] == asked]


def _of(name: str, position: int, given: Mapping[str | int, int]) -> int | None:
    """What is given for a loop: by its position, else by the innermost scope around it, its own name the innermost."""
    if position in given:
        return given[position]
    found = [
        (max(ends), len(key.split('/')), key) for key in given if isinstance(key, str) and (ends := _ends(name, key))
    ]
    return given[max(found)[2]] if found else None


def _key(key: object) -> str | int:
    if isinstance(key, str):
        return key
    return _turns(key, ', of a loop by its position,')


def _turns(value: object, where: str) -> int:
    turns = whole(value)
    if turns is None:
        raise ValueError(f'trip_count{where} is {shown(value)}; it is a whole number, 0 or more')
    return turns
