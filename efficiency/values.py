"""What the value of a config's key may be: a check, and the words that say what would be right."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from ml_collections import ConfigDict


class Rule(NamedTuple):
    """What a value may be.

    Attributes:
        allows: whether a value is right.
        words: what it must be, as 'a whole number from 1 to 4096'.
    """

    allows: Callable[[Any], bool]
    words: str


def is_whole(value: Any) -> bool:
    """Whether it is a whole number, which True is not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether it is a number, which True is not."""
    return is_whole(value) or isinstance(value, float)


def whole(low: int, high: int) -> Rule:
    """A whole number between bounds."""
    return Rule(lambda v: is_whole(v) and low <= v <= high, f'a whole number from {low} to {high}')


def number(low: float, high: float) -> Rule:
    """A number between bounds."""
    return Rule(lambda v: is_number(v) and low <= v <= high, f'a number from {low:g} to {high:g}')


def one_of(values: tuple[str, ...]) -> Rule:
    """One of some words."""
    return Rule(lambda v: isinstance(v, str) and v in values, ' or '.join(values))


def or_none(rule: Rule, otherwise: str) -> Rule:
    """As a rule says, or nothing, which stands for something else."""
    return Rule(lambda v: v is None or rule.allows(v), f'{rule.words}, or nothing: {otherwise}')


ABOVE_ZERO = Rule(lambda v: is_number(v) and 0 < v < math.inf, 'a number above 0')
AT_LEAST_ZERO = Rule(lambda v: is_number(v) and 0 <= v < math.inf, 'a number, at least 0')
NAME = Rule(lambda v: isinstance(v, str) and v != '', 'a name')
SECTION = Rule(lambda v: isinstance(v, ConfigDict), 'a section with keys of its own')
SHARE_BELOW_1 = Rule(lambda v: is_number(v) and 0 <= v < 1, 'a number, at least 0 and below 1')
TRUTH = Rule(lambda v: isinstance(v, bool), 'True or False')
