"""Whether one system reaches a level with less compute than another, judged by their seeds.

Hernandez & Brown (2020, arXiv:2005.04305) train each network once, so that a difference of theirs may be one of seeds.
Compute is in multiply-adds to the first evaluation that meets the target, infinite for a seed that never does. As
evaluations come at whole intervals, seeds that crossed at about the same time have equal compute, and seem to vary less
than they do.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from efficiency.errors import UserError, shown

SEEDS_NEEDED = 3
# All ways to deal 8 + 8 seeds are 12,870; where there are more than this, as many are drawn at random.
_MOST_PERMUTATIONS = 20_000


@dataclasses.dataclass(frozen=True)
class Summary:
    """A point's seeds in a few numbers.

    Attributes:
        median: the mean of the two middle ones for an even number of seeds: infinite if one of those is.
        low, high: the least and the greatest, which may be infinite.
        n, n_reached: how many seeds, and how many of them are finite.
    """

    median: float
    low: float
    high: float
    n: int
    n_reached: int


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Whether a takes less compute than b. Of several comparisons each stands alone: nothing is corrected for.

    Attributes:
        a, b: the seeds of each in numbers.
        ratio: b's median / a's, above 1 where a takes less; infinite if b's alone is, 0 if a's alone is, None if both
            are.
        hedges_g: the difference of mean log2 compute, b's less a's, in pooled standard deviations, corrected for few
            seeds; None below 3 seeds a side, with a seed that never reached, or where no seed varies.
        permutation_p: two-sided, of a permutation test on `statistic`; None below 3 seeds a side.
        smallest_p: the least that such a test can give with so many seeds: 0.1 for 3 against 3, 0.029 for 4 against 4.
        statistic: 'mean log2 compute', or 'mean rank' if a seed never reached.
        welch_p: two-sided, of Welch's t test on log2 compute; None where `hedges_g` is.
        decided_by: 'permutation' where that test can get to the level asked for, else 'welch', which takes log2 compute
            for normal, else None. The numbers of seeds choose it, never the p-values.
        beats: whether a takes less compute by that test; None where nothing can decide.
        verdict: all this in a sentence.
    """

    a: Summary
    b: Summary
    ratio: float | None
    hedges_g: float | None = None
    permutation_p: float | None = None
    smallest_p: float | None = None
    statistic: str | None = None
    welch_p: float | None = None
    decided_by: str | None = None
    beats: bool | None = None
    verdict: str = ''


def summary_over_seeds(values: Sequence[float]) -> Summary:
    """A point's seeds in a few numbers.

    Args:
        values: the compute of each, infinite for a seed that never reached the level.

    Raises:
        UserError: if there are none, or one is not positive.
    """
    values = _seeds('the point', values)
    return Summary(
        median=float(np.median(values)),
        low=float(values.min()),
        high=float(values.max()),
        n=len(values),
        n_reached=int(np.isfinite(values).sum()),
    )


def compare(
    a: Sequence[float], b: Sequence[float], names: tuple[str, str] = ('a', 'b'), alpha: float = 0.05, seed: int = 0
) -> Comparison:
    """Whether a takes less compute than b to the same target.

    The permutation test deals the seeds to the two sides in every way (up to 20,000 of them; beyond, it draws as many)
    and supposes nothing of how compute is distributed. It takes the difference of mean log2 compute, or, where a seed
    never reached the target, of mean rank, in which all such seeds share the last place. Its p-value is twice the
    smaller tail's, at most 1. With 3 seeds against 3, there are 20 ways, and no p-value is below 0.1.

    Args:
        a, b: the compute of each seed, infinite for one that never reached the target.
        names: of the two, for the sentence.
        alpha: the p-value up to which a difference counts as shown.
        seed: of the draws, where there are too many ways.

    Raises:
        UserError: if a side has no seeds, or compute is not positive.
    """
    a, b = (_seeds(name, side) for name, side in zip(names, (a, b), strict=True))
    sides = summary_over_seeds(a), summary_over_seeds(b)
    ratio = None if math.isinf(sides[0].median) and math.isinf(sides[1].median) else sides[1].median / sides[0].median
    result = Comparison(*sides, ratio)
    if few := [f'{name} has {side.n}' for name, side in zip(names, sides, strict=True) if side.n < SEEDS_NEEDED]:
        too_few = f'a test needs {SEEDS_NEEDED} seeds a side, and {" and ".join(few)}'
        return dataclasses.replace(result, verdict=f'{_ratio_text(result, names)}, untested: {too_few}.')
    if not np.isfinite(np.concatenate([a, b])).any():
        return dataclasses.replace(result, verdict=f'No seed of {names[0]} or {names[1]} reaches the target.')
    result = dataclasses.replace(result, **_permutation(a, b, seed), **_normal(a, b))
    if result.smallest_p <= alpha:
        result = dataclasses.replace(result, decided_by='permutation')
    elif result.welch_p is not None:
        result = dataclasses.replace(result, decided_by='welch')
    p = {'permutation': result.permutation_p, 'welch': result.welch_p}.get(result.decided_by)
    if p is not None:
        result = dataclasses.replace(result, beats=bool(p <= alpha and _difference(a, b) > 0))
    return dataclasses.replace(result, verdict=_verdict(result, p, names, alpha))


def _seeds(name: str, values: Sequence[float]) -> np.ndarray:
    try:
        values = np.asarray(list(values), dtype=float)
    except (TypeError, ValueError) as error:
        raise UserError(f'{name} has seeds whose compute is no number') from error
    if not len(values):
        raise UserError(f'{name} has no seeds')
    if not (values > 0).all():
        raise UserError(f'{name} has compute that is not positive: {shown(values.tolist())}')
    return values


def _scores(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the permutation test takes means of: log2 compute, or ranks where some is infinite."""
    values = np.concatenate([a, b])
    values = np.log2(values) if np.isfinite(values).all() else stats.rankdata(values)
    return values[: len(a)], values[len(a) :]


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    a, b = _scores(a, b)
    return b.mean() - a.mean()


def _permutation(a: np.ndarray, b: np.ndarray, seed: int) -> dict:
    finite = np.isfinite(np.concatenate([a, b])).all()
    test = stats.permutation_test(
        _scores(a, b),
        # Rounded, as ways of equal difference, of which there are many, would else differ in their last bits.
        lambda x, y, axis: np.round(y.mean(axis=axis) - x.mean(axis=axis), 9),
        vectorized=True,
        n_resamples=_MOST_PERMUTATIONS,
        rng=np.random.default_rng(seed),
    )
    ways = math.comb(len(a) + len(b), len(a))
    return {
        'permutation_p': float(test.pvalue),
        'smallest_p': 2 / ways if ways <= _MOST_PERMUTATIONS else 2 / (_MOST_PERMUTATIONS + 1),
        'statistic': 'mean log2 compute' if finite else 'mean rank',
    }


def _normal(a: np.ndarray, b: np.ndarray) -> dict:
    """Welch's test and Hedges' g, where there is something for them to go by."""
    finite = np.isfinite(np.concatenate([a, b])).all()
    if not finite or (np.ptp(a) == 0 and np.ptp(b) == 0):
        return {}
    a, b = np.log2(a), np.log2(b)
    degrees = len(a) + len(b) - 2
    pooled = math.sqrt(((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / degrees)
    # Hedges (1981): the expectation of the plain ratio is this much too large.
    correction = math.exp(math.lgamma(degrees / 2) - math.lgamma((degrees - 1) / 2)) / math.sqrt(degrees / 2)
    # From moments, as ttest_ind warns of a side whose seeds are equal, where the other's still say something.
    moments = (moment for side in (a, b) for moment in (side.mean(), side.std(ddof=1), len(side)))
    return {
        'hedges_g': float(correction * (b.mean() - a.mean()) / pooled),
        'welch_p': float(stats.ttest_ind_from_stats(*moments, equal_var=False).pvalue),
    }


def _ratio_text(result: Comparison, names: tuple[str, str]) -> str:
    if result.ratio is None:
        return f'neither reaches the target in the median, {_reached(result, names)}'
    if math.isinf(result.ratio) or result.ratio == 0:
        one, other = names if result.ratio else names[::-1]
        return f'{one} reaches the target in the median and {other} does not, {_reached(result, names)}'
    if result.ratio == 1:
        return f'{names[0]} and {names[1]} take the same compute in the median'
    one, other, ratio = (*names, result.ratio) if result.ratio >= 1 else (*names[::-1], 1 / result.ratio)
    return f'{one} takes {ratio:.2f} x less compute than {other} in the median'


def _reached(result: Comparison, names: tuple[str, str]) -> str:
    sides = zip(names, (result.a, result.b), strict=True)
    return ' and '.join(f'{side.n_reached} of {side.n} seeds of {name} do' for name, side in sides)


def _verdict(result: Comparison, p: float | None, names: tuple[str, str], alpha: float) -> str:
    test = f'permutation test on {result.statistic}, p = {result.permutation_p:.2g}'
    seeds = f'{result.a.n} against {result.b.n} seeds'
    if result.decided_by != 'permutation':
        test += f', where {seeds} cannot give less than {result.smallest_p:.2g}'
    if result.welch_p is not None:
        test += f"; Welch's t on log2 compute, p = {result.welch_p:.2g}"
    if p is None:
        return f'{_ratio_text(result, names)}, but {seeds} cannot show a difference at {alpha:g} ({test}).'
    if result.decided_by == 'welch':
        test += ', which takes log2 compute for normal'
    shown_or_not = 'the seeds show a difference' if p <= alpha else 'the seeds do not show a difference'
    return f'{_ratio_text(result, names)}; {shown_or_not} at {alpha:g} ({test}).'
