"""The figures of the paper and those past it, as charts: what is on which axis, and what stands out."""

import dataclasses
import datetime
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from efficiency.analysis.axes import Axis, axis_of
from efficiency.analysis.charts import GRAY, Chart, Series, style, with_undrawn
from efficiency.analysis.document import cell_text
from efficiency.analysis.factors import Factor
from efficiency.analysis.schedules import learning_rate
from efficiency.metrics import Metric

_LINES = 12


def level_over_compute(
    name: str, title: str, metric: Metric, curves: Mapping[str, Mapping[str, np.ndarray]], target: float, text: str
) -> Chart:
    """A metric against training compute (the paper's figure 4).

    Args:
        curves: by system, a run's curve with `train_macs`, `epochs`, `examples` and the metric; at most twelve are
            drawn.
    """
    return _curves(
        name, title, metric, curves, target, text, ('train_macs', 'training compute, dense macs'), log_x=True
    )


def level_over_epochs(
    name: str,
    title: str,
    metric: Metric,
    curves: Mapping[str, Mapping[str, np.ndarray]],
    target: float,
    text: str,
    unit: str | None = None,
) -> Chart:
    """The curves of runs; see `level_over_compute`. `unit` is what examples are called where there are no epochs."""
    x = ('epochs', 'epochs') if unit is None else ('examples', unit)
    return _curves(name, title, metric, curves, target, text, x, log_x=False)


def _places(curve: Mapping[str, np.ndarray]) -> list[str]:
    if np.isnan(curve['epochs']).any():  # of what has no end
        return [f'{examples:,.0f} examples' for examples in curve['examples']]
    return [f'{epochs:g} epochs' for epochs in curve['epochs']]


def _curves(name, title, metric, curves, target, text, x, log_x) -> Chart:
    key, label = x
    drawn = dict(list(curves.items())[:_LINES])
    axis = axis_of(metric, [value for curve in drawn.values() for value in curve[metric.name]])
    series = []
    for i, (system, curve) in enumerate(drawn.items()):
        hover = [
            f'{system}\n{metric.text(value)} {metric.name} after {place}\n{cell_text(float(macs))} macs'
            for value, place, macs in zip(curve[metric.name], _places(curve), curve['train_macs'], strict=True)
        ]
        look = style(i)
        series.append(
            Series(
                system,
                curve[key].tolist(),
                [axis.place(value) for value in curve[metric.name]],
                look['colour'],
                look['marker'],
                look['dash'],
                hover=hover,
            )
        )
    if len(curves) > _LINES:
        text = f'{text} The first {_LINES} of {len(curves)} are drawn.'
    if any(None in s.y for s in series):
        text = f'{text} A line is broken where the axis has no place for its value, {axis.best:g}.'
    if series and axis.place(target) is not None:
        ends = [min(s.x[0] for s in series), max(s.x[-1] for s in series)]
        series.append(Series(f'target, {target:g}', ends, [axis.place(target)] * 2, GRAY, marker='', dash='dot'))
    return Chart(name, title, label, axis.label, series, text, log_x=log_x, log_y=axis.is_log, percent_y=axis.is_error)


def factor_over_level(name: str, title: str, metric: Metric, rows: Sequence, target: float | None, text: str) -> Chart:
    """How the efficiency factor and the doubling time move with the level asked for.

    Args:
        rows: of `efficiency.analysis.curves.sensitivity`.
    """
    known = [row for row in rows if _is_point(row.factor)]
    axis = axis_of(metric, [row.level for row in known])
    known = [row for row in known if axis.place(row.level) is not None]
    series = []
    if known:
        line = _factors('baseline to the end of the frontier', known, [row.factor for row in known], axis, style(0))
        series.append(dataclasses.replace(line, dash='solid'))
    for i, system in enumerate(sorted({name for row in known for name in row.frontier})[:8]):
        factors = [row.system(system).factor_to_baseline for row in known]
        series.append(_factors(system, known, factors, axis, style(i + 1)))
    if target is not None and known and axis.place(target) is not None:
        top, at = max(row.factor.value for row in known), axis.place(target)
        series.append(Series('the target', [at, at], [min(1.0, top), top], GRAY, marker='', dash='dash'))
    return Chart(
        name, title, f'asked for: {axis.label}', 'efficiency factor over the baseline', series, text,
        log_x=axis.is_log, log_y=True, percent_x=axis.is_error,
    )  # fmt: skip


def _is_point(factor: Factor) -> bool:
    """Whether a logarithmic axis has a place for it."""
    return factor.value is not None and 0 < factor.value < math.inf and not factor.bound


def _factors(name: str, rows: Sequence, factors: Sequence[Factor], axis: Axis, look: Mapping) -> Series:
    """A line of factors over the rows' levels, with their intervals; broken where there is no factor."""
    there = [factor if _is_point(factor) else Factor(None) for factor in factors]
    return Series(
        name,
        [axis.place(row.level) for row in rows],
        [factor.value for factor in there],
        look['colour'],
        look['marker'],
        'dot',
        hover=[
            f'{name}\n{axis.metric.goal(row.level)}\nfactor {factor}' for row, factor in zip(rows, factors, strict=True)
        ],
        low=[factor.low for factor in there],
        high=[factor.high for factor in there],
    )


def epochs_against_macs(name: str, title: str, points: Sequence[tuple[str, Factor, Factor, str]], text: str) -> Chart:
    """The factor in epochs against that in macs an epoch (the paper's table 1), with lines of equal efficiency.

    Args:
        points: system, epochs factor, macs factor, source; those that have no factor are left out, and hollow those
            whose factor is a bound.
    """
    has_place = [all(f.value is not None and 0 < f.value < math.inf for f in p[1:3]) for p in points]
    undrawn = [p[0] for p, there in zip(points, has_place, strict=True) if not there]
    text = with_undrawn(text, undrawn, 'as there is no factor, or not a known one')
    points = list(itertools.compress(points, has_place))
    series = [
        Series(
            label,
            [x.value for _, x, _, _ in some],
            [y.value for _, _, y, _ in some],
            hollow=hollow,
            labels=[p[0] for p in some],
            hover=[
                f'{s}\nepochs factor {x}\nmacs factor {y}\nefficiency factor {cell_text(x.value * y.value)}\n{w}'
                for s, x, y, w in some
            ],
            low=[y.low for _, _, y, _ in some],
            high=[y.high for _, _, y, _ in some],
            left=[x.low for _, x, _, _ in some],
            right=[x.high for _, x, _, _ in some],
        )
        for label, hollow in (('networks', False), ('bounds: some runs were stopped before', True))
        if (some := [p for p in points if bool(p[1].bound) == hollow])
    ]
    xs, ys = [p[1].value for p in points], [p[2].value for p in points]
    if points:
        (left, right), (low, high) = ((min(values) / 1.4, max(values) * 1.4) for values in (xs, ys))
        products = [x * y for x, y in zip(xs, ys, strict=True)]
        for power in range(math.floor(math.log10(min(products))), math.ceil(math.log10(max(products))) + 1):
            # From where the line of equal efficiency enters the figure to where it leaves it.
            ends = max(left, 10.0**power / high), min(right, 10.0**power / low)
            if ends[0] < ends[1]:
                at = [10.0**power / x for x in ends]
                series.append(Series('', ends, at, GRAY, '', 'dot', labels=['', f'{10.0**power:g} x in all']))
    return Chart(
        name, title, 'epochs factor (baseline / network)', 'macs factor an epoch (baseline / network)', series, text,
        log_x=True, log_y=True,
    )  # fmt: skip


def learning_rates(
    name: str, title: str, schedules: Sequence[tuple[str, str, float, float, float]], text: str
) -> Chart:
    """Learning-rate schedules over epochs (the paper's figure 2).

    Args:
        schedules: a label, the schedule's name, its peak, its epochs and its warm-up epochs.
    """
    series = []
    for i, (label, schedule, peak, epochs, warmup) in enumerate(schedules):
        x = np.linspace(0, epochs, 361)[:-1]
        look = style(i)
        y = learning_rate(schedule, peak, epochs, warmup, x)
        series.append(
            Series(
                label,
                x.tolist(),
                [v or None for v in y.tolist()],
                look['colour'],
                '',
                ('solid', 'dash', 'dot', 'dashdot')[i % 4],
            )
        )
    return Chart(name, title, 'epochs', 'learning rate', series, text, log_y=True)


def effective_compute(
    name: str, title: str, start: datetime.date, end: datetime.date, factors: Mapping[str, float], text: str
) -> Chart:
    """How hardware, spending and algorithms multiply over a period (the paper's figure 5), each growing evenly.

    Args:
        factors: of each cause over the whole period, in the order in which they are stacked.
    """
    days = (end - start).days
    dates = [start + datetime.timedelta(days=round(days * i / 24)) for i in range(25)]
    series, product = [], 1.0
    for i, (cause, factor) in enumerate(factors.items()):
        product *= factor
        y = [product ** ((date - start).days / days) for date in dates]
        look = style(i)
        hover = [
            f'{cause}: {factor:,.0f} x by {end}\n{date}\n{cell_text(v)} x' for date, v in zip(dates, y, strict=True)
        ]
        label = cause if i == 0 else f'x {cause}'
        series.append(
            Series(
                f'{label}: {product:,.0f} x', dates, y, look['colour'], '', ('solid', 'dash', 'dot')[i % 3], hover=hover
            )
        )
    return Chart(name, title, 'date', 'growth since the start', series, text, log_y=True)
