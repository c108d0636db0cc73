"""How fast the compute that reaches a level falls: the frontier, its doubling time, and how sure that is.

Hernandez & Brown (2020, arXiv:2005.04305), section 4.1 and figure 3, fit one line through six frontier points and print
"16 months". Here the line is fitted by three conventions, with 95 % intervals over points, seeds and dates, and with
each point left out; `efficiency.analysis.curves` asks for other levels.

Compute is in multiply-adds; any unit serves, as only ratios count. Infinite compute stands for a level that was never
reached. Dates are `datetime.date`, ISO text or anything else that numpy makes a day of; a month is 30.4375 days.

Doubling times are in months. Where the compute needed does not fall, the doubling time is infinite: efficiency never
doubles. Intervals are therefore found on the rate, in doublings a month, which passes through 0 where the doubling time
jumps from infinity to its negative, and then turned over.
"""

import calendar
import dataclasses
import datetime
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from efficiency.analysis.survival import summary_over_seeds
from efficiency.errors import UserError, shown

DAYS_PER_MONTH = 30.4375
METHODS = ('least_squares', 'end_to_end', 'through_origin')
PRECISIONS = ('day', 'month', 'year')


@dataclasses.dataclass(frozen=True)
class Interval:
    """An interval of a doubling time, from percentiles of its bootstrap distribution.

    Nominal and true coverage differ. In simulations of evenly spaced points around a true exponential, 95 % intervals
    of `bootstrap_points` hold its doubling time in 90 % of the cases with 6 points, as on the paper's frontier, if
    errors are small beside the progress from one point to the next; in 70 to 80 % if they are as large, as a frontier
    then picks the luckiest points. Those of `bootstrap_seeds` with 3 to 10 seeds a point hold it in 96 to 99 %.

    Attributes:
        low, high: months; infinite where that end of the interval has no rise in efficiency.
        level: the nominal coverage, as 0.95.
        method: what was drawn, and how the line was fitted.
        draws: how many draws were made, all in all.
        degenerate: how many of them have points at fewer than two dates and so no trend; they are left out.
    """

    low: float
    high: float
    level: float
    method: str
    draws: int
    degenerate: int = 0

    def __str__(self):
        if math.isinf(self.low):
            return months_text(self.low)
        return (
            f'{self.low:.1f} months or more' if math.isinf(self.high) else f'{self.low:.1f} to {self.high:.1f} months'
        )


def months_text(months: float | None) -> str:
    """A doubling time in words, as '15.8 months'; also an infinite one, or one that is not there."""
    if months is None or math.isnan(months):
        return 'no trend: fewer than two dates'
    return 'does not double' if math.isinf(months) else f'{months:.1f} months'


def as_date(date: Any) -> datetime.date:
    """A date, from anything that numpy makes a day of.

    Raises:
        UserError: if it is none.
    """
    return np.datetime64(int(_days([date])[0]), 'D').item()


def frontier_indices(dates: Sequence, macs: Sequence[float]) -> list[int]:
    """Which points take less compute than everything published before: the running minimum over publication date.

    (The paper's figure 3: "Lowest compute points at any given time".) Of points of one date the cheapest alone counts,
    of equally cheap ones the earliest, and none of infinite compute.

    Returns:
        Indices into the points, by date.

    Raises:
        UserError: if a date is not one, compute is not positive, or there is not a date for each compute.
    """
    days, macs = _points(dates, macs)
    order, keep = _frontier(days[None], macs[None])
    return [int(i) for i in order[keep]]


def doubling_months(dates: Sequence, macs: Sequence[float], method: str = 'least_squares') -> float:
    """Months in which the compute needed halves, through all the points given, which usually are those of a frontier.

    Args:
        dates: of publication.
        macs: compute to the level; points of infinite compute are left out.
        method: 'least_squares', the line through log2(first / compute) on date, with an intercept, as the paper's "16
            months" needs; 'through_origin', the least squares line that passes through the first point; 'end_to_end',
            from the first point to the last. The first is the cheapest of the first date, the last that of the last.

    Returns:
        Months; infinite where the compute does not fall.

    Raises:
        UserError: if fewer than two dates have a point; or as `frontier_indices`.
    """
    days, macs = _points(dates, macs)
    rates, defined = _rates(days[None], macs[None], method, frontier=False)
    if not defined[0]:
        raise UserError(
            f'a doubling time needs points of finite compute at two dates or more, and of {len(days)} points '
            f'{int(np.isfinite(macs).sum())} are finite, at {len(set(days[np.isfinite(macs)]))} dates'
        )
    return _months(rates[0])


def frontier_doubling_months(dates: Sequence, macs: Sequence[float], method: str = 'least_squares') -> float | None:
    """The doubling time of the points' frontier.

    Args:
        dates, macs: of all points, see `frontier_indices`.
        method: see `doubling_months`.

    Returns:
        Months; infinite where no later point is cheaper than the first, None where fewer than two dates have a point of
        finite compute.

    Raises:
        UserError: as `frontier_indices`, or for an unknown method.
    """
    days, macs = _points(dates, macs)
    rates, defined = _rates(days[None], macs[None], method, frontier=True)
    return _months(rates[0]) if defined[0] else None


def leave_one_out(
    dates: Sequence, macs: Sequence[float], names: Sequence[str], method: str = 'least_squares'
) -> list[tuple[str, float | None]]:
    """The doubling time of the frontier without one of the points, for each of them.

    What a frontier point had kept off the frontier comes onto it when that point is left out; given frontier points
    alone, the rest of them are the frontier.

    Returns:
        Of each point, in the order given, its name and `frontier_doubling_months` without it.

    Raises:
        UserError: as `frontier_doubling_months`, or if there is not a name for each point.
    """
    days, macs = _points(dates, macs)
    if len(names) != len(days):
        raise UserError(f'there are {len(names)} names for {len(days)} points')
    without = np.where(np.eye(len(days), dtype=bool), math.inf, macs)
    rates, defined = _rates(np.broadcast_to(days, without.shape), without, method, frontier=True)
    return [(name, _months(rate) if fit else None) for name, rate, fit in zip(names, rates, defined, strict=True)]


def bootstrap_points(
    dates: Sequence,
    macs: Sequence[float],
    of: str = 'frontier',
    method: str = 'least_squares',
    level: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> Interval:
    """How far the doubling time depends on which points there happen to be: resampled with replacement.

    Args:
        dates, macs: of all points.
        of: 'frontier' finds the frontier once and resamples its points, a point drawn twice counting twice; 'all'
            resamples all points and finds the frontier of each resample.
        method: see `doubling_months`.
        level: of the interval, as 0.95.
        draws: how many resamples.
        seed: of numpy's generator: the same interval each time.

    Returns:
        The interval. A resample of one date alone has no trend and is left out, and counted; one in which no later
        point is cheaper than the first has a rate of 0.

    Raises:
        UserError: as `doubling_months`, or for an unknown argument.
    """
    days, macs = _points(dates, macs)
    if of == 'frontier':
        chosen = frontier_indices(dates, macs)
        days, macs = days[chosen], macs[chosen]
    elif of != 'all':
        raise UserError(f"points are resampled of 'frontier' or 'all', not {shown(of)}")
    if not len(days):
        raise UserError('there are no points of finite compute to resample')
    picks = _generator(seed, draws).integers(len(days), size=(draws, len(days)))
    fits = _rates(days[picks], macs[picks], method, frontier=of == 'all')
    return _interval(*fits, level, f'{method} over resampled points, {of}')


def bootstrap_seeds(
    dates: Sequence,
    seeds: Sequence[Sequence[float]],
    method: str = 'least_squares',
    level: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> Interval:
    """How far the doubling time depends on the seeds: those of each point resampled, then median, frontier and fit.

    Args:
        dates: of the points.
        seeds: of each point, the compute of each seed, infinite for one that never reached the level. A point of one
            seed does not vary.
        method, level, draws, seed: see `bootstrap_points`.

    Returns:
        The interval; draws in which fewer than two dates have a point that reaches the level are left out, and counted.

    Raises:
        UserError: as `doubling_months`, or for a point without seeds.
    """
    days, _ = _points(dates, [summary_over_seeds(of_point).median for of_point in seeds])
    generator = _generator(seed, draws)
    macs = np.empty((draws, len(days)))
    for i, of_point in enumerate(seeds):
        values = np.asarray(of_point, dtype=float)
        macs[:, i] = np.median(values[generator.integers(len(values), size=(draws, len(values)))], axis=1)
    fits = _rates(np.broadcast_to(days, macs.shape), macs, method, frontier=True)
    return _interval(*fits, level, f'{method} over resampled seeds')


def bootstrap_dates(
    dates: Sequence,
    macs: Sequence[float],
    precisions: Sequence[str],
    ranges: Sequence[tuple[Any, Any] | None] | None = None,
    method: str = 'least_squares',
    level: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> Interval:
    """How far the doubling time depends on dates that are not known to the day.

    The stated date need not be in the middle of what it may be, so the interval need not hold the doubling time by the
    stated dates: a month or year alone is commonly written as its first day.

    Args:
        dates, macs: of all points; the frontier is found anew in each draw.
        precisions: of each date, 'day', 'month' or 'year': it is drawn uniformly from the days of that calendar month
            or year.
        ranges: of each point None, or the first and last day that its date is drawn from instead.
        method, level, draws, seed: see `bootstrap_points`.

    Raises:
        UserError: as `doubling_months`, for an unknown precision, or a range that ends before it begins.
    """
    days, macs = _points(dates, macs)
    ranges = [None] * len(days) if ranges is None else ranges
    if not len(precisions) == len(ranges) == len(days):
        raise UserError(f'there are {len(precisions)} precisions and {len(ranges)} ranges for {len(days)} dates')
    bounds = [_bounds(*point) for point in zip(days, precisions, ranges, strict=True)]
    low, high = np.array(bounds, dtype=np.int64).reshape(-1, 2).T
    drawn = _generator(seed, draws).integers(low, high, size=(draws, len(days)), endpoint=True)
    fits = _rates(drawn, np.broadcast_to(macs, drawn.shape), method, frontier=True)
    return _interval(*fits, level, f'{method} over dates within their precision')


def _days(dates: Sequence) -> np.ndarray:
    try:
        days = np.asarray(list(dates), dtype='datetime64[D]')
    except (TypeError, ValueError) as error:
        raise UserError(f'not all of these are dates: {shown(list(dates))}') from error
    if np.isnat(days).any():
        raise UserError(f'a date is missing among {shown(list(dates))}')
    return days.astype(np.int64)


def _numbers(values: Sequence[float], what: str) -> np.ndarray:
    try:
        return np.asarray(list(values), dtype=float)
    except (TypeError, ValueError) as error:
        raise UserError(f'{what} has something that is no number: {shown(values)}') from error


def _points(dates: Sequence, macs: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    days, macs = _days(dates), _numbers(macs, 'compute')
    if days.shape != macs.shape:
        raise UserError(f'there are {len(days)} dates for {len(macs)} computes')
    if not (macs > 0).all():
        raise UserError('compute is positive, or infinite where the level was never reached, and some is not')
    return days, macs


def _bounds(day: int, precision: str, bounds: tuple[Any, Any] | None) -> tuple[int, int]:
    """The first and the last day that a date may be."""
    if bounds is not None:
        low, high = _days(bounds)
        if low > high:
            raise UserError(f'the range of dates {shown(bounds)} ends before it begins')
        return low, high
    if precision not in PRECISIONS:
        raise UserError(f'a date is known to the {", ".join(PRECISIONS)}, not {shown(precision)}')
    date = np.datetime64(int(day), 'D').item()
    if precision == 'month':
        return day - date.day + 1, day - date.day + calendar.monthrange(date.year, date.month)[1]
    if precision == 'year':
        return tuple(_days([datetime.date(date.year, 1, 1), datetime.date(date.year, 12, 31)]))
    return day, day


def _frontier(days: np.ndarray, macs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The order of each row's points by date, the cheaper first, and which of them, so ordered, are on its frontier."""
    order = np.lexsort((macs, days), axis=-1)
    least = np.minimum.accumulate(np.take_along_axis(macs, order, -1), axis=-1)
    before = np.concatenate([np.full((len(least), 1), math.inf), least], axis=-1)[:, :-1]
    return order, least < before


def _rates(days: np.ndarray, macs: np.ndarray, method: str, frontier: bool) -> tuple[np.ndarray, np.ndarray]:
    """Doublings a month through each row's points, of arrays (draws, points), and which rows have a rate at all.

    Args:
        frontier: whether the points first have to be reduced to their frontier; a row of several dates whose frontier
            is one point has a rate of 0: nothing improved on it.
    """
    if method not in METHODS:
        raise UserError(f'a doubling time is found by {", ".join(METHODS)}, not {shown(method)}')
    if not days.shape[1]:
        return np.zeros(len(days)), np.zeros(len(days), dtype=bool)
    order, on_frontier = _frontier(days, macs)
    days, macs = (np.take_along_axis(values, order, -1) for values in (days, macs))
    there = np.isfinite(macs)
    first = there.argmax(axis=-1, keepdims=True)  # the cheapest of the first date that has one
    x = (days - np.take_along_axis(days, first, -1)) / DAYS_PER_MONTH
    defined = np.where(there, x, 0).max(axis=-1) > 0
    weight = on_frontier if frontier else there
    x = np.where(weight, x, 0)
    macs = np.where(weight, macs, np.take_along_axis(macs, first, -1))
    with np.errstate(invalid='ignore', divide='ignore'):  # of rows without a rate
        y = np.log2(np.take_along_axis(macs, first, -1)) - np.log2(macs)
        if method == 'end_to_end':
            span = x.max(axis=-1, keepdims=True)
            rise, run = np.where(weight & (x == span), y, -math.inf).max(axis=-1), span[:, 0]
        else:
            if method == 'least_squares':
                n = weight.sum(axis=-1, keepdims=True)
                x, y = (np.where(weight, v - v.sum(axis=-1, keepdims=True) / n, 0) for v in (x, y))
            rise, run = (x * y).sum(axis=-1), (x * x).sum(axis=-1)
        return np.where(defined & (run > 0), rise / run, 0), defined


def _months(rate: float) -> float:
    return float(1 / rate) if rate > 0 else math.inf


def _generator(seed: int, draws: int) -> np.random.Generator:
    if draws < 1:
        raise UserError(f'an interval needs 1 draw or more, not {shown(draws)}')
    return np.random.default_rng(seed)


def _interval(rates: np.ndarray, defined: np.ndarray, level: float, method: str) -> Interval:
    if not 0 < level < 1:
        raise UserError(f'the level of an interval is between 0 and 1, not {shown(level)}')
    if not defined.any():
        raise UserError(f'none of {len(rates)} draws has points of finite compute at two dates')
    slow, fast = np.quantile(rates[defined], [(1 - level) / 2, (1 + level) / 2])
    return Interval(_months(fast), _months(slow), level, method, len(rates), int((~defined).sum()))
