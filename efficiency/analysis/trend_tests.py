"""Whether there is a trend at all: regression over all points, shuffled dates, and points, seeds and dates together.

A frontier cannot say. It keeps what is cheaper than all before it and leaves out the rest, so that its line falls
whatever the points are: of simulations in which compute has nothing to do with the date, 95 % intervals over the points
of a frontier of two or more leave out a rate of 0 in 100 %, and with the frontier found anew in 13, 39 and 69 % with 6,
12 and 28 points. What is here takes every point that reaches the level, on the frontier or not.

All shares are of 2,000 simulations each, by `python -m benchmarks.trends`.

Points count as independent. Networks of one publication, or one network measured twice, are less than that, and the
more of them there are, the more are intervals too narrow and p-values too small.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from efficiency.analysis.survival import Seeds
from efficiency.analysis.trend_fit import DAYS_PER_MONTH, as_days, as_points, check_trend, date_bounds, months_of, rates
from efficiency.analysis.trend_intervals import (
    Interval,
    check_level,
    drawn_medians,
    generator,
    interval,
    known_medians,
    lost_first,
)

# All orders of up to so many points, 40,320, are gone through; of more points as many as are asked for are drawn.
_MOST_ORDERED = 8
# Rates that differ by less are the same, summed in another order.
_TOLERANCE = 1e-9


@dataclasses.dataclass(frozen=True)
class Regression:
    """The line through all points that reach the level.

    Attributes:
        rate: doublings of efficiency a month; negative where compute rises.
        error: its standard error; NaN of two points, which always lie on a line.
        interval: of the doubling time, by Student's t.
        points, left_out: how many it goes through, and how many never reached the level and so are in no line.
    """

    rate: float
    error: float
    interval: Interval
    points: int
    left_out: int

    @property
    def months(self) -> float:
        """The doubling time; infinite where compute does not fall."""
        return months_of(self.rate)


@dataclasses.dataclass(frozen=True)
class ShuffledDates:
    """How often dates that say nothing would do as well.

    Attributes:
        p: two-sided, of the regression's slope over all points: twice the share of orders whose slope is as steep, in
            that direction, at most 1.
        least_p: the least that `p` could have been: with 3 points of other dates 0.33, with 4 0.083, with 5 0.017.
        frontier_p: the share of orders whose frontier is as fast.
        frontier_least_p: the least that this could have been.
        orders: how many orders of the dates were gone through or drawn.
        exact: whether these are all there are.
        points: how many points were dealt dates; those that never reached the level were not.
    """

    p: float
    least_p: float
    frontier_p: float
    frontier_least_p: float
    orders: int
    exact: bool
    points: int


def regression(dates: Sequence, macs: Sequence[float], level: float = 0.95) -> Regression:
    """The doubling time by the least squares line of log2 compute on date through all points, not those of a frontier.

    The interval is of Student's t with two degrees of freedom less than points, exact for log-normal compute. Without a
    trend those of 95 % leave out a rate of 0 in 4.3 to 5.5 % with 4 to 28 points, be log2 compute normal or of heavy
    tails (t with 2 degrees); intervals from points drawn with replacement, which are not used, do in 7.3 to 9.6 %. With
    a true trend they hold its rate in 94.5 to 95.7 %.

    Args:
        dates: of publication.
        macs: compute to the level. Points of infinite compute, which never reached it, are left out and counted; where
            there is no progress, whether they reach it has nothing to do with the date either.
        level: of the interval.

    Raises:
        UserError: if fewer than two dates have a point; or as `trends.frontier_indices`.
    """
    check_level(level)
    days, macs = as_points(dates, macs)
    check_trend(days, macs)
    finite = np.isfinite(macs)
    n = int(finite.sum())
    line = stats.linregress(days[finite] / DAYS_PER_MONTH, -np.log2(macs[finite]))
    # scipy has no error of a line through points of equal compute, which is exact.
    rate, error = float(line.slope), 0.0 if np.ptp(macs[finite]) == 0 else float(line.stderr)
    if n > 2:
        width = float(stats.t.ppf((1 + level) / 2, n - 2)) * error
    else:
        error, width = math.nan, math.inf
    found = Interval(rate - width, rate + width, level, "regression over all points, Student's t")
    return Regression(rate, error, found, n, len(macs) - n)


def line_at(
    dates: Sequence, macs: Sequence[float], at: Sequence, level: float = 0.95
) -> tuple[list[float], list[float], list[float]]:
    """The line of `regression` at some dates, and the interval of the line itself there, in multiply-adds.

    The interval is that of the mean of log2 compute at the date, by Student's t (Seber & Lee, 2003, Linear Regression
    Analysis, section 6.1.3).

    Args:
        dates, macs: of three points or more of finite compute at two dates or more.
        at: dates.
        level: of the interval.

    Returns:
        Compute on the line, and the interval's lower and upper ends, a list each.

    Raises:
        UserError: as `regression`.
    """
    found = regression(dates, macs, level)
    days, macs = as_points(dates, macs)
    finite = np.isfinite(macs)
    x, y, at = days[finite] / DAYS_PER_MONTH, np.log2(macs[finite]), as_days(at) / DAYS_PER_MONTH
    middle = y.mean() - found.rate * (at - x.mean())
    # Of the line's two uncertainties, its height in the middle and its slope, `error` is the second's.
    height = found.error * math.sqrt(np.square(x - x.mean()).mean())
    width = stats.t.ppf((1 + level) / 2, found.points - 2) * np.hypot(height, found.error * (at - x.mean()))
    return tuple((2**line).tolist() for line in (middle, middle - width, middle + width))


def shuffled_dates(dates: Sequence, macs: Sequence[float], draws: int = 10_000, seed: int = 0) -> ShuffledDates:
    """Permutation tests of the dates: they are dealt to the points anew, as if they had nothing to do with compute.

    Nothing is supposed of how compute is distributed. Without a trend `p` is up to 0.05 in 4.5 to 5.1 % with 6 to 28
    points. With a true doubling in 16 months over 7 years it is in 35, 82 and 100 % with 6, 12 and 28 points that
    scatter by a factor of 2.8 around it (1.5 doublings), and in 90, 100 and 100 % if by one of 1.4.
    `frontier_p` is for a frontier's speed what `p` is for all points: up to 0.05 without a trend in 3.3 to 4.9 %, and
    with one in 0 to 2.5 %, as a frontier of shuffled dates falls sooner, and so as fast. It says what a frontier's
    speed is worth as evidence.

    Args:
        dates, macs: of all points; those of infinite compute are left out.
        draws: how many orders to draw of more than 8 points; of fewer, all orders are gone through. Of drawn ones the
            order that was found counts as one more, so that no p is 0 (Phipson & Smyth, 2010, SAGMB 9, article 39).
        seed: of numpy's generator.

    Raises:
        UserError: as `regression`.
    """
    days, macs = as_points(dates, macs)
    check_trend(days, macs)
    days, macs = days[np.isfinite(macs)], macs[np.isfinite(macs)]
    random, n = generator(seed, draws), len(days)
    exact = n <= _MOST_ORDERED
    if exact:
        orders = days[np.array(list(itertools.permutations(range(n))))]
    else:
        # The first is the order that was found.
        orders = np.concatenate([days[None], random.permuted(np.broadcast_to(days, (draws, n)), axis=1)])
    macs = np.broadcast_to(macs, orders.shape)
    slopes, speeds = (rates(orders, macs, 'least_squares', frontier)[0] for frontier in (False, True))
    rising, falling, fast = (_shares(found) for found in (slopes, -slopes, speeds))
    return ShuffledDates(
        p=min(1, 2 * min(rising[0], falling[0])),
        least_p=min(1, 2 * min(rising[1], falling[1])),
        frontier_p=fast[0],
        frontier_least_p=fast[1],
        orders=len(orders) if exact else draws,
        exact=exact,
        points=n,
    )


def _shares(found: np.ndarray) -> tuple[float, float]:
    """Of the rates of all orders, the share that is as great as the first, and as the greatest."""
    greatest = found.max()
    least = np.array([found[0], greatest]) - _TOLERANCE * np.abs(found).max()
    first, most = (found[:, None] >= least).mean(axis=0)
    return float(first), float(most)


def bootstrap_joint(
    dates: Sequence,
    seeds: Sequence[Seeds | Sequence[float]],
    precisions: Sequence[str] | None = None,
    ranges: Sequence[tuple[Any, Any] | None] | None = None,
    level: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> Interval:
    """The interval of `regression` over points, seeds and dates together.

    A draw resamples the seeds of each point, takes its date from the days that it may be, fits the line through all
    points that reach the level, and moves it by what the points are off it: Student's t times the line's standard
    error. That error is of points whose scatter already holds what seeds and dates add, so their share of its square,
    the variance of the slopes drawn so far, is taken off it first. Of points of one seed and known days the interval is
    that of `regression`.

    Without a trend those of 95 % leave out a rate of 0 in 4.1 to 6.3 % with 4 to 28 points of 3 seeds if points differ
    more than seeds, and in 1.5 to 2.5 % if seeds alone differ. With a true trend they hold its rate in 93.5 to 95.5 %
    with 6 to 28 points, in 91 to 94 % with 4. Dates drawn from whole years make the line flatter, by what they add to
    the variance of the dates.

    Args:
        dates: of the points.
        seeds: of each point, the compute of each seed, infinite for one that never reached the level.
        precisions, ranges: of the dates, see `trends.bootstrap_dates`; None where all are known to the day.
        level, draws, seed: see `trends.bootstrap_points`.

    Returns:
        The interval. In a draw points whose median is infinite are left out, as in `regression`, but for the first of
        the trend: without it the draw counts as one of unbounded speed, and without two dates as one that may be
        anything. Neither is dropped.

    Raises:
        UserError: as `trends.bootstrap_seeds` and `trends.bootstrap_dates`.
    """
    days, medians = as_points(dates, known_medians(seeds))
    line = regression(dates, medians, level)
    low, high = date_bounds(days, ['day'] * len(days) if precisions is None else precisions, ranges)
    random = generator(seed, draws)
    method = 'regression over all points, resampled points, seeds and dates'
    if line.points == 2:  # any two lie on a line, and say nothing of how far others would be off it
        return Interval(-math.inf, math.inf, level, method, draws)
    macs = drawn_medians(seeds, draws, random)
    drawn = random.integers(low, high, size=macs.shape, endpoint=True)
    found, defined = rates(drawn, macs, 'least_squares', frontier=False)
    lost = lost_first(days, medians, macs)
    usable = found[defined & ~lost]
    explained = usable.var() if len(usable) else 0
    found += math.sqrt(max(line.error**2 - explained, 0)) * random.standard_t(line.points - 2, size=draws)
    found[~defined] = math.nan
    found[lost] = math.inf
    return interval(found, level, method)
