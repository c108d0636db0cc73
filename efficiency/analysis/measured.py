"""What runs say of one target: which network takes how much compute to it, and how sure that is."""

import datetime
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from efficiency.analysis import over_date, plots
from efficiency.analysis.baseline_level import baseline_level
from efficiency.analysis.cells import factor_cells, factor_column, parts, range_text
from efficiency.analysis.cost_table import cost_table
from efficiency.analysis.crossings import Crossing
from efficiency.analysis.curves import LevelRow, known_median, sensitivity
from efficiency.analysis.decompose import Split
from efficiency.analysis.document import Column, Section, Table
from efficiency.analysis.factors import factors_over
from efficiency.analysis.levels import levels_around
from efficiency.analysis.luck import luck
from efficiency.analysis.measured_tables import (
    Found,
    Link,
    middle_run,
    over_baseline,
    rules_table,
    runs_table,
    seeds_by_rule,
    systems_table,
    unit_of,
)
from efficiency.analysis.measured_trend import since, trend
from efficiency.analysis.reached import reached_over_compute
from efficiency.analysis.runs import MeasuredRun, System, Target, seeds_of, systems
from efficiency.analysis.survival import Summary, summary_over_seeds
from efficiency.metrics import Metric, exact
from efficiency.published import baseline_for
from efficiency.published.prices import Price

_LEVELS = 12
# Of more systems their factors are not read at other moments as well.
_LUCK = 100
# Seeds of a side, of which a test can say something.
_TESTED = 3


def slug(target: Target) -> str:
    """A name for files, other for each target."""
    return f'{target.dataset}-{target.fingerprint[:6]}-{target.metric.name}-{exact(target.value)}'


class Compared(NamedTuple):
    """The systems that were tried on a target, side by side.

    Attributes:
        found: their runs and what each took, the cheapest first, what is only known to take so much or more after them.
        baseline: the system that the others are compared with.
        dates: of publication, by the system's name; without those that are not known.
        medians: of each system, over its seeds.
        splits: of each system's factor over the baseline, see `over_baseline`.
    """

    found: Found
    baseline: System
    dates: Mapping[str, datetime.date]
    medians: Mapping[System, Summary]
    splits: Mapping[System, Split]


def compared(
    target: Target, runs: Sequence[MeasuredRun], published: Mapping[tuple[str, str], datetime.date]
) -> Compared:
    """All systems that were trained on a target's data and evaluated by its metric; see `measured_section`."""
    mine = systems([run for run in runs if run.can_be_asked(target)])
    # Of one network a recipe may be younger than another, by what it is made of.
    days = {
        system.name: next((run.published for run in system.runs if run.published), None)
        or published.get((system.runs[0].task, system.model))
        for system in mine
    }
    dates = {name: day for name, day in days.items() if day}
    crossings = {system: system.crossings(target) for system in mine}
    medians = {system: summary_over_seeds(seeds_of(each)) for system, each in crossings.items()}
    order = sorted(crossings, key=lambda system: (known_median(medians[system]), medians[system].median, system.name))
    found = {system: crossings[system] for system in order}
    baseline = _baseline(target, order, dates)
    return Compared(found, baseline, dates, medians, over_baseline(found, baseline))


def measured_section(
    target: Target,
    runs: Sequence[MeasuredRun],
    published: Mapping[tuple[str, str], datetime.date],
    link: Link,
    prices: Mapping[str, Price] | None = None,
) -> Section:
    """Tables and figures of all systems that were trained on a target's data and evaluated by its metric.

    Args:
        runs: of any data sets; those of the target's data and metric count, of which there is one or more.
        published: when, by task and network, where a record does not say it; a network without a date is in the tables,
            and in no trend.
        prices: of devices, by kind; None for no table of what time and money it takes.
    """
    found, baseline, dates, medians, splits = compared(target, runs, published)
    order = list(found)
    name, noun = slug(target), target.metric.noun
    heading = noun if noun == target.metric.name else noun.capitalize()
    by_system = {system: seeds_of(each) for system, each in found.items()}
    by_rule = seeds_by_rule(target, order)
    factors = {rule: factors_over(seeds, baseline) for rule, seeds in by_rule.items()}
    found_trend = trend(name, order, by_system, baseline, dates)
    by_luck = luck(name, target, order, baseline, splits, factors) if len(order) <= _LUCK else None
    level_table, level_chart = _sensitivity(name, target, order, baseline, dates)
    curves = {system.name: middle_run(found[system]).curve for system in _drawn(order, baseline)}
    points = [_dated(system, found[system], dates) for system in order if system.name in dates]
    charts = [
        over_date.compute_over_date(
            f'compute-over-date-{name}', f'Compute to {target}', points, baseline.name,
            'Medians over seeds with the smallest and the largest, an arrow where that is more than was spent; gray is '
            'off the frontier.',
        ),
        plots.level_over_compute(
            f'{noun}-over-compute-{name}', f'{heading} against training compute, {target.dataset}',
            target.metric, curves, target.value, 'For each system the run of the median seed.',
        ),
        plots.epochs_against_macs(
            f'factors-{name}', f'Where the gain is from, {target}',
            [(system.name, split.examples, split.macs_per_example, 'measured') for system, split in splits.items()],
            f'Examples and macs an example, as factors over {baseline.name}: their product is the efficiency factor. '
            'Bars are 95 % intervals.',
        ),
        reached_over_compute(
            f'reached-{name}', f'Seeds at {target}', {each.name: by_system[each] for each in _drawn(order, baseline)},
            'Estimated as by Kaplan & Meier: a seed that was stopped counts until then.',
        ),
        plots.level_over_epochs(
            f'curves-{name}', f'Curves of the runs, {target.dataset}', target.metric, curves, target.value,
            'For each system the run of the median seed.', unit_of(order),
        ),
    ]  # fmt: skip
    return Section(
        name=f'measured-{name}',
        title=f'Measured: {target}',
        text=[_counted(target, found), *found_trend.text, *_level_text(target, baseline, order, dates)],
        charts=[chart for chart in (*charts, level_chart, by_luck and by_luck[1]) if chart and chart.series],
        tables=[
            systems_table(name, target, found, baseline, dates, splits, link),
            rules_table(name, target, order, baseline, by_rule, factors),
            *(by_luck[:1] if by_luck else ()),
            *([found_trend.table] if found_trend.table else []),
            *([level_table] if level_table else []),
            *([] if prices is None else [cost_table(name, found, prices)]),
            runs_table(name, target, order, link),
        ],
        methods=[*_methods(target, found, baseline, dates), *found_trend.methods],
        answers=[_answer(target, order, baseline, dates, splits, medians, found_trend.short)],
    )


def _answer(
    target: Target,
    order: Sequence[System],
    baseline: System,
    dates: Mapping[str, datetime.date],
    splits: Mapping[System, Split],
    medians: Mapping[System, Summary],
    trend_text: str,
) -> str:
    """What it comes to: how much less compute, how fast it falls, and what would change that."""
    since_then = {*(since(order, baseline, dates) or order)}
    # What has no date is in no trend, and takes what it takes.
    later = [system for system in order if system in since_then or system.name not in dates]
    known = [system for system in later if math.isfinite(known_median(medians[system]))]
    seeds = sum(summary.n for summary in medians.values())

    def dated(system: System) -> str:
        return f'{system.name} ({dates[system.name].year})' if system.name in dates else system.name

    best, days = known[0] if known else later[0], {dates.get(system.name) for system in later}
    over, macs = splits[best].train_macs, medians[best].median
    factor = None if over.may_be_either else over.value
    counted = f'{_number(len(order), "system")}, {_number(seeds, "run")}'
    if not known:
        said = f'of {counted} none is known to reach {target} in the median.'
    elif len(order) == 1:
        said = f'{dated(best)} takes {macs:.3g} macs to {target}; {counted}.'
    elif len(order) > 1 and len(days) == 1 and None not in days:
        said = (
            f'{best.name} takes the least compute to {target}, {_over_dearest(later, medians)}; all are of one '
            f'date, which says nothing of progress; {counted}.'
        )
    elif best is baseline:
        nothing = 'nothing later' if baseline.name in dates else 'nothing'
        said = f'{nothing} takes less compute to {target} than {dated(baseline)}, {trend_text}; {counted}.'
    elif factor is None:
        said = (
            f'{dated(best)} takes {macs:.3g} macs to {target}, and no factor is known over {dated(baseline)}, whose '
            f'runs were stopped before, {trend_text}; {counted}.'
        )
    elif math.isinf(factor):
        spent = min(float(run.curve['train_macs'][-1]) for run in baseline.runs)
        there = f'which was not there in the median after {spent:.3g} macs'
        if macs < spent:
            said = (
                f'at least {spent / macs:.3g} x less compute to {target} with {dated(best)} than with '
                f'{dated(baseline)}, {there}, {trend_text}; {counted}.'
            )
        else:
            said = (
                f'{dated(best)} takes {macs:.3g} macs to {target}, and no factor is known over {dated(baseline)}, '
                f'{there}, {trend_text}; {counted}.'
            )
    else:
        said = (
            f'{over} x less compute to {target} with {dated(best)} than with {dated(baseline)}, '
            f'{trend_text}; {counted}.'
        )
    doubts = []
    if few := [system.name for system in (best, baseline) if medians[system].n < _TESTED]:
        doubts.append(
            f'{_TESTED} seeds or more of {" and of ".join(dict.fromkeys(few))}, without which nothing is tested'
        )
    elif single := sum(summary.n == 1 for summary in medians.values()):
        doubts.append(f'more seeds of the {_number(single, "system")} with one')
    base = medians[baseline]
    if base.n_censored:
        doubts.append(f'{baseline.name} trained on, of which {base.n_censored} of {base.n} seeds were stopped before')
    if missed := base.n - base.n_reached - base.n_censored:
        doubts.append(f'more seeds of {baseline.name}, of which {missed} of {base.n} did not get there')
    doubts.append(
        f'other recipes, as each system has one here, or another level than {target.metric.goal(target.value)}'
    )
    return f'Measured: {said} What would change it: {"; ".join(doubts)}.'


def _over_dearest(order: Sequence[System], medians: Mapping[System, Summary]) -> str:
    """How many times less the first of these takes than the last that is known to get there in the median."""
    there = [system for system in order if math.isfinite(known_median(medians[system]))]
    if len(there) < 2:
        return 'and no other is known to be there in the median'
    ratio = medians[there[-1]].median / medians[there[0]].median
    return f'{ratio:.3g} x less than {there[-1].name}'


def _counted(target: Target, found: Found) -> str:
    runs = sum(len(crossings) for crossings in found.values())
    return f'{runs} runs of {len(found)} systems on {target.dataset}; a system is one network under one recipe.'


def _methods(target: Target, found: Found, baseline: System, dates: Mapping[str, datetime.date]) -> list[str]:
    """How to read the numbers, and what stands in their way."""
    runs = [item for crossings in found.values() for item in crossings]
    stopped = sum(crossing.censored for _, crossing in runs)
    worse = 'below' if target.metric.rises else 'above'
    text = [
        'Compute is to the first evaluation that meets the target: the median over seeds, with the smallest and the '
        f'largest in brackets. A seed that was trained to its end {worse} the target counts as infinite ("never").'
    ]
    if stopped:
        text.append(
            f'{stopped} of the {len(runs)} runs were stopped at a target of their own before they met this one, and '
            'say only that it takes more than they spent: medians are by the estimate of Kaplan and Meier, and "or '
            'more" where too many seeds were stopped for one. It takes stopped runs for no nearer to the target than '
            'the others, so that where some were stopped the median is too high, if anything.'
        )
    text += [
        f"Factors compare with {baseline.name}: its median over the system's, in brackets the 95 % interval, from "
        'resamples of the seeds of both sides; of one seed there is none. In simulations it holds the true factor in '
        '90 % of the cases with 3 seeds a side that scatter alike, and in 93 to 97 % with 5 or more; in 67 % with 2, '
        'and in 75 % where 3 seeds of one side do all the scattering. Train compute is the dense multiply-adds of the '
        'train step itself x steps; paper compute is 3 x forward dense macs x examples.',
        "Tests against the baseline are corrected for their number by Holm's method.",
    ]
    if undated := sorted(system.name for system in found if system.name not in dates):
        text.append(f'Without a publication date, and so in no trend: {", ".join(undated)}.')
    return text


def _level_text(
    target: Target, baseline: System, order: Sequence[System], dates: Mapping[str, datetime.date]
) -> list[str]:
    """How sure the level itself is, where it follows from the baseline's seeds."""
    later = since(order, baseline, dates)
    found = baseline_level(target, baseline, {system: dates[system.name] for system in later}) if later else None
    if not found:
        return []
    metric, error, others = target.metric, '', ''
    if found.standard_error is not None:
        error = f', the standard error of an evaluation {found.standard_error:.2g}'
        others = ' and as many other examples'
    return [
        f'The level is the best round value that 4 of 5 seeds of {baseline.name} end at, chosen on the seeds whose '
        f'compute is billed{error}. With other seeds{others} it would lie between '
        f'{metric.text(found.low)} and {metric.text(found.high)} (95 %). The factor from {baseline.name} to the '
        f'cheapest is {" and ".join(_at_level(row, metric, baseline) for row in found.rows)}.'
    ]


def _at_level(row: LevelRow, metric: Metric, baseline: System) -> str:
    goal = metric.goal(row.level)
    if row.factor.value and math.isfinite(row.factor.value):
        return f'{row.factor} at {goal}'
    return f'not known at {goal}, where {baseline.name} or all others do not get in the median'


def _number(count: int, noun: str) -> str:
    return f'{count} {noun}{"" if count == 1 else "s"}'


def _baseline(target: Target, order: Sequence[System], dates: Mapping[str, datetime.date]) -> System:
    """The ledger's baseline, else AlexNet, else that of the runs' study, else the network that was published first."""
    row = baseline_for(target.dataset, target.metric.name, target.value)
    for model in (row['model'] if row else '', 'alexnet'):
        if named := [system for system in order if system.model == model]:
            return named[0]
    if ours := [system for system in order if any(run.role == 'baseline' for run in system.runs)]:
        return ours[0]
    return min(order, key=lambda system: dates.get(system.name, datetime.date.max))


def _drawn(order: Sequence[System], baseline: System) -> list[System]:
    """The baseline first: where not all can be drawn, it is."""
    return [baseline, *(system for system in order if system is not baseline)]


def _dated(system: System, crossings: Sequence[tuple[MeasuredRun, Crossing]], dates) -> over_date.DatedPoint:
    macs = summary_over_seeds(seeds_of(crossings))
    stopped = f', {macs.n_censored} were stopped before' if macs.n_censored else ''
    source = f'{macs.n} seeds, {macs.n_reached} reached it{stopped}'
    return over_date.DatedPoint(
        system.name,
        dates[system.name],
        macs.median,
        source,
        measured=True,
        low=macs.low,
        high=math.inf if macs.high_is_bound else macs.high,
        of_seeds=range_text(macs) or '',
        is_bound=macs.is_bound,
        spent=max(float(run.curve['train_macs'][-1]) for run, _ in crossings),
    )


def _sensitivity(name: str, target: Target, order: Sequence[System], baseline: System, dates):
    """How factor and doubling time move with the level asked for: a table and a figure."""
    later = since(order, baseline, dates)
    if len(later) < 2:
        return None, None
    metric = target.metric
    values = [run.curve[metric.name] for s in later for run in s.runs]
    best = metric.best_of(float(metric.best_of(each)) for each in values)
    levels = levels_around(metric, target.value, statistics.median(float(each[0]) for each in values), best, _LEVELS)
    curves = {s.name: (dates[s.name], s.curves(metric)) for s in later}
    rows = sensitivity(curves, metric, levels, baseline.name)
    columns = (
        Column('level', f'{metric.name} asked for'),
        factor_column('factor', f'factor, {baseline.name} to the cheapest'),
        Column('doubling_months', 'doubling time, months'), Column('frontier', 'frontier'), Column('note', 'note'),
    )  # fmt: skip
    table = Table(
        f'sensitivity-{name}', f'By the {metric.noun} asked for', columns,
        [
            {
                'level': row.level, **factor_cells('factor', row.factor), 'doubling_months': row.doubling_months,
                'frontier': ', '.join(row.frontier), 'note': row.note or None,
            }
            for row in rows
        ],
        'The same runs, read at other levels: which network is the most efficient depends on what is asked of it. The '
        'interval is that of a comparison with the system that is the cheapest, as if it had been chosen before.',
        parts(factors=['factor']),
    )  # fmt: skip
    chart = plots.factor_over_level(
        f'sensitivity-{name}', f'By the {metric.noun} asked for, {target.dataset}', metric, rows, target.value,
        'Bars are 95 % intervals. Where a line ends, the network does not reach the level in the median, or is not '
        'known to.',
    )  # fmt: skip
    return table, chart
