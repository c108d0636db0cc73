"""What Python objects hold beside a function's arguments: what a trace leaves there is a result, and is taken out."""

import functools
import types
from collections.abc import Iterator, Sequence
from typing import Any

import jax

# What is looked into: how deep, and how many objects in all.
_DEPTH, _MOST_OBJECTS = 6, 10_000
_Holder = list | dict


class Held:
    """The lists, dictionaries and objects that a function can change without being given them.

    Those in its closure and of its module, of the object that it is a method of, and in arguments that are no
    containers of jax's.

    Args:
        roots: the function, and its arguments that are taken as they are.
    """

    def __init__(self, roots: Sequence[Any]):
        self._before = [(holder, holder.copy()) for holder in _holders(roots)]

    def restore(self) -> list[Any]:
        """Puts everything back as it was that holds values of a trace now; returns those values."""
        traced = []
        for holder, before in self._before:
            values = list(holder.values() if isinstance(holder, dict) else holder)
            found = [leaf for leaf in jax.tree.leaves(values) if isinstance(leaf, jax.core.Tracer)]
            if found:
                traced += found
                holder.clear()
                (holder.update if isinstance(holder, dict) else holder.extend)(before)
        return traced


def _holders(roots: Sequence[Any]) -> Iterator[_Holder]:
    """What can be changed below some objects, each once."""
    seen, found = set(), [(root, 0) for root in roots]
    for value, depth in found:  # which grows meanwhile
        if id(value) in seen or depth > _DEPTH or len(seen) > _MOST_OBJECTS:
            continue
        seen.add(id(value))
        if isinstance(value, types.FunctionType):
            within = [cell.cell_contents for cell in value.__closure__ or () if _is_filled(cell)]
            within += [value.__globals__[name] for name in value.__code__.co_names if name in value.__globals__]
        elif isinstance(value, types.MethodType):
            within = [value.__self__, value.__func__]
        elif isinstance(value, functools.partial):
            within = [value.func, *value.args, *value.keywords.values()]
        elif isinstance(value, tuple | set | frozenset):
            within = list(value)
        elif isinstance(value, list):
            yield value
            within = list(value)
        elif isinstance(value, dict):
            yield value
            within = list(value.values())
        elif _is_an_object(value):
            within = [vars(value)]
        else:
            continue
        found += [(each, depth + 1) for each in within]


def _is_filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _is_an_object(value: Any) -> bool:
    """Whether it has attributes of its own, and is neither jax's nor part of the program's text."""
    text = type | types.ModuleType | types.BuiltinFunctionType | jax.Array | jax.stages.Wrapped
    return hasattr(value, '__dict__') and isinstance(vars(value), dict) and not isinstance(value, text)
