"""What a JSON value must be, written as data, and what is wrong with one that is not.

A schema is a `Number`, an `Optional`, a type, a tuple of the values that can be, a list of the schema of all items, a
dict of keys with their schemas, beside which others may stand, or the very value.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from efficiency.errors import shown
from efficiency.metrics import LARGEST, all_within


class Number:
    """A finite number, whole or not, at least `low`."""

    def __init__(self, kind: type = float, low: float = 0):
        self.kind, self.low = kind, low
        self._kinds = int if kind is int else (int, float)
        self._types = {int} if kind is int else {int, float}

    def fits(self, value: Any) -> bool:
        return self._is_one(value) and self.low <= value <= LARGEST  # which is not so of NaN either

    def fit_all(self, values: Sequence) -> bool:
        """Whether all of these fit, in a fraction of the time of a look at each; False, too, where that must tell."""
        return all_within(values, self._types, self.low, LARGEST)

    def problem(self, value: Any) -> str | None:
        if self.fits(value):
            return None
        if not self._is_one(value):
            return f'is {shown(value)}, not {"a whole number" if self.kind is int else "a number"}'
        return f'is {shown(value)}, not finite and at least {self.low}'

    def _is_one(self, value: Any) -> bool:
        return isinstance(value, self._kinds) and not isinstance(value, bool)


class Optional:
    """Something, or null; also nothing at all, where earlier records did not have it."""

    def __init__(self, schema: Any, may_lack: bool = False):
        self.schema, self.may_lack = schema, may_lack


def compiled(schema: Any) -> Callable[[Any], bool]:
    """A function that says whether a value has no `problems`, in a fraction of the time that they take to look for."""
    if isinstance(schema, Optional):
        inner = compiled(schema.schema)
        return lambda value: value is None or inner(value)
    if isinstance(schema, Number):
        return schema.fits
    if isinstance(schema, dict):
        keys = [(key, compiled(inner), not getattr(inner, 'may_lack', False)) for key, inner in schema.items()]

        def has_keys(value):
            if not isinstance(value, dict):
                return False
            for key, right, needed in keys:
                if key in value:
                    if not right(value[key]):
                        return False
                elif needed:
                    return False
            return True

        return has_keys
    if isinstance(schema, list):
        right, all_right = compiled(schema[0]), _by_key(schema[0])
        return lambda value: isinstance(value, list) and (all_right(value) or all(map(right, value)))
    if isinstance(schema, type):
        return lambda value: isinstance(value, schema)
    if isinstance(schema, tuple):
        return lambda value: value in schema
    return lambda value: type(value) is type(schema) and value == schema


def _by_key(schema: Any) -> Callable[[list], bool]:
    """A function that says whether all items of a list fit, one key after the other; of few schemas it can tell."""
    keys = schema if isinstance(schema, dict) and len(schema) > 1 else {}
    optional = [isinstance(inner, Optional) for inner in keys.values()]
    numbers = [inner.schema if isinstance(inner, Optional) else inner for inner in keys.values()]
    if not numbers or not all(isinstance(inner, Number) for inner in numbers):
        return lambda items: False
    values_of = itemgetter(*keys)

    def all_fit(items):
        if not {dict}.issuperset(map(type, items)):
            return False
        try:
            columns = list(zip(*map(values_of, items), strict=True))
        except KeyError:
            return False
        for number, may_be_none, column in zip(numbers, optional, columns, strict=False):
            there = [value for value in column if value is not None] if may_be_none else column
            if not number.fit_all(there):
                return False
        return True

    return all_fit


def problems(value: Any, schema: Any, path: str, known: Mapping[str, int] | None = None) -> Iterator[str]:
    """What is wrong with a value; of the list at a path, the first `known[path]` items are taken as right."""
    if isinstance(schema, Optional):
        if value is not None:
            yield from problems(value, schema.schema, path)
    elif isinstance(schema, Number):
        if problem := schema.problem(value):
            yield f'{path} {problem}'
    elif isinstance(schema, dict):
        if not isinstance(value, dict):
            yield f'{path or "the record"} is {type(value).__name__}, not an object'
            return
        for key, inner in schema.items():
            name = f'{path}.{key}' if path else key
            if key in value:
                yield from problems(value[key], inner, name, known)
            elif not getattr(inner, 'may_lack', False):
                yield f'{name} is missing'
    elif isinstance(schema, list):
        if not isinstance(value, list):
            yield f'{path} is {type(value).__name__}, not a list'
            return
        for i in range((known or {}).get(path, 0), len(value)):
            yield from problems(value[i], schema[0], f'{path}[{i}]')
    elif isinstance(schema, type):
        if not isinstance(value, schema):
            yield f'{path} is {shown(value)}, not {schema.__name__}'
    elif isinstance(schema, tuple):
        if value not in schema:
            yield f'{path} is {shown(value)}, not one of {", ".join(schema)}'
    elif type(value) is not type(schema) or value != schema:
        yield f'{path} is {shown(value)}, not {schema!r}'
