"""Lines through many sets of dated points at once, as resampling and shuffling need them: in doublings a month.

Arrays of points are (draws, points): a row is one set. Dates are in days, compute in multiply-adds, infinite where a
level was never reached. `efficiency.analysis.trends` says what a trend is.
"""

import calendar
import datetime
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from efficiency.errors import UserError, shown

DAYS_PER_MONTH = 30.4375
METHODS = ('least_squares', 'end_to_end', 'through_origin')
PRECISIONS = ('day', 'month', 'year')
_POINTS_AT_ONCE = 200_000


def as_days(dates: Sequence) -> np.ndarray:
    """Dates as whole days since 1970.

    Raises:
        UserError: if one is none.
    """
    try:
        days = np.asarray(list(dates), dtype='datetime64[D]')
    except (TypeError, ValueError) as error:
        raise UserError(f'not all of these are dates: {shown(list(dates))}') from error
    if np.isnat(days).any():
        raise UserError(f'a date is missing among {shown(list(dates))}')
    return days.astype(np.int64)


def as_points(dates: Sequence, macs: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Dates and compute of points as arrays, (points,) each.

    Raises:
        UserError: if a date is not one, compute is not positive, or there is not a date for each compute.
    """
    days = as_days(dates)
    try:
        macs = np.asarray(list(macs), dtype=float)
    except (TypeError, ValueError) as error:
        raise UserError(f'compute has something that is no number: {shown(macs)}') from error
    if days.shape != macs.shape:
        raise UserError(f'there are {len(days)} dates for {len(macs)} computes')
    if not (macs > 0).all():
        raise UserError('compute is positive, or infinite where the level was never reached, and some is not')
    return days, macs


def check_trend(days: np.ndarray, macs: np.ndarray) -> None:
    """Raises a UserError if fewer than two dates have a point of finite compute."""
    finite = np.isfinite(macs)
    if len(set(days[finite])) < 2:
        raise UserError(
            f'a doubling time needs points of finite compute at two dates or more, and of {len(days)} points '
            f'{int(finite.sum())} are finite, at {len(set(days[finite]))} dates'
        )


def date_bounds(
    days: np.ndarray, precisions: Sequence[str], ranges: Sequence[tuple[Any, Any] | None] | None
) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last day that each date may be.

    Args:
        precisions: of each, one of `PRECISIONS`: any day of that calendar month or year.
        ranges: of each None, or the first and the last day instead.

    Raises:
        UserError: for an unknown precision, a range that ends before it begins, or not one of each for each date.
    """
    ranges = [None] * len(days) if ranges is None else ranges
    if not len(precisions) == len(ranges) == len(days):
        raise UserError(f'there are {len(precisions)} precisions and {len(ranges)} ranges for {len(days)} dates')
    bounds = [_bounds(*point) for point in zip(days, precisions, ranges, strict=True)]
    low, high = np.array(bounds, dtype=np.int64).reshape(-1, 2).T
    return low, high


def _bounds(day: int, precision: str, bounds: tuple[Any, Any] | None) -> tuple[int, int]:
    if bounds is not None:
        low, high = as_days(bounds)
        if low > high:
            raise UserError(f'the range of dates {shown(bounds)} ends before it begins')
        return low, high
    if precision not in PRECISIONS:
        raise UserError(f'a date is known to the {", ".join(PRECISIONS)}, not {shown(precision)}')
    date = np.datetime64(int(day), 'D').item()
    if precision == 'month':
        return day - date.day + 1, day - date.day + calendar.monthrange(date.year, date.month)[1]
    if precision == 'year':
        return tuple(as_days([datetime.date(date.year, 1, 1), datetime.date(date.year, 12, 31)]))
    return day, day


def frontier_of(days: np.ndarray, macs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The order of each row's points by date, the cheaper first, and which of them, so ordered, are on its frontier."""
    order = np.lexsort((macs, days), axis=-1)
    least = np.minimum.accumulate(np.take_along_axis(macs, order, -1), axis=-1)
    before = np.concatenate([np.full((len(least), 1), math.inf), least], axis=-1)[:, :-1]
    return order, least < before


def rates(days: np.ndarray, macs: np.ndarray, method: str, frontier: bool) -> tuple[np.ndarray, np.ndarray]:
    """Doublings a month through each row's points, of arrays (draws, points), and which rows have a rate at all.

    Args:
        frontier: whether the points first have to be reduced to their frontier; a row of several dates whose frontier
            is one point has a rate of 0: nothing improved on it.
    """
    if method not in METHODS:
        raise UserError(f'a doubling time is found by {", ".join(METHODS)}, not {shown(method)}')
    if not days.shape[1]:
        return np.zeros(len(days)), np.zeros(len(days), dtype=bool)
    # Some rows at a time, of which each is by itself: what is between takes many times their memory.
    step = max(1, _POINTS_AT_ONCE // days.shape[1])
    found = [
        _rates(days[i : i + step], macs[i : i + step], method, frontier) for i in range(0, max(1, len(days)), step)
    ]
    return tuple(np.concatenate(each) for each in zip(*found, strict=True))


def _rates(days: np.ndarray, macs: np.ndarray, method: str, frontier: bool) -> tuple[np.ndarray, np.ndarray]:
    if frontier:
        order, on_frontier = frontier_of(days, macs)
        days, macs = (np.take_along_axis(values, order, -1) for values in (days, macs))
    there = np.isfinite(macs)
    # The cheapest of the first date that has one.
    earliest = np.where(there, days, np.iinfo(np.int64).max).min(axis=-1, keepdims=True)
    first = np.where(days == earliest, macs, math.inf).argmin(axis=-1, keepdims=True)
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


def months_of(rate: float) -> float:
    """The doubling time in months; infinite where compute does not fall, 0 where it falls without bound."""
    return float(1 / rate) if rate > 0 else math.inf
