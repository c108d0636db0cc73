"""How much of each factor could be luck: what it would be with other seeds, other examples and other moments to look.

Each cause is taken alone, the others as they were. None of them is in another: seeds differ in training, examples
in evaluation, and cadence and rule in what is read from the same curves.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from efficiency.analysis.baseline_level import standard_error
from efficiency.analysis.charts import GRAY, Chart, Series, style, with_undrawn
from efficiency.analysis.decompose import Split
from efficiency.analysis.document import Column, Table, cell_text
from efficiency.analysis.factors import Factor, factors_over
from efficiency.analysis.runs import MeasuredRun, System, Target, seeds_of

_Z = 1.96
_PLACES = 41
_CAUSES = {
    'seeds': 'other seeds',
    'examples': 'as many other examples',
    'cadence': 'every second evaluation',
    'rule': 'what counts as reaching it',
}


_TEXT = (
    'The least and the greatest factor by each cause alone. Other seeds: the 95 % interval. As many other examples: '
    'the level moved by 1.96 binomial standard errors of an evaluation either way, as all runs are judged by the '
    'same ones; of a metric that is no share, or of an unknown number of examples, not at all. Every second '
    'evaluation: the odd ones alone, and the even ones. What counts as reaching it: the rules of the table above. '
    '0 is a system that is not there in the median, and "unbounded" a baseline that is not; an end is not known '
    'where runs were stopped.'
)


def luck(
    name: str,
    target: Target,
    order: Sequence[System],
    baseline: System,
    splits: Mapping[System, Split],
    by_rule: Mapping[str, Mapping[System, Factor]],
) -> tuple[Table, Chart]:
    """Each system's factor over the baseline, and from where to where it goes by each cause.

    Args:
        name: of the target, for the table's.
        target: of the metric and the data.
        order: the systems, the baseline among them.
        baseline: of them.
        splits: of each, as `over_baseline` finds it.
        by_rule: the factors by each rule of what counts as reaching the target, see `seeds_by_rule`.
    """
    others = [system for system in order if system is not baseline]
    levels = _levels(target, baseline)
    read = {
        'examples': [_factors(order, baseline, dataclasses.replace(target, value=value)) for value in levels],
        'cadence': [_factors([_every_second(s, offset) for s in order], baseline, target) for offset in (0, 1)],
        'rule': [{system.name: factor for system, factor in found.items()} for found in by_rule.values()],
    }
    rows, by_system = [], {}
    for system in others:
        factor = splits[system].train_macs
        ranges = {'seeds': _Range(factor.low, factor.high) if factor.low is not None else None}
        for cause, found in read.items():
            ranges[cause] = _read(factor, [each[system.name] for each in found])
        told = {cause: each and str(each) for cause, each in ranges.items()}
        rows.append({'system': system.name, 'factor': factor.value, 'factor_text': _told(factor.value), **told})
        by_system[system.name] = factor, ranges
    columns = [Column('system', 'system'), Column('factor', 'efficiency factor', text='factor_text')]
    columns += [Column(cause, label) for cause, label in _CAUSES.items()]
    table = Table(f'luck-{name}', 'How much of a factor could be luck', columns, rows, _TEXT)
    return table, _chart(name, target, by_system)


@dataclasses.dataclass(frozen=True)
class _Range:
    """From where to where a factor goes; `open` where an end is not known."""

    low: float
    high: float
    open: bool = False

    def __str__(self):
        high = 'unbounded' if math.isinf(self.high) else cell_text(self.high)
        text = 'infinite' if math.isinf(self.low) else f'{cell_text(self.low)} to {high}'
        return text + (', one end not known' if self.open else '')


def _told(factor: float | None) -> str:
    return 'infinite' if factor is not None and math.isinf(factor) else cell_text(factor)


def _chart(name: str, target: Target, found: Mapping[str, tuple[Factor, Mapping[str, _Range | None]]]) -> Chart:
    """The share of a factor that the worst of each cause leaves, and the share at which none is left."""
    known = {
        system: (factor.value, ranges)
        for system, (factor, ranges) in found.items()
        if factor.value and math.isfinite(factor.value)
    }
    series, largest = [], 1.0
    for i, (cause, label) in enumerate(_CAUSES.items()):
        points = [
            (value, ranges[cause].low / value, f'{system}\n{label}: {ranges[cause]}')
            for system, (value, ranges) in known.items()
            if ranges[cause]
        ]
        if points:
            x, y, hover = zip(*points, strict=True)
            largest = max(largest, *x)
            series.append(Series(label, x, y, hover=hover, **style(i) | {'dash': ''}))
    if series:
        x = np.geomspace(1, largest, _PLACES)
        series.append(Series('no factor left', x.tolist(), (1 / x).tolist(), GRAY, marker='', dash='dot'))
    text = with_undrawn(
        'For each system the least that its factor would be by one cause alone, as far as that is known, over it. '
        'Seeds have a point where both sides have two or more.',
        [system for system in found if system not in known], 'as it has no factor',
    )  # fmt: skip
    return Chart(
        f'luck-{name}', f'What bad luck would leave of a factor, {target}', 'factor', 'share of it that is left',
        series, text, log_x=True, percent_y=True,
    )  # fmt: skip


def _levels(target: Target, baseline: System) -> tuple[float, float]:
    error = standard_error(target.value, target.metric, baseline.runs[0].num_eval)
    if error is None:
        return target.value, target.value
    return max(target.value - _Z * error, 1e-9), min(target.value + _Z * error, 1.0)


def _factors(order: Sequence[System], baseline: System, target: Target) -> dict[str, Factor]:
    seeds = {system.name: seeds_of(system.crossings(target)) for system in order}
    return factors_over(seeds, baseline.name)


def _every_second(system: System, offset: int) -> System:
    """The system as if it had been looked at half as often; its last evaluation stays, at which runs stop."""
    return dataclasses.replace(system, runs=[_thinned(run, offset) for run in system.runs])


def _thinned(run: MeasuredRun, offset: int) -> MeasuredRun:
    last = len(run.curve['epochs']) - 1
    kept = sorted({*range(offset, last + 1, 2), last})
    return dataclasses.replace(run, curve={key: values[kept] for key, values in run.curve.items()})


def _read(factor: Factor, found: Sequence[Factor]) -> _Range | None:
    """From where to where a factor goes, itself among what it is compared with."""
    values = [each.value for each in (factor, *found) if each.value is not None and not each.bound]
    return _Range(min(values), max(values), len(values) <= len(found)) if values else None
