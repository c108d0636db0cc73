"""Medians over seeds of which some were stopped before they got there: Kaplan & Meier's estimate.

A run that is stopped at its own target says of a higher level only that it takes more than what the run has spent: it
is censored. Leaving such seeds out keeps just those that overshot, and so makes the higher level look cheap. Kaplan &
Meier (1958, J. Am. Stat. Assoc. 53, 457-481) count each seed among those that may still get there up to where it was
stopped.

Their estimate takes a stopped seed for one that goes on as the others do. One that had just met a lower level is rather
nearer to the higher one than those that had met neither, so that medians of partly censored seeds are too high, if
anything.

What seeds take is compute, examples or time, in any unit; infinite for a seed that was trained to its end without
getting there.
"""

import dataclasses
import itertools
import math
import statistics
from collections.abc import Sequence

import numpy as np

from efficiency.errors import UserError, shown

# Shares of seeds are products of fractions: a half of them may differ from 0.5 in its last bits.
_ROUNDING = 1e-9
_COUNTS_AT_ONCE = 500_000  # of seeds in resamples, each of which takes some 50 bytes
_MANY = 100  # seeds, from which on it is much quicker to draw the middle of a resample than all of it


@dataclasses.dataclass(frozen=True)
class Seeds:
    """What each seed of one system took.

    Attributes:
        values: the compute of each, infinite for one that never got there.
        censored: of each, whether it was stopped there, so that it takes this much or more.

    Raises:
        UserError: if there are none, one is negative or no number, or one was stopped at infinity.
    """

    values: tuple[float, ...]
    censored: tuple[bool, ...]

    def __post_init__(self):
        if not self.values:
            raise UserError('there are no seeds')
        if len(self.values) != len(self.censored):
            raise UserError(f'there are {len(self.values)} seeds, and {len(self.censored)} are said to be censored')
        if not all(value >= 0 for value in self.values):
            raise UserError(f'what seeds take is not negative, and of these it is: {shown(list(self.values))}')
        if any(self.censored) and math.inf in itertools.compress(self.values, self.censored):
            raise UserError('a seed that was stopped was so at a finite compute')

    @property
    def n_censored(self) -> int:
        return sum(self.censored)

    @property
    def n_reached(self) -> int:
        return len(self.values) - self.n_censored - self.values.count(math.inf)

    @property
    def summary(self) -> 'Summary':
        """See `summary_over_seeds`; found once."""
        # Not by functools, whose lock takes longer than most of what it keeps.
        known = self.__dict__
        if '_summary' not in known:
            known['_summary'] = _summary(self)
        return known['_summary']


def as_seeds(seeds: Seeds | Sequence[float], name: str = 'the point') -> Seeds:
    """Plain numbers as seeds of which none was stopped.

    Raises:
        UserError: as `Seeds`, or for something that is no number; names the system.
    """
    if isinstance(seeds, Seeds):
        return seeds
    try:
        values = tuple(float(value) for value in seeds)
    except (TypeError, ValueError) as error:
        raise UserError(f'{name} has seeds whose compute is no number') from error
    if not values:
        raise UserError(f'{name} has no seeds')
    if not all(value > 0 for value in values):
        raise UserError(f'{name} has compute that is not positive: {shown(list(values))}')
    return Seeds(values, (False,) * len(values))


@dataclasses.dataclass(frozen=True)
class Summary:
    """A system's seeds in a few numbers.

    Attributes:
        median: over the seeds, see `summary_over_seeds`; infinite where half of the seeds never got there.
        is_bound: whether the median is this much or more, as stopped seeds leave no estimate.
        low, high: the least and the greatest of the seeds, which may be infinite.
        low_is_bound, high_is_bound: whether it is this much or more, as a stopped seed may be the least or greatest.
        n, n_reached, n_censored: how many seeds, how many of them got there, and how many were stopped before; the
            rest never did.
    """

    median: float
    is_bound: bool
    low: float
    low_is_bound: bool
    high: float
    high_is_bound: bool
    n: int
    n_reached: int
    n_censored: int


def summary_over_seeds(seeds: Seeds | Sequence[float]) -> Summary:
    """A system's seeds in a few numbers, their median by Kaplan & Meier's estimate.

    The median is the compute at which the estimated share of seeds that have not got there falls below a half; where it
    stays at exactly a half for a while, the middle between where it gets to a half and where it falls below (Klein &
    Moeschberger, 2003, section 4.5). Of seeds that were not stopped that is the median as always: of an even number the
    mean of the middle two, infinite if one of these is. Of seeds with equal compute, one that was stopped counts as
    being still on its way where the other gets there.

    Where the share does not fall below a half at any finite compute, there is no such estimate, and the median is at
    least that of the seeds with each stopped one taken to get there at once: it would be so if each did, and more the
    longer they take, so that no larger bound is certain. It is infinite, "never", only where half of the seeds never
    got there, whatever the stopped ones would have done.

    Args:
        seeds: of one system; plain numbers are seeds of which none was stopped.

    Raises:
        UserError: if there are none, or one is not positive.
    """
    return as_seeds(seeds).summary


def _summary(seeds: Seeds) -> Summary:
    if len(seeds.values) == 1:
        (value,), (stopped,) = seeds.values, seeds.censored
        reached = int(not stopped and value != math.inf)
        return Summary(value, stopped, value, stopped, value, stopped, 1, reached, int(stopped))
    median, is_bound = median_or_more(seeds.values, seeds.censored)
    low, low_is_bound = min(zip(seeds.values, seeds.censored, strict=True))
    high = max(seeds.values)
    return Summary(
        median=median,
        is_bound=is_bound,
        low=low,
        low_is_bound=low_is_bound,
        high=high,
        high_is_bound=math.isfinite(high) and seeds.n_censored > 0,
        n=len(seeds.values),
        n_reached=seeds.n_reached,
        n_censored=seeds.n_censored,
    )


def median_or_more(values: Sequence[float], censored: Sequence[bool]) -> tuple[float, bool]:
    """The median of numbers of which some are only known to be this much or more, and whether it is so, too.

    Found as that of `summary_over_seeds`; of any numbers, negative ones among them.
    """
    if any(censored):
        (median,), (is_bound,) = _medians(values, censored, np.ones((1, len(values))))
        return float(median), bool(is_bound)
    # The same, and found much faster: reports ask for it half a million times.
    return float(statistics.median(values)), False


def resampled_medians(
    seeds: Seeds | Sequence[float], draws: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The medians of so many resamples of a system's seeds, with replacement; a stopped seed is drawn as a stopped one.

    Returns:
        Arrays (draws,): the median of each resample as `summary_over_seeds` finds it, infinite for "never", and whether
        it is a bound, so that the median is this much or more.
    """
    seeds = as_seeds(seeds)
    n = len(seeds.values)
    if n == 1:
        (median,), (is_bound,) = seeds.values, seeds.censored
        return np.full(draws, median), np.full(draws, is_bound)
    if n > _MANY and not seeds.n_censored:
        return _drawn_middles(np.sort(seeds.values), draws, generator), np.zeros(draws, bool)
    # Some at a time, which are the same draws as all at once in less memory.
    step = max(1, _COUNTS_AT_ONCE // n)
    found = [medians_of(seeds, resamples(n, min(step, draws - start), generator)) for start in range(0, draws, step)]
    return tuple(np.concatenate(each) for each in zip(*found, strict=True))


def _drawn_middles(ordered: np.ndarray, draws: int, generator: np.random.Generator) -> np.ndarray:
    """Medians of resamples of ordered seeds, none of them stopped, without the rest of each resample.

    A resample's ranks are n uniform numbers, rounded down to a multiple of 1 / n; of n uniform numbers the k-th
    smallest is of the beta distribution with k and n + 1 - k, and the next one after it leaves of what is above it the
    share of the largest of n - k others (David & Nagaraja, 2003, Order Statistics, sections 2.1 and 2.5).
    """
    n = len(ordered)
    k = (n + 1) // 2
    lower = upper = generator.beta(k, n + 1 - k, size=draws)
    if n % 2 == 0:
        upper = 1 - (1 - lower) * generator.beta(n - k, 1, size=draws)
    low, high = (ordered[np.minimum((n * share).astype(int), n - 1)] for share in (lower, upper))
    return (low + high) / 2


def resamples(n: int, draws: int, generator: np.random.Generator) -> np.ndarray:
    """How often each of n seeds is in each of so many resamples with replacement, (draws, n)."""
    return generator.multinomial(n, np.full(n, 1 / n), size=draws)


def medians_of(seeds: Seeds, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The medians of resamples, and which are bounds, as `resampled_medians` gives them; `counts` as `resamples`."""
    return _medians(seeds.values, seeds.censored, counts)


def _medians(values: Sequence[float], censored: Sequence[bool], counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The median of each row, and whether it is a bound; `counts` (rows, seeds) is how often each seed is in it."""
    values, censored = np.array(values, float), np.array(censored)
    if not censored.any():
        return _uncensored_medians(values, counts), np.zeros(len(counts), bool)
    order = np.lexsort((censored, values))
    values, censored, counts = values[order], censored[order], counts[:, order]
    still_on_its_way = counts[:, ::-1].cumsum(axis=1)[:, ::-1]
    # One seed after the other: of equal ones the factors' product is that of all of them at once.
    share_left = 1 - counts / np.maximum(still_on_its_way, 1)
    estimated = _halfway(values, np.where(censored | np.isposinf(values), 1, share_left))
    at_least = _halfway(values, share_left)
    has_estimate = np.isfinite(estimated)
    return np.where(has_estimate, estimated, at_least), ~has_estimate & np.isfinite(at_least)


def _uncensored_medians(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The same of seeds of which none was stopped: the mean of the middle two, infinite if one of these is."""
    order = values.argsort(kind='stable')
    up_to = counts[:, order].cumsum(axis=1)
    twice, n = 2 * up_to, up_to[:, -1:]
    return (values[order][(twice >= n).argmax(axis=1)] + values[order][(twice > n).argmax(axis=1)]) / 2


def _halfway(values: np.ndarray, share_left: np.ndarray) -> np.ndarray:
    """Where the product of the shares, from the left, comes down through a half; infinite where it does not."""
    survival = share_left.cumprod(axis=1)
    to_half, below = survival <= 0.5 + _ROUNDING, survival < 0.5 - _ROUNDING
    middle = (values[to_half.argmax(axis=1)] + values[below.argmax(axis=1)]) / 2
    return np.where(below.any(axis=1), middle, math.inf)
