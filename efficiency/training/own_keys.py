"""The keys of a config's section that are its function's own, as `momentum` is sgd's: checked against its signature."""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from efficiency.errors import UserError, shown
from efficiency.training.settings import OWN_RULES, check_value

_ANY = (inspect.Parameter.empty, None)


def own_keys(function: Callable) -> dict[str, Any]:
    """The defaults of the parameters after a function's first two, by name; `inspect.Parameter.empty` for none."""
    parameters = list(inspect.signature(function).parameters.values())[2:]
    return {each.name: each.default for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)}


def check_own_keys(section: str, name: str, function: Callable, keys: Mapping[str, Any], where: str) -> None:
    """Checks that a function has such keys, that they can have such values, and that none is left out that it needs.

    Args:
        section: of the config, 'optimizer' or 'averaging': a key that config checks know by name has their range
            whichever function it is of; another one must be like its default.
        name: that the function goes by.
        keys: what the config gives it.
        where: the keys stand, as 'config.optimizer'.

    Raises:
        UserError: for the first that is wrong, with what would be right.
    """
    own = own_keys(function)
    for key, value in keys.items():
        if key not in own:
            there_are = f'it takes {", ".join(own)}' if own else 'it takes none'
            raise UserError(f'{where} has the key {shown(key)}, which {name} does not take; {there_are}')
        if f'{section}.{key}' in OWN_RULES:
            check_value(f'{section}.{key}', value, f'{where}.{key}')
        elif own[key] not in _ANY and not _is_like(value, own[key]):
            raise UserError(f'{where}.{key} is {shown(value)}; it must be like {own[key]!r}')
    missing = [key for key, default in own.items() if default is inspect.Parameter.empty and key not in keys]
    if missing:
        raise UserError(f'{where} has no {missing[0]}, which {name} needs')


def _is_like(value: Any, default: Any) -> bool:
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if isinstance(default, list | tuple):
        return isinstance(value, list | tuple)
    return type(value) is type(default)
