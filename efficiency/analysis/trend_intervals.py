"""Intervals of doubling times: how they are made from draws, how they read, and how seeds and dates are drawn."""

import dataclasses
import functools
import json
import math
from collections.abc import Sequence

import numpy as np

from efficiency.analysis.survival import Seeds, as_seeds, resampled_medians, summary_over_seeds
from efficiency.analysis.trend_fit import months_of
from efficiency.errors import UserError, shown

# Draws that have no trend, or no bound, are told where they are more than this share.
_FEW = 0.01


@dataclasses.dataclass(frozen=True)
class Interval:
    """An interval of a doubling time, found on the rate and turned over.

    Attributes:
        slow, fast: its ends, in doublings a month; negative where efficiency falls, infinite without a bound.
        level: the nominal coverage, as 0.95.
        method: what was drawn, and how the line was fitted.
        draws: how many draws were made, all in all; 0 for an interval by a formula.
        degenerate: how many of them have points at one date alone and so no trend; they are left out.
        unbounded: how many have no bound, as the first point never reaches the level in them, or no point does. They
            count as faster than all others, or as both faster and slower.
    """

    slow: float
    fast: float
    level: float
    method: str
    draws: int = 0
    degenerate: int = 0
    unbounded: int = 0

    @property
    def low(self) -> float:
        """Months; infinite where no end of the interval has a rise in efficiency, 0 without a bound."""
        return months_of(self.fast)

    @property
    def high(self) -> float:
        """Months; infinite where the slow end has no rise in efficiency."""
        return months_of(self.slow)

    @property
    def holds_no_progress(self) -> bool:
        """Whether a rate of 0 or less is in it."""
        return self.slow <= 0

    def __str__(self):
        return self._range() + ''.join(self._notes())

    def _range(self) -> str:
        if self.fast <= 0:
            return 'does not double'
        if self.holds_no_progress:
            months = 'unbounded' if math.isinf(self.fast) else f'{self.low:.1f} months or more'
            falling = ', or falling' if self.slow < 0 and math.isfinite(self.fast) else ''
            return f'{months}{falling}; no progress is not excluded'
        if math.isinf(self.fast):
            return f'0 to {self.high:.1f} months'
        return f'{self.low:.1f} to {self.high:.1f} months'

    def _notes(self):
        for count, what in (
            (self.unbounded, 'a rise without bound, as points never reach the level in them'),
            (self.degenerate, 'no trend, as they are of one date alone, and are left out'),
        ):
            if count > _FEW * self.draws:
                yield f' ({100 * count / self.draws:.0f} % of the draws have {what})'


def interval(rates: np.ndarray, level: float, method: str, defined: np.ndarray | None = None) -> Interval:
    """The interval that holds the middle of drawn rates.

    Args:
        rates: of each draw, in doublings a month; NaN for one of which nothing is known: it counts at both ends, so
            that the interval is no narrower than it would be whatever the draw's rate.
        level: the share to hold.
        method: what was drawn, for people.
        defined: which draws have a trend at all, None for all; the others are left out, and counted.

    Raises:
        UserError: if the level is no share, or no draw is left.
    """
    check_level(level)
    draws = len(rates)
    if defined is not None:
        rates = rates[defined]
    if not len(rates):
        raise UserError(f'none of {draws} draws has points of finite compute at two dates')
    unknown = np.isnan(rates)
    # The outer of two neighbours, as there is no number between a finite rate and an infinite one.
    slow = np.quantile(np.where(unknown, -math.inf, rates), (1 - level) / 2, method='lower')
    fast = np.quantile(np.where(unknown, math.inf, rates), (1 + level) / 2, method='higher')
    unbounded = int((~np.isfinite(rates)).sum())
    return Interval(float(slow), float(fast), level, method, draws, draws - len(rates), unbounded)


def check_level(level: float) -> None:
    """Raises a UserError if the level of an interval is no share."""
    if not 0 < level < 1:
        raise UserError(f'the level of an interval is between 0 and 1, not {shown(level)}')


def generator(seed: int, draws: int) -> np.random.Generator:
    """Numpy's, from a seed.

    Raises:
        UserError: if there are to be no draws.
    """
    if draws < 1:
        raise UserError(f'an interval needs 1 draw or more, not {shown(draws)}')
    return np.random.default_rng(seed)


def known_medians(seeds: Sequence[Seeds | Sequence[float]]) -> list[float]:
    """Of each point the median over its seeds, infinite also where stopped seeds leave no more than a bound of it."""
    summaries = [summary_over_seeds(of_point) for of_point in seeds]
    return [math.inf if summary.is_bound else summary.median for summary in summaries]


def drawn_medians(seeds: Sequence[Seeds | Sequence[float]], draws: int, random: np.random.Generator) -> np.ndarray:
    """The same of resampled seeds, (draws, points)."""
    before = random.bit_generator.state
    macs, random.bit_generator.state = _drawn_medians(tuple(map(as_seeds, seeds)), draws, json.dumps(before))
    return macs


@functools.lru_cache(maxsize=1)  # as several intervals are of the very same draws
def _drawn_medians(seeds: tuple[Seeds, ...], draws: int, state: str) -> tuple[np.ndarray, dict]:
    """Medians of draws by a generator in this state, and the state that it is left in."""
    bits = np.random.PCG64()
    bits.state = json.loads(state)
    random = np.random.Generator(bits)
    macs = np.empty((draws, len(seeds)))
    for i, of_point in enumerate(seeds):
        medians, is_bound = resampled_medians(of_point, draws, random)
        macs[:, i] = np.where(is_bound, math.inf, medians)
    macs.flags.writeable = False
    return macs, bits.state


def lost_first(days: np.ndarray, medians: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Which draws have lost the first point of the trend: the earliest whose median over all its seeds is finite.

    Nothing of its date or before it reaches the level in them. A line through the points that are left would be a trend
    since a later point, and as its compute is infinite the true line falls faster than any.

    Args:
        days, medians: of the points, (points,).
        drawn: medians of the draws, (draws, points).
    """
    first = days[np.isfinite(medians)].min()
    return ~np.isfinite(drawn[:, days <= first]).any(axis=1)
