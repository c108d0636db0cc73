"""Where a factor comes from: fewer examples or cheaper ones, better hardware or better use of it, money or algorithms.

Hernandez & Brown (2020, arXiv:2005.04305), table 1, split the efficiency factor of each network into one of epochs and
one of compute per epoch; section 5.4 and figure 5 multiply hardware, spending and algorithms into effective compute.
Compute is in multiply-adds (macs) of one convention throughout, time in seconds, rates in macs a second.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from efficiency.analysis.crossings import Crossing
from efficiency.analysis.curves import checked_curve
from efficiency.analysis.factors import Factor, exact_factor, factor_with_interval
from efficiency.analysis.runs import MeasuredRun, seeds_of
from efficiency.analysis.survival import median_or_more
from efficiency.analysis.trends import DAYS_PER_MONTH, as_date
from efficiency.errors import UserError, shown
from efficiency.metrics import Metric

# How far macs an example may be apart that were counted: they agree to the last digits.
_TOLERANCE = 1e-6


@dataclasses.dataclass(frozen=True)
class Split:
    """How many times less one system took than another, and by what: factors of medians over seeds, as table 1's.

    Every median is taken by itself: products hold of one seed each, and else as nearly as the seeds agree.

    Attributes:
        examples: how many times fewer examples.
        macs_per_example: how many times less compute an example; below 1 where each costs more.
        train_macs: of both together.
        seconds: of the wall clock, of all together. None, as the next two, unless every run has seconds and a peak.
        hardware: how many times higher the devices' peak.
        utilisation: how many times higher the share of it that was used.
    """

    examples: Factor
    macs_per_example: Factor
    train_macs: Factor
    seconds: Factor | None = None
    hardware: Factor | None = None
    utilisation: Factor | None = None


@dataclasses.dataclass(frozen=True)
class EffectiveCompute:
    """Growth of what the largest runs can do (section 5.4), as factors over one period.

    Attributes:
        hardware: operations that a unit of money buys.
        spending: money and parallelisation.
        algorithms: efficiency, at a level known at the beginning.
    """

    hardware: float
    spending: float
    algorithms: float

    @property
    def compute(self) -> float:
        """Operations of the largest runs: hardware x spending."""
        return self.hardware * self.spending

    @property
    def effective(self) -> float:
        """Operations that the algorithms of the beginning would need: compute x algorithms."""
        return self.compute * self.algorithms


@dataclasses.dataclass(frozen=True)
class WithinBudget:
    """How far one system gets with a budget.

    Attributes:
        name: of the system.
        level: its best value at evaluations within the budget, the median over seeds; None where half of them have no
            evaluation so early.
        level_is_bound: whether it is this good or better, as runs were stopped before the budget was spent.
        epochs, macs: where each seed had its best first, the medians over the seeds that have one; None as `level`.
        seeds: how many.
        seeds_ended: how many of them ended before the budget was spent.
    """

    name: str
    level: float | None
    level_is_bound: bool
    epochs: float | None
    macs: float | None
    seeds: int
    seeds_ended: int


def split_factor(a: Sequence[tuple[MeasuredRun, Crossing]], b: Sequence[tuple[MeasuredRun, Crossing]]) -> Split:
    """How many times less the runs of b took than those of a, and by what. Exchanged sides give the inverse.

    Args:
        a: the runs that factors compare with, as AlexNet's, and what each took; of one run or more.
        b: the others.

    Raises:
        UserError: if a side has no runs.
    """
    examples, train_macs = (
        factor_with_interval(seeds_of(a, key), seeds_of(b, key)) for key in ('examples', 'train_macs')
    )
    # Counted, and so the same for every seed, unless a run went on under another program.
    each_a, each_b = ([_spent(*item)[0] / _spent(*item)[1] for item in side] for side in (a, b))
    if np.ptp(each_a) <= _TOLERANCE * each_a[0] and np.ptp(each_b) <= _TOLERANCE * each_b[0]:
        macs_per_example = exact_factor(each_a[0], each_b[0])
    else:
        macs_per_example = factor_with_interval(each_a, each_b)
    result = Split(examples, macs_per_example, train_macs)
    runs = [*a, *b]
    if not all(run.matmul_peak_macs_per_second and _spent(run, crossing)[2] for run, crossing in runs):
        return result
    peaks_a, peaks_b = ([run.matmul_peak_macs_per_second for run, _ in side] for side in (a, b))
    used_a, used_b = ([_utilisation(*item) for item in side] for side in (a, b))
    return dataclasses.replace(
        result,
        seconds=factor_with_interval(seeds_of(a, 'train_seconds'), seeds_of(b, 'train_seconds')),
        hardware=factor_with_interval(peaks_b, peaks_a),
        utilisation=factor_with_interval(used_b, used_a),
    )


def _spent(run: MeasuredRun, crossing: Crossing) -> tuple[float, float, float]:
    """Train macs, examples and seconds up to the crossing, or of the whole run where there is none."""
    if crossing.reached:
        return crossing.train_macs, crossing.examples, crossing.train_seconds
    return tuple(float(run.curve[key][-1]) for key in ('train_macs', 'examples', 'train_seconds'))


def _utilisation(run: MeasuredRun, crossing: Crossing) -> float:
    macs, _, seconds = _spent(run, crossing)
    return macs / (seconds * run.matmul_peak_macs_per_second)


def effective_compute(hardware: float, spending: float, algorithms: float) -> EffectiveCompute:
    """Effective compute from three factors.

    The paper's example: `effective_compute(hardware=8, spending=37_500, algorithms=25)` is 300,000 x in compute, of the
    largest runs from 2012 to 2018, and 7.5 million x in effect. The 25 is that of ShuffleNet v2 over AlexNet; the 8 is
    hardware that doubles every 2 years for 6, and 37,500 what it leaves of 300,000: the paper prints neither.

    Raises:
        UserError: if a factor is not positive and finite.
    """
    for name, factor in {'hardware': hardware, 'spending': spending, 'algorithms': algorithms}.items():
        if not 0 < factor < math.inf:
            raise UserError(f'the factor of {name} is positive and finite, not {shown(factor)}')
    return EffectiveCompute(hardware, spending, algorithms)


def effective_compute_over(
    start: Any, end: Any, hardware_months: float, spending_months: float, algorithms_months: float
) -> EffectiveCompute:
    """Effective compute over a period, of steady doublings.

    Args:
        start, end: dates, see `efficiency.analysis.trends`.
        hardware_months, spending_months, algorithms_months: the doubling time of each; infinite for what does not grow.

    Raises:
        UserError: if the period ends before it begins, or a doubling time is not positive.
    """
    period = (as_date(end) - as_date(start)).days / DAYS_PER_MONTH
    if period < 0:
        raise UserError(f'the period from {start} to {end} ends before it begins')
    doublings = {'hardware': hardware_months, 'spending': spending_months, 'algorithms': algorithms_months}
    for name, months in doublings.items():
        if not months > 0:
            raise UserError(f'the doubling time of {name} is positive, not {shown(months)}')
    return effective_compute(**{name: 2 ** (period / months) for name, months in doublings.items()})


def within_budget(
    candidates: Mapping[str, Sequence[tuple[Sequence[float], Sequence[float], Sequence[float], bool]]],
    metric: Metric,
    budget_macs: float,
) -> list[WithinBudget]:
    """What reaches which level within a budget.

    A run that was stopped at its own target before the budget was spent might have got further with the rest of it: its
    level is that or better, and the median over seeds is found as `efficiency.analysis.survival` finds that of compute.

    Args:
        candidates: of each system and each seed the values of its evaluations, the macs and epochs up to each, and
            whether it was stopped before it was trained to its end.
        metric: that the values are of.
        budget_macs: macs that may be spent on training.

    Returns:
        The best first; of equal levels the cheaper; last, by name, those that say nothing of so small a budget.

    Raises:
        UserError: if the budget is not positive, a system has no curves, or a curve is not one.
    """
    if not 0 < budget_macs < math.inf:
        raise UserError(f'a budget is a positive number of macs, not {shown(budget_macs)}')
    rows = [_within_budget(name, seeds, metric, budget_macs) for name, seeds in candidates.items()]
    return sorted(rows, key=lambda row: (row.level is None, -metric.gain(row.level or 0), row.macs or 0, row.name))


def _within_budget(
    name: str, seeds: Sequence[Sequence[Sequence[float]]], metric: Metric, budget_macs: float
) -> WithinBudget:
    if not seeds:
        raise UserError(f'{name} has no curves')
    gains, stopped_below, best, ended = [], [], [], 0
    for i, (*curve, epochs, stopped) in enumerate(seeds):
        values, macs = checked_curve(f'{name}, seed {i}', *curve)
        if len(epochs) != len(macs):
            raise UserError(f'the curve of {name}, seed {i} has {len(epochs)} epochs for {len(macs)} macs')
        affordable = int((macs <= budget_macs).sum())
        gains.append(-math.inf)
        if affordable:
            at = int(metric.gain(values[:affordable]).argmax())
            gains[-1] = metric.gain(float(values[at]))
            best.append((float(epochs[at]), float(macs[at])))
        ended += affordable == len(macs)
        stopped_below.append(stopped and affordable == len(macs))
    if 2 * len(best) <= len(seeds):
        return WithinBudget(name, None, False, None, None, len(seeds), ended)
    gain, is_bound = median_or_more(gains, stopped_below)
    epochs, macs = (float(values) for values in np.median(best, axis=0))
    return WithinBudget(name, metric.gain(gain), is_bound, epochs, macs, len(seeds), ended)
