"""What whole curves say: how the answer moves with the level of accuracy that is asked for.

Hernandez & Brown (2020, arXiv:2005.04305) ask for AlexNet's level alone, and their figure 4 shows that what is best
depends on the level; that is the main criticism of the method (Erdil & Besiroglu, 2022, arXiv:2212.05153). Compute is
in multiply-adds, accuracy in shares of 1; a curve is read at its evaluations, without interpolation.
"""

import dataclasses
import datetime
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from efficiency.analysis.survival import summary_over_seeds
from efficiency.analysis.trends import as_date, frontier_doubling_months, frontier_indices
from efficiency.errors import UserError, shown

# Of one seed: the accuracies of its evaluations, and the macs spent up to each.
Curve = tuple[Sequence[float], Sequence[float]]


@dataclasses.dataclass(frozen=True)
class SystemAtLevel:
    """What it takes one system to reach one level of accuracy.

    Attributes:
        name, published: as given.
        macs: the median over seeds, infinite where that is a seed that never got there; None where it is not known, as
            the runs were stopped at a lower level.
        seeds: of every seed, for `bootstrap_seeds` and `compare`; empty where `macs` is None.
        factor_to_baseline: the baseline's compute / this system's; None unless both reach the level.
        factor_to_frontier_end: this system's compute / the least of all; None unless it reaches the level.
        on_frontier: whether nothing published up to then took less.
    """

    name: str
    published: datetime.date
    macs: float | None
    seeds: tuple[float, ...]
    factor_to_baseline: float | None
    factor_to_frontier_end: float | None
    on_frontier: bool


@dataclasses.dataclass(frozen=True)
class LevelRow:
    """What all systems say of one level of accuracy.

    Attributes:
        level: the accuracy asked for.
        systems: all of them, by date.
        factor: the baseline's compute / the least of all; None where the baseline does not reach the level.
        doubling_months: of the frontier; infinite where its first point is its last, None where fewer than two dates
            have a system that reaches the level.
        note: what stands in the way of a comparison with other levels, in a sentence or more; else empty.
    """

    level: float
    systems: tuple[SystemAtLevel, ...]
    factor: float | None
    doubling_months: float | None
    note: str


def sensitivity(
    curves: Mapping[str, tuple[Any, Sequence[Curve]]],
    levels: Sequence[float],
    baseline: str,
    stopped_at: Mapping[str, float] | None = None,
    method: str = 'least_squares',
) -> list[LevelRow]:
    """How factor and doubling time move with the accuracy asked for, from whole curves.

    The paper asks for AlexNet's level alone; that is the main criticism of its method.

    Args:
        curves: of each system its publication date and, for each seed, the accuracies of its evaluations and the macs
            spent up to each.
        levels: accuracies to ask for.
        baseline: the system that the factors compare with.
        stopped_at: of systems whose runs end where they first reach a target, that target. Whether a run that met it
            would have reached a higher level is not known, so the system counts at no such level.
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
    read = {
        name: [checked_curve(f'{name}, seed {i}', *seed) for i, seed in enumerate(seeds)]
        for name, (_, seeds) in curves.items()
    }
    if without := [name for name, seeds in read.items() if not seeds]:
        raise UserError(f'{without[0]} has no curves')
    stopped_at = stopped_at or {}
    rows = []
    for level in levels:
        seeds = {name: _crossings(read[name], level, stopped_at.get(name)) for name in dates}
        rows.append(_level_row(level, dates, seeds, baseline, method))
    return rows


def checked_curve(name: str, accuracies: Sequence[float], macs: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """A curve as arrays.

    Raises:
        UserError: if there is not one accuracy, a finite number, for each macs, or macs are not positive and rising;
            names the curve.
    """
    try:
        accuracies, macs = (np.asarray(list(values), dtype=float) for values in (accuracies, macs))
    except (TypeError, ValueError) as error:
        raise UserError(f'the curve of {name} has something that is no number') from error
    if accuracies.shape != macs.shape:
        raise UserError(f'the curve of {name} has {len(accuracies)} accuracies for {len(macs)} macs')
    if not (np.isfinite(accuracies).all() and np.isfinite(macs).all()):
        raise UserError(f'the curve of {name} has numbers that are not finite')
    if (np.diff(macs, prepend=0) <= 0).any():
        raise UserError(f'the macs of the curve of {name} do not rise from one evaluation to the next')
    return accuracies, macs


def _crossings(
    seeds: Sequence[tuple[np.ndarray, np.ndarray]], level: float, stopped_at: float | None
) -> tuple[float, ...]:
    """The macs of each seed's first evaluation at the level, infinite without one; nothing if one stopped before it."""
    crossings = []
    for accuracies, macs in seeds:
        met = accuracies >= level
        if not met.any() and stopped_at is not None and (accuracies >= stopped_at).any():
            return ()
        crossings.append(float(macs[met.argmax()]) if met.any() else math.inf)
    return tuple(crossings)


def _level_row(
    level: float,
    dates: Mapping[str, datetime.date],
    seeds: Mapping[str, tuple[float, ...]],
    baseline: str,
    method: str,
) -> LevelRow:
    """One row of `sensitivity`; dates are in their order."""
    macs = {name: summary_over_seeds(seeds[name]).median if seeds[name] else None for name in dates}
    # What is not known is on no frontier, as what was never reached.
    points = list(dates.values()), [math.inf if m is None else m for m in macs.values()]
    frontier = [list(dates)[i] for i in frontier_indices(*points)]
    least = min(points[1])
    base = macs[baseline] if macs[baseline] not in (None, math.inf) else None
    systems = []
    for name, published in dates.items():
        reached = macs[name] not in (None, math.inf)
        systems.append(
            SystemAtLevel(
                name=name,
                published=published,
                macs=macs[name],
                seeds=seeds[name],
                factor_to_baseline=base / macs[name] if reached and base else None,
                factor_to_frontier_end=macs[name] / least if reached else None,
                on_frontier=name in frontier,
            )
        )
    notes = []
    if macs[baseline] == math.inf:
        summary = summary_over_seeds(seeds[baseline])
        notes.append(f'{baseline} does not reach {level:g}: {summary.n_reached} of {summary.n} seeds do.')
    if unknown := [name for name in dates if macs[name] is None]:
        notes.append(f'Not known at {level:g}, as runs were stopped at a lower level: {", ".join(unknown)}.')
    if base and baseline != frontier[0]:
        notes.append(f'The frontier begins with {frontier[0]}, not with {baseline}.')
    return LevelRow(
        level=level,
        systems=tuple(systems),
        factor=base / least if base else None,
        doubling_months=frontier_doubling_months(*points, method),
        note=' '.join(notes),
    )
