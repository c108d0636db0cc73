"""Levels of a metric: those that a command line asks for, and those around a target that tables and figures ask for."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from efficiency.errors import UserError, shown
from efficiency.metrics import Metric

_FORM = 'a level is a metric and its value, as top1:0.954'


def split_level(text: str) -> tuple[str, float]:
    """'top1:0.954' as a metric's name and a value, a number that may be none of that metric.

    Raises:
        UserError: if it is not of that form.
    """
    name, _, value = text.rpartition(':')
    try:
        number = float(value.removesuffix('%'))
    except ValueError:
        number = math.nan
    if not name or not math.isfinite(number):
        raise UserError(f'--target={shown(text)} is none: {_FORM}')
    if value.endswith('%'):
        raise UserError(
            f'--target={shown(text)}: a value has no %; of a share, {number:g} % is {name}:{number / 100:g}'
        )
    return name, number


def parse_levels(texts: Sequence[str], metrics: Sequence[Mapping[str, Metric]]) -> list[list[tuple[Metric, float]]]:
    """The levels that a command line asks for, once it is known what there is to ask of.

    Args:
        texts: as 'top1:0.954', 'bleu:27.3' or 'return:-150'.
        metrics: by name, of each of the things that are asked, as data sets; what one is a metric of need not be of
            another.

    Returns:
        Of each of them the levels that it can have, each once.

    Raises:
        UserError: for a level that none of them can have; says what would be right.
    """
    found: list[dict[tuple[Metric, float], None]] = [{} for _ in metrics]
    for text in texts:
        name, value = split_level(text)
        known = [each[name] for each in metrics if name in each]
        for levels, each in zip(found, metrics, strict=True):
            if name in each and each[name].is_level(value):
                levels[each[name], value] = None
        if not known:
            there = ', '.join(sorted({name for each in metrics for name in each})) or 'none'
            raise UserError(f'--target={shown(text)}: there is no metric {name}; the metrics are {there}')
        if not any(metric.is_level(value) for metric in known):
            hint = f'; {value:g} % is {name}:{value / 100:g}' if known[0].is_share and 1 < value <= 100 else ''
            raise UserError(f'--target={shown(text)}: a level of {name} is {known[0].wanted}{hint}')
    return [list(levels) for levels in found]


def levels_around(metric: Metric, target: float, first: float, best: float, count: int) -> list[float]:
    """Levels from easy to hard, the target among them, in ascending order.

    Shares that rise are asked for in steps of their error, by factors from four times the target's to the least; what
    falls to 0 in steps of itself, as far; everything else in even steps.

    Args:
        target: the level that is known to be asked for.
        first: what runs have at their beginning, and so nobody asks for.
        best: that any run has.
        count: how many, about.
    """
    if metric.is_share and metric.rises:
        error = max(1 - target, 1e-3)
        errors = np.geomspace(min(4 * error, 0.9), max(1 - best, 1e-3), count)
        found = {round(1 - float(e), 3) for e in errors}
    elif not metric.rises and metric.low == 0 and min(target, first) > 0:
        least = best if best > 0 else target / 4
        found = {_rounded(float(v), least) for v in np.geomspace(min(4 * target, max(first, target)), least, count)}
    else:
        found = {_rounded(float(v), abs(best - first)) for v in np.linspace(first, best, count)}
    return sorted({*(level for level in found if metric.is_level(level)), target})


def _rounded(value: float, scale: float) -> float:
    """To three digits of the scale."""
    return round(value, 2 - math.floor(math.log10(scale))) if scale else value
