"""What can be a target: a metric's name, unit, direction and range, said once for every domain.

A target is a metric's value. It is reached where a metric that should rise is at least, and one that should fall is at
most, that value.
"""

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from efficiency.errors import UserError, shown

# The noise of gradients, of runs whose batches are taken in parts: |G|^2 of the true gradient G, and tr(Sigma) of one
# example's (`efficiency.training.gradients.noise_found`).
NOISE = ('gradient_square', 'gradient_variance')
# What else a point of a record's curve says, so that no metric can be named like it; `efficiency.records` has the rest.
POINT_KEYS = (
    'step', 'epochs', 'examples', 'paper_macs', 'train_macs', 'compiled_flops', 'train_seconds', 'loss', *NOISE
)  # fmt: skip
SHARE = 'share'
# Bounds that are computed are met but for their last digits: a BLEU of 100 may be 100.00000000000004.
_ROUNDING = 1e-9
# Whole numbers in JSON may be larger than any float.
LARGEST = 1e300
_NAME = re.compile(r'\w[\w.-]{0,39}', re.ASCII)
_NUMBERS = frozenset((int, float))
_KEYS = ('unit', 'rises', 'low', 'high')


@dataclasses.dataclass(frozen=True)
class Metric:
    """What an evaluation measures.

    Attributes:
        name: a word, of letters, digits and _ . -, and no key that a point of a curve has beside it.
        unit: as 'share', 'BLEU' or 'bits per byte'; '' where it has none.
        rises: whether more is better.
        low, high: the least and the greatest that it can be; None where there is no such bound.

    Raises:
        UserError: if it cannot be one; says why.
    """

    name: str
    unit: str
    rises: bool
    low: float | None = None
    high: float | None = None

    def __post_init__(self):
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise UserError(f'a metric is named {shown(self.name)}; a name is of letters, digits and _ . -, up to 40')
        if self.name in POINT_KEYS:
            raise UserError(
                f'a metric is named {self.name}, which every point of a curve has already; name it otherwise, as '
                f'eval_{self.name}'
            )
        if not isinstance(self.unit, str) or len(self.unit) > 40 or not self.unit.isprintable():
            raise UserError(f'the unit of {self.name} is {shown(self.unit)}; it must be a line of text, up to 40 long')
        if not isinstance(self.rises, bool):
            raise UserError(f'rises of {self.name} is {shown(self.rises)}; it must be true or false')
        for key in ('low', 'high'):
            bound = getattr(self, key)
            if bound is not None and not _is_finite(bound):
                raise UserError(f'{key} of {self.name} is {shown(bound)}; it must be a finite number, or null for none')
        if None not in (self.low, self.high) and self.low >= self.high:
            raise UserError(f'low of {self.name} is {self.low:g} and high {self.high:g}; low must be below high')

    @classmethod
    def from_dict(cls, name: str, data: Any) -> 'Metric':
        """What `to_dict` gave.

        Raises:
            UserError: if it is something else.
        """
        if not isinstance(data, dict):
            raise UserError(f'the metric {shown(name)} is {shown(data)}; it must be an object with {", ".join(_KEYS)}')
        if odd := next((key for key in (*_KEYS, *data) if (key in _KEYS) != (key in data)), None):
            what = f'lacks {odd}' if odd in _KEYS else f'has the key {shown(odd)}, which means nothing'
            raise UserError(f'the metric {shown(name)} {what}; it must have {", ".join(_KEYS)}')
        return cls(name, **data)

    def to_dict(self) -> dict[str, Any]:
        """All but the name, as a record keeps it."""
        return {key: getattr(self, key) for key in _KEYS}

    def meets(self, value: Any, target: float) -> Any:
        """Whether a value, or each of an array, is as good as a target, or better; what is NaN is not."""
        return value >= target if self.rises else value <= target

    def gain(self, value: Any) -> Any:
        """The value of a number or an array, turned so that more is better; of a gain, the value."""
        return value if self.rises else -value

    def best_of(self, values: Iterable[float]) -> float:
        """The best, of equal ones the first."""
        return max(values, key=self.gain)

    def holds(self, value: Any) -> bool:
        """Whether it can be this: a finite number, within the bounds but for rounding."""
        return (
            _is_finite(value)
            and (self.low is None or value >= self.low - _ROUNDING * max(1, abs(self.low)))
            and (self.high is None or value <= self.high + _ROUNDING * max(1, abs(self.high)))
        )

    def hold_all(self, values: Sequence) -> bool:
        """Whether all of these can be values, found in a fraction of the time that a look at each takes."""
        low = -LARGEST if self.low is None else max(-LARGEST, self.low - _ROUNDING * max(1, abs(self.low)))
        high = LARGEST if self.high is None else min(LARGEST, self.high + _ROUNDING * max(1, abs(self.high)))
        return all_within(values, _NUMBERS, low, high) or all(map(self.holds, values))

    def is_level(self, value: Any) -> bool:
        """Whether this can be a target: a finite number within the bounds, and not the bound that all values meet."""
        if not _is_finite(value) or value == (self.low if self.rises else self.high):
            return False
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    @property
    def allowed(self) -> str:
        """What it can be, in words."""
        if self.low is None and self.high is None:
            return 'a finite number'
        if None in (self.low, self.high):
            return f'a number, at least {self.low:g}' if self.high is None else f'a number, at most {self.high:g}'
        return f'a number from {self.low:g} to {self.high:g}'

    @property
    def wanted(self) -> str:
        """What a target must be, in words."""
        if self.is_share and self.rises:
            return 'a share above 0 and at most 1, as 0.954 for 95.4 %'
        bounds = [
            f'{words} {bound:g}'
            for words, bound in (
                ('above' if self.rises else 'at least', self.low),
                ('at most' if self.rises else 'below', self.high),
            )
            if bound is not None
        ]
        unit = f', in {self.unit}' if self.unit else ''
        return f'a {"" if bounds else "finite "}number {" and ".join(bounds)}'.rstrip() + unit

    @property
    def is_share(self) -> bool:
        """Whether it is a part of a whole."""
        return (self.unit, self.low, self.high) == (SHARE, 0, 1)

    @property
    def noun(self) -> str:
        """What its values are called in a sentence."""
        return 'accuracy' if OF_CLASSES.get(self.name) == self else self.name

    @property
    def side(self) -> str:
        """On which side of a target the better values are."""
        return 'above' if self.rises else 'below'

    def goal(self, value: float) -> str:
        """A target in words, as 'top1 >= 0.954'."""
        return f'{self.name} {">=" if self.rises else "<="} {exact(value)}'

    def text(self, value: float) -> str:
        """A value as people read it."""
        return f'{value:.4f}' if self.is_share else f'{value:.5g}'


def exact(value: float) -> str:
    """A number in six digits, or in as many as tell it from every other."""
    return text if float(text := f'{value:g}') == value else repr(value)


def all_within(values: Sequence, types: Set[type], low: float, high: float) -> bool:
    """Whether all are of these types of numbers, and within finite bounds, which NaN is not.

    Of many values in a fraction of the time that a look at each takes.
    """
    if not types.issuperset(map(type, values)):
        return False
    # The least and the greatest may be found past a NaN, a sum is never.
    return not values or (low <= min(values) and max(values) <= high and not math.isnan(sum(values)))


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST


# Of classification: the shares of examples whose class is the first guess, and among the first five.
OF_CLASSES: Mapping[str, Metric] = {name: Metric(name, SHARE, True, 0, 1) for name in ('top1', 'top5')}


def of_record(record: Mapping[str, Any]) -> Mapping[str, Metric]:
    """A record's metrics by name: its section `metrics`, without which it is of classification.

    Raises:
        UserError: if that section is none.
    """
    if 'metrics' not in record:
        return OF_CLASSES
    section = record['metrics']
    if not isinstance(section, dict) or not section:
        raise UserError(f'metrics is {shown(section)}; it must be an object with a metric or more by their names')
    return {name: Metric.from_dict(name, data) for name, data in section.items()}
