"""How much of each factor could be luck: what it would be with other seeds, other examples and other moments to look.

Each cause is taken alone, the others as they were. None of them is in another: seeds differ in training, examples
in evaluation, and cadence and rule in what is read from the same curves.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from efficiency.analysis.baseline_level import standard_error
from efficiency.analysis.decompose import Split
from efficiency.analysis.document import Column, Table, cell_text
from efficiency.analysis.factors import Factor, factors_over
from efficiency.analysis.runs import MeasuredRun, System, Target, seeds_of

_Z = 1.96
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


def luck_table(
    name: str,
    target: Target,
    order: Sequence[System],
    baseline: System,
    splits: Mapping[System, Split],
    by_rule: Mapping[str, Mapping[System, Factor]],
) -> Table:
    """Each system's factor over the baseline, and from where to where it goes by each cause.

    Args:
        name: of the target, for the table's.
        order: the systems, the baseline among them.
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
    rows = []
    for system in others:
        factor = splits[system].train_macs
        row = {'system': system.name, 'factor': factor.value, 'factor_text': cell_text(factor.value)}
        row['seeds'] = _range(factor.low, factor.high) if factor.low is not None else None
        for cause, found in read.items():
            row[cause] = _read(factor, [each[system.name] for each in found])
        rows.append(row)
    columns = [Column('system', 'system'), Column('factor', 'efficiency factor', text='factor_text')]
    columns += [Column(cause, label) for cause, label in _CAUSES.items()]
    return Table(f'luck-{name}', 'How much of a factor could be luck', columns, rows, _TEXT)


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


def _read(factor: Factor, found: Sequence[Factor]) -> str | None:
    """From where to where a factor goes, itself among what it is compared with."""
    values = [each.value for each in (factor, *found) if each.value is not None and not each.bound]
    if not values:
        return None
    unknown = ', one end not known' if len(values) <= len(found) else ''
    return _range(min(values), max(values)) + unknown


def _range(low: float, high: float) -> str:
    return f'{cell_text(low)} to {"unbounded" if math.isinf(high) else cell_text(high)}'
