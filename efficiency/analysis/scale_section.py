"""What a report says of scale: loss against compute of families of networks, and the factor between them along it."""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from efficiency.analysis.charts import COLOURS, Chart, Series
from efficiency.analysis.document import Column, Section, Table, address, cell_text
from efficiency.analysis.family_levels import level_factors, level_table, told
from efficiency.analysis.runs import MeasuredRun, Target
from efficiency.analysis.scale_fit import (
    LARGEST_EXPONENT,
    LEAST_EXPONENT,
    LEAST_SIZES,
    ScaleFit,
    bootstrap_fits,
    factor_over,
)
from efficiency.published.points import findings

_DRAWS, _TAIL = 200, 0.025
# How many places a line is drawn at, and by how many times compute it is drawn beyond the data, either way.
_PLACES, _BEYOND = 25, 10.0
_TEXT = (
    'A family is systems whose names differ in what is behind the last hyphen, as net-s and net-l, or else networks of '
    'one name. Of each, loss = E + A / size^alpha + B / examples^beta is fitted as approach 3 of Hoffmann et al. '
    '(2022): size is macs of a forward pass, compute 3 x size x examples. Where the learning rate is '
    'constant every evaluation after the warm-up is a point, and the last alone elsewhere. Intervals are of 95 %, over '
    'resampled runs. The envelope is the least loss of so much compute, at the best size. It is drawn as a line where '
    'that size and as many examples are within those of the points, and as dots where they are not: there the data end '
    'and extrapolation begins.'
)


class _Family(NamedTuple):
    """Networks of one kind: their runs, the points of these, the fit, and those of resampled runs."""

    name: str
    measured: Sequence[MeasuredRun]
    runs: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]
    fit: ScaleFit
    draws: Sequence[ScaleFit]

    @property
    def range(self) -> tuple[float, float]:
        """The least and the most compute of a point."""
        macs = np.concatenate([3 * size * data for size, data, _ in self.runs])
        return float(macs.min()), float(macs.max())

    def holds(self, macs: float) -> bool:
        """Whether what is best for so much compute is within the sizes and the examples of the points."""
        return all(
            min(each.min() for each in of) <= best <= max(each.max() for each in of)
            for best, of in zip(self.fit.best(macs), list(zip(*self.runs, strict=True))[:2], strict=True)
        )


def scale_sections(name: str, target: Target, runs: Sequence[MeasuredRun]) -> list[Section]:
    """A section for each study with a family of four sizes or more, where the target's metric falls.

    Of a study whose families by name have fewer, each at two or more, it says that no law is fitted.

    Args:
        name: of the target, for files.
        target: of the metric and the data.
        runs: of any studies and data.
    """
    if target.metric.rises:
        return []
    by_study = defaultdict(list)
    for run in runs:
        if run.can_be_asked(target) and run.study:
            by_study[run.study].append(run)
    sections = []
    for study, asked in sorted(by_study.items()):
        if families := _families(asked, target.metric.name):
            sections.append(_section(f'{study}-{name}', study, target, families))
        elif few := _few(asked):
            sections.append(Section(f'scale-{study}-{name}', _title(study, target), [few]))
    return sections


def _title(study: str, target: Target) -> str:
    return f'Scale: {study}, {target.metric.name} on {target.dataset}'


def _families(runs: Sequence[MeasuredRun], metric: str) -> list[_Family]:
    """Those of enough sizes, the first published first; what only tried a setting is of none."""
    by_name = defaultdict(list)
    for run in sorted(runs, key=lambda run: (str(run.published), run.model, run.forward_dense_macs, run.seed)):
        if not run.is_tuning:
            by_name[_family_of(run)].append(run)
    found = []
    for name, own in by_name.items():
        points = [each for run in own if len((each := _points(run, metric))[0])]
        if len({float(size[0]) for size, _, _ in points}) >= LEAST_SIZES and sum(len(p[0]) for p in points) >= 6:
            # With a seed of its own, as families vary apart.
            found.append(_Family(name, own, points, *bootstrap_fits(points, _DRAWS, seed=len(found))))
    return found


def _few(runs: Sequence[MeasuredRun]) -> str:
    """Which families by name are at several sizes, and at how many; '' where none is."""
    sizes = defaultdict(set)
    for run in runs:
        if not run.is_tuning and '-' in (run.system or ''):
            sizes[_family_of(run)].add(run.forward_dense_macs)
    told = ', '.join(f'{name} at {len(each)}' for name, each in sorted(sizes.items()) if len(each) > 1)
    return told and (
        f'No power law is fitted: it takes {LEAST_SIZES} sizes of a family and 6 evaluations that end a run, and there '
        f'are {told}.'
    )


def _family_of(run: MeasuredRun) -> str:
    family, hyphen, _ = (run.system or '').rpartition('-')
    return family if hyphen else run.model


def _points(run: MeasuredRun, metric: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sizes, examples and losses of the evaluations of a run that end a run of that length; none of a stopped one."""
    if run.config.get('schedule') == 'constant':
        chosen = run.curve['epochs'] > run.config.get('warmup_epochs', 0)
    else:
        # What was stopped at its target was under way, and no end of such a schedule.
        chosen = (np.arange(len(run.curve['epochs'])) == len(run.curve['epochs']) - 1) & (not run.stopped)
    data, loss = run.curve['examples'][chosen], run.curve[metric][chosen]
    return np.full(len(data), float(run.forward_dense_macs)), data, loss


def _section(name: str, study: str, target: Target, families: Sequence[_Family]) -> Section:
    base, others = families[0], families[1:]
    columns = (
        Column('family', 'family'), Column('runs', 'runs'), Column('irreducible', f'E, {target.metric.name}'),
        Column('alpha', 'alpha'), Column('beta', 'beta'), Column('exponent', 'exponent of compute'),
        Column('exponent_interval', '95 % interval'), Column('size_exponent', 'best size grows by'),
        Column('size_interval', '95 % interval'), Column('from_macs', 'from, macs'), Column('to_macs', 'to, macs'),
    )  # fmt: skip
    tables = [Table(f'scale-{name}', 'Power laws', columns, [_row(family) for family in families])]
    charts, text = [_loss_chart(name, target, families)], [_TEXT]
    for family in others:
        label = f'{family.name} over {base.name}'
        observed = level_factors(target, base.measured, family.measured)
        if observed:
            title = f'Factor of {label}, as the runs have it'
            levels = f'scale-levels-{family.name}-{name}'
            tables.append(level_table(levels, title, target, base.name, family.name, observed))
            text.append(told(base.name, family.name, observed))
        if flat := [each for each in (base, family) if each.fit.is_at_a_bound]:
            text.append(_no_law(label, flat))
            continue
        rows = _factor_rows(base, family)
        tables.append(Table(f'scale-factor-{family.name}-{name}', f'Factor of {label}', _FACTORS, rows))
        charts.append(_factor_chart(f'scale-factor-{family.name}-{name}', label, rows))
        text.append(_told(base, family))
    tables.append(Table(f'scale-found-{name}', 'What others found', _OTHERS, _found()))
    return Section(f'scale-{name}', _title(study, target), text, charts, tables)


def _no_law(label: str, flat: Sequence[_Family]) -> str:
    """Why there is no factor by the envelopes."""
    which = ' and '.join(f'{each.name} (alpha {each.fit.alpha:.3g}, beta {each.fit.beta:.3g})' for each in flat)
    return (
        f'No factor of {label} by the envelopes: in these runs the loss does not fall as a power of size, or of '
        f'examples, for {which}, which the fit finds at an end of where it looks: exponents of {LEAST_EXPONENT:g} to '
        f'{LARGEST_EXPONENT:g}, and terms of 2e-09 of a unit and more.'
    )


def _row(family: _Family) -> dict:
    fit = family.fit
    exponent, size = (
        '[at a bound]' if fit.is_at_a_bound else _interval([getattr(each, key) for each in family.draws])
        for key in ('exponent', 'size_exponent')
    )
    return {
        'family': family.name, 'runs': len(family.runs), 'irreducible': fit.irreducible, 'alpha': fit.alpha,
        'beta': fit.beta, 'exponent': fit.exponent,
        'exponent_interval': exponent, 'size_exponent': fit.size_exponent, 'size_interval': size,
        'from_macs': family.range[0], 'to_macs': family.range[1],
    }  # fmt: skip


def _interval(values: Sequence[float]) -> str:
    if not values:
        return '[one seed: not known]'
    low, high = np.quantile(values, [_TAIL, 1 - _TAIL])
    return f'[{cell_text(float(low))}, {cell_text(float(high))}]'


def _found() -> list[dict]:
    return [dataclasses.asdict(finding) | {'href': address(finding.source)} for finding in findings()]


_OTHERS = (
    Column('says', 'what'), Column('value', 'value'), Column('low', 'from'), Column('high', 'to'),
    Column('interval', 'interval'), Column('unit', 'unit'), Column('note', 'where'), Column('confidence', 'read in'),
    Column('source', 'source', link='href'),
)  # fmt: skip
_FACTORS = (
    Column('macs', 'compute, macs'),
    Column('factor', 'factor'),
    Column('low', 'from'),
    Column('high', 'to'),
    Column('where', 'where'),
)


def _factor_rows(base: _Family, family: _Family) -> list[dict]:
    """How many times more compute the base needs for what the other does with so much, at places along compute.

    A place is within the data where what is best for it is within the points of both; else it is extrapolated.
    """
    start, end = family.range
    places = np.geomspace(start / _BEYOND, end * _BEYOND, _PLACES)
    factors = factor_over(base.fit, family.fit, places)
    drawn = [factor_over(one, two, places) for one, two in zip(base.draws, family.draws, strict=False)]
    if drawn:
        low, high = np.quantile(drawn, [_TAIL, 1 - _TAIL], axis=0, method='inverted_cdf')
    else:
        low = high = np.full(_PLACES, np.nan)
    rows = []
    for macs, factor, *ends in zip(places, factors, low, high, strict=True):
        inside = math.isfinite(factor) and family.holds(macs) and base.holds(macs * factor)
        rows.append(
            {
                'macs': float(macs), 'factor': float(factor),
                **{key: None if np.isnan(end) else float(end) for key, end in zip(('low', 'high'), ends, strict=True)},
                'where': 'within the data' if inside else 'extrapolated',
            }
        )  # fmt: skip
    return rows


def _told(base: _Family, family: _Family) -> str:
    """The difference of the exponents, and whether the factor grows along the data, on which E has a say too."""
    pairs = list(zip(base.draws, family.draws, strict=False))
    power = _power(base.fit, family.fit, family.range)
    powers = np.array([_power(one, two, family.range) for one, two in pairs])
    # Of a draw in which the older family never gets there, either way is open.
    low, high = (np.sort(np.where(np.isnan(powers), open_, powers)) for open_ in (-np.inf, np.inf))
    tail = int(_TAIL * len(pairs))
    if not pairs:
        says = 'of one seed a size nothing is known of how sure that is'
    elif low[tail] > 0:
        says = 'along the data the factor grows with compute'
    elif high[-1 - tail] < 0:
        says = 'along the data the factor shrinks'
    else:
        says = 'that the factor grows or shrinks along the data is not shown'
    grows = f'the factor goes as its power {power:.3f}' if math.isfinite(power) else f'{base.name} never gets there'
    if pairs and math.isfinite(power):
        ends = ('open' if math.isinf(end) else cell_text(float(end)) for end in (low[tail], high[-1 - tail]))
        grows += f', [{", ".join(ends)}]'
    return (
        f'By compute at the best size what is reducible falls as its power {family.fit.exponent:.3f} for {family.name} '
        f'and {base.fit.exponent:.3f} for {base.name}: a difference of {family.fit.exponent - base.fit.exponent:.3f}, '
        f'{_interval([two.exponent - one.exponent for one, two in pairs])}. From the least compute of {family.name} '
        f'to the most {grows}; {says}.'
    )


def _power(base: ScaleFit, other: ScaleFit, ends: tuple[float, float]) -> float:
    """As which power of compute the factor goes from one end to the other; NaN where the base never gets there."""
    with np.errstate(divide='ignore', invalid='ignore'):
        return float(np.subtract(*np.log(factor_over(base, other, np.array(ends)))) / math.log(ends[0] / ends[1]))


def _loss_chart(name: str, target: Target, families: Sequence[_Family]) -> Chart:
    series = []
    for number, family in enumerate(families):
        colour = COLOURS[number % len(COLOURS)]
        macs = np.concatenate([3 * size * data for size, data, _ in family.runs])
        loss = np.concatenate([each for _, _, each in family.runs])
        series.append(Series(family.name, macs.tolist(), loss.tolist(), colour=colour))
        if family.fit.is_at_a_bound:
            continue
        start, end = family.range
        places = np.geomspace(start, end * _BEYOND, 2 * _PLACES).tolist()
        for label, within, dash in (('envelope', True, 'solid'), ('envelope, extrapolated', False, 'dot')):
            line = [float(family.fit.envelope(macs)) if family.holds(macs) == within else None for macs in places]
            if any(line):
                series.append(Series(f'{family.name}, {label}', places, line, colour, marker='', dash=dash))
    return Chart(
        f'scale-{name}', f'{target.metric.name} against compute, {target.dataset}',
        'compute, 3 x forward macs x examples', target.metric.name, series,
        'Points are evaluations; dots begin where the data end.', log_x=True, log_y=True,
    )  # fmt: skip


def _factor_chart(name: str, label: str, rows: Sequence[Mapping]) -> Chart:
    series = []
    for where, dash, colour in (('within the data', 'solid', COLOURS[0]), ('extrapolated', 'dot', COLOURS[1])):
        some = [row if row['where'] == where else dict.fromkeys(row) | {'macs': row['macs']} for row in rows]
        if not any(row['factor'] for row in some):
            continue
        macs = [row['macs'] for row in some]
        for key, name_of in (('factor', where), ('low', f'{where}, 95 % from'), ('high', f'{where}, to')):
            values = [row[key] if row[key] is not None and math.isfinite(row[key]) else None for row in some]
            marker = 'circle' if key == 'factor' else ''
            series.append(Series(name_of, macs, values, colour, marker=marker, dash=dash))
    return Chart(
        name, f'Factor of {label} by compute', 'compute of the newer family, macs', 'factor', series,
        'Where the older family never gets there the factor is infinite and not drawn.', log_x=True, log_y=True,
    )  # fmt: skip
