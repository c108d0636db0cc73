"""Whether one system reaches a level with less compute than another, judged by their seeds.

Hernandez & Brown (2020, arXiv:2005.04305) train each network once, so that a difference of theirs may be one of seeds.
Compute is in multiply-adds until the target is met, infinite for a seed that never meets it; a seed that was stopped
before takes that much or more. As evaluations come at whole intervals, seeds that crossed at about the same time have
equal compute, and seem to vary less than they do.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from efficiency.analysis.factors import Factor, factor_with_interval
from efficiency.analysis.survival import Seeds, Summary, as_seeds, summary_over_seeds
from efficiency.errors import UserError

SEEDS_NEEDED = 3
# All ways to deal 8 + 8 seeds are 12,870; where there are more than this, as many are drawn at random.
_MOST_PERMUTATIONS = 20_000
_PERMUTATIONS_AT_ONCE = 1000  # what they take of memory


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Whether a takes less compute than b.

    Attributes:
        a, b: the seeds of each in numbers.
        factor: b's median / a's, above 1 where a takes less, with its interval.
        hedges_g: the difference of mean log2 compute, b's less a's, in pooled standard deviations, corrected for few
            seeds; None below 3 seeds a side, with a seed that never reached or was stopped, or where no seed varies.
        permutation_p: two-sided, of a permutation test on `statistic`; None below 3 seeds a side.
        smallest_p: the least that such a test can give with so many seeds: 0.1 for 3 against 3, 0.029 for 4 against 4.
        statistic: 'mean log2 compute', 'mean rank' if a seed never reached, 'log-rank scores' if one was stopped.
        difference: of the statistic, b's less a's.
        welch_p: two-sided, of Welch's t test on log2 compute; None where `hedges_g` is.
        decided_by: 'permutation' where that test can get to the level asked for, else 'welch', which takes log2 compute
            for normal, else None. The numbers of seeds and of comparisons choose it, never its own p-value.
        comparisons: how many were tested together.
        p: of the test that decides, or of the permutation test where nothing can; corrected by Holm for those
            comparisons. None where nothing was tested.
        beats: whether a takes less compute by that test; None where nothing can decide.
        verdict: all this in a sentence.
    """

    a: Summary
    b: Summary
    factor: Factor
    hedges_g: float | None = None
    permutation_p: float | None = None
    smallest_p: float | None = None
    statistic: str | None = None
    difference: float | None = None
    welch_p: float | None = None
    decided_by: str | None = None
    comparisons: int = 0
    p: float | None = None
    beats: bool | None = None
    verdict: str = ''


def compare(
    a: Seeds | Sequence[float],
    b: Seeds | Sequence[float],
    names: tuple[str, str] = ('a', 'b'),
    alpha: float = 0.05,
    seed: int = 0,
) -> Comparison:
    """Whether a takes less compute than b to the same target.

    The permutation test deals the seeds to the two sides in every way (up to 20,000 of them; beyond, it draws as many)
    and supposes nothing of how compute is distributed. It takes the difference of mean log2 compute, or, where a seed
    never reached the target, of mean rank, in which all such seeds share the last place. Where a seed was stopped
    before the target, it takes the scores of the log-rank test (Peto & Peto, 1972, J. R. Stat. Soc. A 135, 185-207): of
    each seed the hazard that all seeds together have met up to its compute, less 1 if it got there. That test supposes
    that seeds of both sides are stopped in the same manner. Its p-value is twice the smaller tail's, at most 1. With 3
    seeds against 3, there are 20 ways, and no p-value is below 0.1.

    Args:
        a, b: the seeds of each; plain numbers are seeds of which none was stopped.
        names: of the two, for the sentence.
        alpha: the p-value up to which a difference counts as shown.
        seed: of the draws, where there are too many ways.

    Raises:
        UserError: if a side has no seeds, or compute is not positive.
    """
    return _decided([(names, _tested(a, b, names, seed))], alpha)[0]


def compare_with_baseline(
    systems: Mapping[str, Seeds | Sequence[float]], baseline: str, alpha: float = 0.05, seed: int = 0
) -> dict[str, Comparison]:
    """Whether each of the other systems takes less compute than the baseline, see `compare`, corrected for all of them.

    Of many comparisons one in twenty shows a difference at 0.05 that is not there. The p-values of all that have seeds
    enough for a test are corrected together by Holm's method: the chance of one such among them is at most 0.05.

    Args:
        systems: the seeds of each by name, the baseline's among them.

    Returns:
        By name, without the baseline.
    """
    others = {name: (name, baseline) for name in systems if name != baseline}
    tested = [(pair, _tested(systems[name], systems[baseline], pair, seed)) for name, pair in others.items()]
    return dict(zip(others, _decided(tested, alpha), strict=True))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for there being several (Holm, 1979, Scand. J. Statist. 6, 65-70).

    The smallest is multiplied by their number, the next by one less, and so on; none falls below one before it.

    Returns:
        In the order given, at most 1.
    """
    order = np.argsort(p_values, kind='stable')
    corrected = np.asarray(p_values, float)[order] * np.arange(len(order), 0, -1)
    result = np.empty(len(order))
    result[order] = np.minimum(np.maximum.accumulate(corrected), 1)
    return result.tolist()


def _tested(a, b, names: tuple[str, str], seed: int) -> Comparison:
    """All of a comparison but for what is decided by it; without a test, its verdict."""
    a, b = (as_seeds(side, name) for name, side in zip(names, (a, b), strict=True))
    sides = summary_over_seeds(a), summary_over_seeds(b)
    result = Comparison(*sides, factor_with_interval(b, a))
    if few := [f'{name} has {side.n}' for name, side in zip(names, sides, strict=True) if side.n < SEEDS_NEEDED]:
        too_few = f'a test needs {SEEDS_NEEDED} seeds a side, and {" and ".join(few)}'
        return dataclasses.replace(result, verdict=f'{_factor_text(result, names)}, untested: {too_few}.')
    if not sides[0].n_reached + sides[1].n_reached:
        stopped = f', and {_stopped(result, names)}' if _stopped(result, names) else ''
        return dataclasses.replace(result, verdict=f'No seed of {names[0]} or {names[1]} reaches the target{stopped}.')
    return dataclasses.replace(result, **_permutation(a, b, seed), **_normal(a, b))


def _decided(tested: Sequence[tuple[tuple[str, str], Comparison]], alpha: float) -> list[Comparison]:
    """What the comparisons say that were made together."""
    at = [i for i, (_, result) in enumerate(tested) if result.permutation_p is not None]
    choices = {}
    for i in at:
        result = tested[i][1]
        enough = result.smallest_p * len(at) <= alpha
        choices[i] = 'permutation' if enough else 'welch' if result.welch_p is not None else None
    p_values = [tested[i][1].welch_p if choices[i] == 'welch' else tested[i][1].permutation_p for i in at]
    decided = [result for _, result in tested]
    for k, (i, p) in enumerate(zip(at, holm(p_values), strict=True)):
        names, result = tested[i]
        # With the others as they are, the test may get there after all: Holm multiplies by less where those are shown.
        least = holm([*p_values[:k], result.smallest_p, *p_values[k + 1 :]])[k]
        if choices[i] is None and least <= alpha:
            choices[i] = 'permutation'
        beats = None if choices[i] is None else bool(p <= alpha and result.difference > 0)
        result = dataclasses.replace(result, decided_by=choices[i], comparisons=len(at), p=p, beats=beats)
        decided[i] = dataclasses.replace(result, verdict=_verdict(result, names, alpha))
    return decided


def _scores(a: Seeds, b: Seeds) -> tuple[np.ndarray, np.ndarray]:
    """What the permutation test takes means of: the larger, the more compute."""
    values = np.array(a.values + b.values)
    censored = np.array(a.censored + b.censored)
    if not (values > 0).all():
        raise UserError('a test needs compute that is positive, and a seed has none')
    if censored.any():
        values = _hazards(values, ~censored) - ~censored
    elif np.isfinite(values).all():
        values = np.log2(values)
    else:
        values = stats.rankdata(values)
    return values[: len(a.values)], values[len(a.values) :]


def _hazards(values: np.ndarray, events: np.ndarray) -> np.ndarray:
    """The cumulative hazard at each seed's compute: what share of those on their way got there, added up."""
    times, counts = np.unique(values[events], return_counts=True)
    on_their_way = (values >= times[:, None]).sum(axis=1)
    return ((times <= values[:, None]) * (counts / on_their_way)).sum(axis=1)


def _statistic(a: Seeds, b: Seeds) -> str:
    if a.n_censored + b.n_censored:
        return 'log-rank scores'
    return 'mean log2 compute' if np.isfinite(a.values + b.values).all() else 'mean rank'


def _permutation(a: Seeds, b: Seeds, seed: int) -> dict:
    scores = _scores(a, b)
    test = stats.permutation_test(
        scores,
        # Rounded, as ways of equal difference, of which there are many, would else differ in their last bits.
        lambda x, y, axis: np.round(y.mean(axis=axis) - x.mean(axis=axis), 9),
        vectorized=True,
        n_resamples=_MOST_PERMUTATIONS,
        batch=_PERMUTATIONS_AT_ONCE,
        rng=np.random.default_rng(seed),
    )
    n, m = len(a.values), len(b.values)
    ways = math.comb(n + m, n)
    return {
        'permutation_p': float(test.pvalue),
        'smallest_p': 2 / ways if ways <= _MOST_PERMUTATIONS else 2 / (_MOST_PERMUTATIONS + 1),
        'statistic': _statistic(a, b),
        'difference': float(scores[1].mean() - scores[0].mean()),
    }


def _normal(a: Seeds, b: Seeds) -> dict:
    """Welch's test and Hedges' g, where there is something for them to go by."""
    if _statistic(a, b) != 'mean log2 compute':
        return {}
    a, b = np.log2(a.values), np.log2(b.values)
    if np.ptp(a) == 0 and np.ptp(b) == 0:
        return {}
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


def _factor_text(result: Comparison, names: tuple[str, str]) -> str:
    factor, stopped = result.factor, _stopped(result, names)
    if factor.value is None and factor.bound:
        return f'which of {names[0]} and {names[1]} takes less compute in the median is not known, as {stopped}'
    if factor.value is None:
        text = f'neither reaches the target in the median, {_reached(result, names)}'
    elif factor.may_be_either and factor.value != math.inf:
        text = f'{names[1]} takes {factor} times what {names[0]} takes in the median: which takes less is not known'
    elif factor.value in (0, math.inf):
        one, other = names if factor.value else names[::-1]
        text = f'{one} reaches the target in the median and {other} does not, {_reached(result, names)}'
    elif factor.value == 1 and not factor.bound:
        text = f'{names[0]} and {names[1]} take the same compute in the median, factor {factor}'
    elif factor.value >= 1:
        text = f'{names[0]} takes {factor} x less compute than {names[1]} in the median'
    else:
        text = f'{names[1]} takes {factor.inverse} x less compute than {names[0]} in the median'
    return f'{text}, where {stopped}' if stopped else text


def _reached(result: Comparison, names: tuple[str, str]) -> str:
    sides = zip(names, (result.a, result.b), strict=True)
    return ' and '.join(f'{side.n_reached} of {side.n} seeds of {name} do' for name, side in sides)


def _stopped(result: Comparison, names: tuple[str, str]) -> str:
    """How many seeds were stopped before the target, '' for none."""
    sides = zip(names, (result.a, result.b), strict=True)
    stopped = [f'{side.n_censored} of {side.n} seeds of {name}' for name, side in sides if side.n_censored]
    return f'{" and ".join(stopped)} were stopped before it' if stopped else ''


def _verdict(result: Comparison, names: tuple[str, str], alpha: float) -> str:
    test = f'permutation test on {result.statistic}, p = {result.permutation_p:.2g}'
    seeds = f'{result.a.n} against {result.b.n} seeds'
    if result.decided_by != 'permutation':
        test += f', where {seeds} cannot give less than {result.smallest_p:.2g}'
    if result.welch_p is not None:
        test += f"; Welch's t on log2 compute, p = {result.welch_p:.2g}"
    if result.decided_by == 'welch':
        test += ', which takes log2 compute for normal'
    if result.comparisons > 1:
        test += f"; p = {result.p:.2g} after Holm's correction for {result.comparisons} comparisons"
    text = _factor_text(result, names)
    if result.decided_by is None:
        among = f' among {result.comparisons} comparisons' if result.comparisons > 1 else ''
        return f'{text}, but {seeds} cannot show a difference at {alpha:g}{among} ({test}).'
    shown_or_not = 'the seeds show a difference' if result.p <= alpha else 'the seeds do not show a difference'
    value = result.factor.value
    if result.p <= alpha and value is not None and (value - 1) * result.difference < 0:
        less = names[0] if result.difference > 0 else names[1]
        shown_or_not = f'the seeds show a difference the other way, as over all of them {less} takes less'
    return f'{text}; {shown_or_not} at {alpha:g} ({test}).'
