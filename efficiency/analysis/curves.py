"""What whole curves say: how the answer moves with the level that is asked for.

Hernandez & Brown (2020, arXiv:2005.04305) ask for AlexNet's level alone, and their figure 4 shows that what is best
depends on the level; that is the main criticism of the method (Erdil & Besiroglu, 2022, arXiv:2212.05153). Compute is
in multiply-adds; a curve is read at its evaluations, without interpolation.
"""

import dataclasses
import datetime
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from efficiency.analysis.charts import listed
from efficiency.analysis.factors import Factor, factors_over
from efficiency.analysis.survival import Seeds, Summary
from efficiency.analysis.trends import as_date, frontier_doubling_months, frontier_indices
from efficiency.errors import UserError, shown
from efficiency.metrics import Metric


class Curve(NamedTuple):
    """Of one seed.

    Attributes:
        values: of its evaluations, of one metric.
        macs: spent up to each.
        stopped: whether it ended because it had met a target of its own: what it did not reach by then takes more.
    """

    values: Sequence[float]
    macs: Sequence[float]
    stopped: bool = False


@dataclasses.dataclass(frozen=True)
class SystemAtLevel:
    """What it takes one system to reach one level.

    Attributes:
        name, published: as given.
        macs: of the seeds, their median by Kaplan & Meier's estimate.
        seeds: of every seed, for `compare` and resampling.
        factor_to_baseline: the baseline's compute / this system's, with its interval; see `factors_over`.
        factor_to_frontier_end: this system's compute / the least that is known; None unless the system reaches the
            level in the median.
        on_frontier: whether nothing published up to then took less; what is a bound is on no frontier.
    """

    name: str
    published: datetime.date
    macs: Summary
    seeds: Seeds
    factor_to_baseline: Factor
    factor_to_frontier_end: float | None
    on_frontier: bool


# What it took each seed to each level, and whether it was stopped before; (seeds, levels).
_Amounts = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class LevelRow:
    """What all systems say of one level.

    Attributes:
        level: what is asked for.
        frontier: the systems on it, by date.
        factor: the baseline's compute / the least that is known, with the interval of a comparison with that system;
            of no value where none reaches the level.
        doubling_months: of the frontier; infinite where its first point is its last, None where the baseline is not
            known to reach the level in the median, or systems of fewer than two dates are.
        note: what stands in the way of a comparison with other levels, in a sentence or more; else empty.
        dates, baseline, amounts, number, least: of what `systems` are made: of thousands few are ever looked at.
    """

    level: float
    frontier: tuple[str, ...]
    factor: Factor
    doubling_months: float | None
    note: str
    dates: Mapping[str, datetime.date]
    baseline: str
    amounts: Mapping[str, _Amounts]
    number: int
    least: float

    @property
    def systems(self) -> tuple[SystemAtLevel, ...]:
        """All of them, by date."""
        return tuple(map(self.system, self.dates))

    def system(self, name: str) -> SystemAtLevel:
        """One of them."""
        seeds = _seeds(self.amounts[name], self.number)
        known = known_median(seeds.summary)
        return SystemAtLevel(
            name=name,
            published=self.dates[name],
            macs=seeds.summary,
            seeds=seeds,
            factor_to_baseline=_factor(self.amounts, name, self.baseline, self.number),
            factor_to_frontier_end=None if math.isinf(known) else known / self.least,
            on_frontier=name in self.frontier,
        )


def sensitivity(
    curves: Mapping[str, tuple[Any, Sequence[Curve]]],
    metric: Metric,
    levels: Sequence[float],
    baseline: str,
    method: str = 'least_squares',
) -> list[LevelRow]:
    """How factor and doubling time move with the level asked for, from whole curves.

    The paper asks for AlexNet's level alone; that is the main criticism of its method.

    Args:
        curves: of each system its publication date and, for each seed, a `Curve`.
        metric: that the curves are of.
        levels: to ask for.
        baseline: the system that the factors compare with.
        method: see `doubling_months`.

    Returns:
        A row for each level, in the order given, also for those that the baseline does not reach.

    Raises:
        UserError: for an unknown baseline, a system without curves, a curve that is not one, or a date that is not one.
    """
    if baseline not in curves:
        raise UserError(f'the baseline {shown(baseline)} is none of the systems: {", ".join(curves)}')
    dates = {name: as_date(date) for name, (date, _) in curves.items()}
    dates = dict(sorted(dates.items(), key=lambda item: item[1]))
    if without := [name for name, (_, seeds) in curves.items() if not seeds]:
        raise UserError(f'{without[0]} has no curves')
    found = {}
    for name, (_, seeds) in curves.items():
        read = [Curve(*checked_curve(f'{name}, seed {i}', *seed[:2]), *seed[2:]) for i, seed in enumerate(seeds)]
        found[name] = _amounts_at(read, metric, levels)
    return [_level_row(level, dates, found, i, baseline, method) for i, level in enumerate(levels)]


def checked_curve(name: str, values: Sequence[float], macs: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """A curve as arrays.

    Raises:
        UserError: if there is not one value, a finite number, for each macs, or macs are not positive and rising;
            names the curve.
    """
    try:
        values, macs = (
            np.asarray(each if isinstance(each, np.ndarray) else list(each), dtype=float) for each in (values, macs)
        )
    except (TypeError, ValueError) as error:
        raise UserError(f'the curve of {name} has something that is no number') from error
    if values.shape != macs.shape:
        raise UserError(f'the curve of {name} has {len(values)} values for {len(macs)} macs')
    if not (np.isfinite(values).all() and np.isfinite(macs).all()):
        raise UserError(f'the curve of {name} has numbers that are not finite')
    if len(macs) and not (macs[0] > 0 and (macs[1:] > macs[:-1]).all()):
        raise UserError(f'the macs of the curve of {name} do not rise from one evaluation to the next')
    return values, macs


def _amounts_at(curves: Sequence[Curve], metric: Metric, levels: Sequence[float]) -> _Amounts:
    """What it took each seed to its first evaluation at each of the levels."""
    asked = metric.gain(np.asarray(levels, float))
    amounts, censored = np.empty((len(curves), len(levels))), np.empty((len(curves), len(levels)), bool)
    for i, curve in enumerate(curves):
        # The first evaluation at a level is the first up to which the best is.
        at = np.maximum.accumulate(metric.gain(curve.values)).searchsorted(asked)
        stopped = curve.stopped and len(curve.macs) > 0
        amounts[i] = np.append(curve.macs, curve.macs[-1] if stopped else math.inf)[at]
        censored[i] = (at == len(curve.macs)) & stopped
    return amounts, censored


def _seeds(amounts: _Amounts, number: int) -> Seeds:
    return Seeds(*(tuple(each[:, number].tolist()) for each in amounts))


def known_median(macs: Summary) -> float:
    """The median; what is not known is on no frontier, as what was never reached."""
    return math.inf if macs.is_bound else macs.median


def _factor(amounts: Mapping[str, _Amounts], name: str, baseline: str, number: int) -> Factor:
    names = dict.fromkeys((baseline, name))
    return factors_over({each: _seeds(amounts[each], number) for each in names}, baseline)[name]


def _level_row(
    level: float,
    dates: Mapping[str, datetime.date],
    amounts: Mapping[str, _Amounts],
    number: int,
    baseline: str,
    method: str,
) -> LevelRow:
    """One row of `sensitivity`; dates are in their order."""
    macs = {name: _seeds(amounts[name], number).summary for name in dates}
    known = list(map(known_median, macs.values()))
    names = list(dates)
    frontier = tuple(names[i] for i in frontier_indices(list(dates.values()), known))
    least = min(known)
    notes = []
    base = macs[baseline]
    if math.isinf(base.median):
        notes.append(f'{baseline} does not reach {level:g}: {base.n_reached} of {base.n} seeds do.')
    if bounds := [name for name in dates if macs[name].is_bound]:
        stopped = listed([f'{name} ({macs[name].n_censored} of {macs[name].n} seeds)' for name in bounds])
        notes.append(f'Only known to take this much or more, as runs were stopped before: {stopped}.')
    if frontier and math.isfinite(base.median) and baseline != frontier[0]:
        notes.append(f'The frontier begins with {frontier[0]}, not with {baseline}.')
    cheapest = None if math.isinf(least) else names[known.index(least)]
    return LevelRow(
        level=level,
        frontier=frontier,
        factor=_factor(amounts, cheapest, baseline, number) if cheapest else Factor(None),
        doubling_months=None
        if math.isinf(known[names.index(baseline)])
        else frontier_doubling_months(list(dates.values()), known, method),
        note=' '.join(notes),
        dates=dates,
        baseline=baseline,
        amounts=amounts,
        number=number,
        least=least,
    )
