"""What two families of networks take to the same losses, as their runs have it: no law between them and the factor."""

import dataclasses
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from efficiency.analysis.cells import factor_cells, factor_column, parts
from efficiency.analysis.curves import known_median
from efficiency.analysis.document import Column, Table
from efficiency.analysis.factors import Factor, factors_over
from efficiency.analysis.runs import MeasuredRun, System, Target, seeds_of, systems
from efficiency.analysis.survival import Seeds

_LEVELS = 6


class LevelFactor(NamedTuple):
    """What the cheapest system of either family takes to a loss, by the median, and the factor of the one by the other.

    Attributes:
        level: the loss.
        base, base_macs: of the older family the system, and the train macs.
        other, other_macs: of the newer.
        factor: with the interval of a comparison of these two systems, as if they had been chosen before.
    """

    level: float
    base: str
    base_macs: float
    other: str
    other_macs: float
    factor: Factor


def level_factors(target: Target, base: Sequence[MeasuredRun], other: Sequence[MeasuredRun]) -> list[LevelFactor]:
    """The factor between two families at six losses, evenly spaced on a logarithmic axis.

    They go from the least that the smallest systems of both have at their first evaluation, in the median, to the least
    that both families get to; what it takes to one is interpolated between evaluations. None where there is nothing
    between.

    Args:
        target: of the metric, a loss, and the data.
        base, other: runs of the older family and of the newer.
    """
    families = [systems(base), systems(other)]
    name = target.metric.name
    smallest = [min(family, key=lambda system: system.runs[0].forward_dense_macs) for family in families]
    first = min(statistics.median(float(run.curve[name][0]) for run in system.runs) for system in smallest)
    last = max(min(_least(system, name) for system in family) for family in families)
    if not 0 < last < first:
        return []
    found = []
    for level in np.geomspace(first, last, _LEVELS).tolist():
        at = dataclasses.replace(target, value=level)
        (one, one_seeds), (two, two_seeds) = (_cheapest(family, at) for family in families)
        found.append(
            LevelFactor(
                level, one.runs[0].system or one.name, one_seeds.summary.median, two.runs[0].system or two.name,
                two_seeds.summary.median, factors_over({'base': one_seeds, 'other': two_seeds}, 'base')['other'],
            )
        )  # fmt: skip
    return found


def _least(system: System, metric: str) -> float:
    """The least that so many of its runs get to that the median is known."""
    return statistics.median_high(float(run.curve[metric].min()) for run in system.runs)


def _cheapest(family: Sequence[System], target: Target) -> tuple[System, Seeds]:
    """The system that takes the least to a level in the median that is known; a bound comes after all that is."""
    found = [(system, seeds_of(system.crossings(target, 'interpolated'))) for system in family]
    return min(found, key=lambda each: known_median(each[1].summary))


def level_table(name: str, title: str, target: Target, base: str, other: str, found: Sequence[LevelFactor]) -> Table:
    """The factors as a table."""
    columns = (
        Column('level', target.metric.name), factor_column('factor', 'factor'), Column('base_macs', f'{base}, macs'),
        Column('base', 'by'), Column('other_macs', f'{other}, macs'), Column('other', 'by'),
    )  # fmt: skip
    rows = [
        {key: value for key, value in each._asdict().items() if key != 'factor'} | factor_cells('factor', each.factor)
        for each in found
    ]
    text = (
        'Train macs to each level, interpolated between evaluations, of the system of each family that takes least in '
        'the median. Intervals are those of a comparison of these two, as if they had been chosen before.'
    )
    return Table(name, title, columns, rows, text, parts(factors=['factor']))


def told(base: str, other: str, found: Sequence[LevelFactor]) -> str:
    """The first and the last of the factors in a sentence."""
    ends = ' and '.join(f'{each.factor} at {each.level:.3g}' for each in (found[0], found[-1]))
    return f'As the runs have it, each by its cheapest size, {base} takes {ends} times what {other} takes.'
