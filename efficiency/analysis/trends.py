"""How fast the compute that reaches a level falls: the frontier, its doubling time, and how sure that is.

Hernandez & Brown (2020, arXiv:2005.04305), section 4.1 and figure 3, fit one line through six frontier points and print
"16 months". Here the line is fitted by three conventions, with 95 % intervals over points, seeds and dates, and with
each point left out; `efficiency.analysis.trend_tests` asks whether there is a trend at all, and
`efficiency.analysis.curves` asks for other levels.

Compute is in multiply-adds; any unit serves, as only ratios count. Infinite compute stands for a level that was never
reached. Dates are `datetime.date`, ISO text or anything else that numpy makes a day of; a month is 30.4375 days.

Doubling times are in months. Where the compute needed does not fall, the doubling time is infinite: efficiency never
doubles. Intervals are therefore found on the rate, in doublings a month, which passes through 0 where the doubling time
jumps from infinity to its negative, and then turned over.
"""

import datetime
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from efficiency.analysis.survival import Seeds
from efficiency.analysis.trend_fit import (
    DAYS_PER_MONTH,
    METHODS,
    as_days,
    as_points,
    check_trend,
    date_bounds,
    frontier_of,
    months_of,
    rates,
)
from efficiency.analysis.trend_intervals import Interval, drawn_medians, generator, interval, known_medians, lost_first
from efficiency.errors import UserError, shown

__all__ = [
    'DAYS_PER_MONTH',
    'METHODS',
    'Interval',
    'as_date',
    'bootstrap_dates',
    'bootstrap_points',
    'bootstrap_seeds',
    'doubling_months',
    'frontier_doubling_months',
    'frontier_indices',
    'leave_one_out',
    'months_text',
    'speed_text',
]


def months_text(months: float | None) -> str:
    """A doubling time in words, as '15.8 months'; also an infinite one, or one that is not there."""
    if months is None or math.isnan(months):
        return 'no trend: fewer than two dates'
    return 'does not double' if math.isinf(months) else f'{months:.1f} months'


def speed_text(months: float | None) -> str:
    """A doubling time as what efficiency does, as 'doubling every 15.8 months'."""
    return 'not doubling' if months is not None and math.isinf(months) else f'doubling every {months_text(months)}'


def as_date(date: Any) -> datetime.date:
    """A date, from anything that numpy makes a day of.

    Raises:
        UserError: if it is none.
    """
    return np.datetime64(int(as_days([date])[0]), 'D').item()


def frontier_indices(dates: Sequence, macs: Sequence[float]) -> list[int]:
    """Which points take less compute than everything published before: the running minimum over publication date.

    (The paper's figure 3: "Lowest compute points at any given time".) Of points of one date the cheapest alone counts,
    of equally cheap ones the earliest, and none of infinite compute.

    Returns:
        Indices into the points, by date.

    Raises:
        UserError: if a date is not one, compute is not positive, or there is not a date for each compute.
    """
    days, macs = as_points(dates, macs)
    order, keep = frontier_of(days[None], macs[None])
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
    days, macs = as_points(dates, macs)
    found, _ = rates(days[None], macs[None], method, frontier=False)
    check_trend(days, macs)
    return months_of(found[0])


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
    days, macs = as_points(dates, macs)
    found, defined = rates(days[None], macs[None], method, frontier=True)
    return months_of(found[0]) if defined[0] else None


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
    days, macs = as_points(dates, macs)
    if len(names) != len(days):
        raise UserError(f'there are {len(names)} names for {len(days)} points')
    without = np.where(np.eye(len(days), dtype=bool), math.inf, macs)
    found, defined = rates(np.broadcast_to(days, without.shape), without, method, frontier=True)
    return [(name, months_of(rate) if fit else None) for name, rate, fit in zip(names, found, defined, strict=True)]


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

    Not whether there is a trend: see `efficiency.analysis.trend_tests`. Nominal and true coverage differ. In
    simulations of evenly spaced points around a true exponential, 95 % intervals hold its doubling time in 90 % of the
    cases with 6 points, as on the paper's frontier, if errors are small beside the progress from one point to the next;
    in 70 to 80 % if they are as large, as a frontier then picks the luckiest points.

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
    days, macs = as_points(dates, macs)
    if of == 'frontier':
        chosen = frontier_indices(dates, macs)
        if len(chosen) == 1 < len(set(days[np.isfinite(macs)])):
            raise UserError('the frontier is one point, as nothing improved on it, and resamples of it have no trend')
        days, macs = days[chosen], macs[chosen]
    elif of != 'all':
        raise UserError(f"points are resampled of 'frontier' or 'all', not {shown(of)}")
    if not len(days):
        raise UserError('there are no points of finite compute to resample')
    picks = generator(seed, draws).integers(len(days), size=(draws, len(days)))
    found, defined = rates(days[picks], macs[picks], method, frontier=of == 'all')
    return interval(found, level, f'{method} over resampled points, {of}', defined)


def bootstrap_seeds(
    dates: Sequence,
    seeds: Sequence[Seeds | Sequence[float]],
    method: str = 'least_squares',
    level: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> Interval:
    """How far the doubling time depends on the seeds: those of each point resampled, then median, frontier and fit.

    In simulations with 3 to 10 seeds a point, points evenly spaced on an exponential, 95 % intervals hold its doubling
    time in 96 to 99 %.

    Args:
        dates: of the points.
        seeds: of each point, the compute of each seed, infinite for one that never reached the level. A point of one
            seed does not vary. A median that stopped seeds leave no more than a bound of counts as one of "never".
        method, level, draws, seed: see `bootstrap_points`.

    Returns:
        The interval. No draw is dropped: one in which the first point of the trend never reaches the level, or nothing
        of its date or before, is no trend since a later point but one of unbounded speed; where no later point does,
        nothing improved on the first, and its rate is 0; where none does at all, it may be anything.

    Raises:
        UserError: as `doubling_months`, or for a point without seeds.
    """
    days, medians = as_points(dates, known_medians(seeds))
    check_trend(days, medians)
    macs = drawn_medians(seeds, draws, generator(seed, draws))
    found, _ = rates(np.broadcast_to(days, macs.shape), macs, method, frontier=True)
    found[lost_first(days, medians, macs)] = math.inf
    found[~np.isfinite(macs).any(axis=1)] = math.nan
    return interval(found, level, f'{method} over resampled seeds')


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
    days, macs = as_points(dates, macs)
    low, high = date_bounds(days, precisions, ranges)
    drawn = generator(seed, draws).integers(low, high, size=(draws, len(days)), endpoint=True)
    found, defined = rates(drawn, np.broadcast_to(macs, drawn.shape), method, frontier=True)
    return interval(found, level, f'{method} over dates within their precision', defined)
