"""What runs say of one target: which network takes how much compute to it, and how sure that is."""

import datetime
import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from efficiency.analysis import plots
from efficiency.analysis.compare import compare
from efficiency.analysis.crossings import Crossing
from efficiency.analysis.curves import sensitivity
from efficiency.analysis.document import Column, Section, Table, shown
from efficiency.analysis.measured_trend import since, trend
from efficiency.analysis.runs import Run, System, Target, seeds_of, systems
from efficiency.analysis.survival import summary_over_seeds
from efficiency.published import baseline_for

Link = Callable[[str], str]  # the address of a record's file, as seen from the page
Found = Mapping[System, Sequence[tuple[Run, Crossing]]]

_LEVELS = 12
_COMPARED = 60


def slug(target: Target) -> str:
    """A name for files, other for each target."""
    return re.sub(r'[^\w.-]+', '_', f'{target.dataset}-{target.fingerprint[:6]}-{target.metric}-{target.value:g}')


def measured_section(
    target: Target, runs: Sequence[Run], dates: Mapping[str, datetime.date], link: Link
) -> Section | None:
    """Tables and figures of all systems that were trained towards a target, or None if none was.

    Args:
        runs: of any data sets; those of the target's images count.
        dates: of publication, by network; a network without one is in the tables, and in no trend.
    """
    mine = [run for run in runs if (run.target.dataset, run.target.fingerprint) == (target.dataset, target.fingerprint)]
    found = {system: system.crossings(target) for system in systems(mine)}
    found = {system: crossings for system, crossings in found.items() if crossings}
    if not found:
        return None
    order = sorted(found, key=lambda system: (median(found[system], 'train_macs'), system.name))
    baseline = _baseline(target, order, dates)
    name = slug(target)
    rows = [_system_row(system, found, baseline, dates, link) for system in order]
    undated = sorted({system.name for system in order if system.model not in dates})
    text = [
        f'{len(mine)} runs of {len(found)} systems on {target.dataset}; a system is one network under one recipe. '
        f'Compute is to the first evaluation that meets the target: the median over seeds, with the smallest and the '
        f'largest in brackets. A seed that was trained to its end below the target counts as infinite ("never").',
        f'Factors compare with {baseline.name}. Train compute is the dense multiply-adds of the train step itself x '
        'steps; paper compute is 3 x forward dense macs x examples.',
    ]
    if undated:
        text.append(f'Without a publication date, and so in no trend: {", ".join(undated)}.')
    macs = {system: seeds_of(crossings).values for system, crossings in found.items()}
    trend_text, trend_table = trend(name, order, macs, baseline, dates)
    level_table, level_chart = _sensitivity(name, target, order, baseline, dates)
    curves = {system.name: _middle_run(found[system]).curve for system in _drawn(order, baseline)}
    points = [_dated(system, found[system], dates) for system in order if system.model in dates]
    charts = [
        plots.compute_over_date(
            f'compute-over-date-{name}', f'Compute to {target}', points, baseline.name,
            'Medians over seeds with the smallest and the largest; gray is off the frontier.',
        ),
        plots.accuracy_over_compute(
            f'accuracy-over-compute-{name}', f'Accuracy against training compute, {target.dataset}', target.metric,
            curves, target.value, 'For each system the run of the median seed.',
        ),
        plots.epochs_against_macs(
            f'factors-{name}', f'Where the gain is from, {target}',
            [(row['system'], row['examples_factor'], row['train_macs_factor'], 'measured') for row in rows
             if row['train_factor']],
            f'Examples and macs an example, as factors over {baseline.name}: their product is the efficiency factor.',
        ),
        plots.accuracy_over_epochs(
            f'curves-{name}', f'Curves of the runs, {target.dataset}', target.metric, curves, target.value,
            'For each system the run of the median seed.',
        ),
    ]  # fmt: skip
    return Section(
        name=f'measured-{name}',
        title=f'Measured: {target}',
        text=[*text, trend_text],
        charts=[chart for chart in (*charts, level_chart) if chart and chart.series],
        tables=[
            Table(f'systems-{name}', f'Compute to {target}', _SYSTEM_COLUMNS, rows),
            *([trend_table] if trend_table else []),
            *([level_table] if level_table else []),
            _runs_table(name, target, order, link),
        ],
    )


def median(crossings: Sequence[tuple[Run, Crossing]], key: str) -> float:
    """Over the seeds, see `efficiency.analysis.survival`; it may be a bound."""
    return summary_over_seeds(seeds_of(crossings, key)).median


def _middle_run(crossings: Sequence[tuple[Run, Crossing]]) -> Run:
    """The run of the median seed, of an even number of them the cheaper of the middle two."""
    return crossings[(len(crossings) - 1) // 2][0]


def _baseline(target: Target, order: Sequence[System], dates: Mapping[str, datetime.date]) -> System:
    """The ledger's baseline, else AlexNet, else that of the runs' study, else the network that was published first."""
    row = baseline_for(target.dataset, target.metric, target.value)
    for model in (row['model'] if row else '', 'alexnet'):
        if named := [system for system in order if system.model == model]:
            return named[0]
    if ours := [system for system in order if any(run.role == 'baseline' for run in system.runs)]:
        return ours[0]
    return min(order, key=lambda system: dates.get(system.model, datetime.date.max))


_SYSTEM_COLUMNS = (
    Column('system', 'system', link='href'),
    Column('published', 'published'),
    Column('seeds', 'seeds'),
    Column('seeds_reached', 'reached'),
    Column('epochs', 'epochs'),
    Column('train_macs', 'train compute, macs', link='href'),
    Column('train_macs_range', 'of the seeds'),
    Column('paper_macs', 'paper compute, macs'),
    Column('train_factor', 'efficiency factor'),
    Column('paper_factor', 'by paper compute'),
    Column('examples_factor', 'examples factor'),
    Column('train_macs_factor', 'macs factor'),
    Column('seconds', 'train seconds'),
    Column('final', 'final accuracy', digits=4),
    Column('against_baseline', 'against the baseline'),
)


def _system_row(system: System, found: Found, baseline: System, dates, link: Link) -> dict:
    crossings, base = found[system], found[baseline]
    macs = summary_over_seeds(seeds_of(crossings))

    def factor(key):
        ours, theirs = median(crossings, key), median(base, key)
        return theirs / ours if math.isfinite(ours) and math.isfinite(theirs) else None

    examples, train = factor('examples'), factor('train_macs')
    metric = system.runs[0].target.metric
    return {
        'system': system.name,
        'href': link(_middle_run(crossings).path),
        'published': dates.get(system.model),
        'seeds': macs.n,
        'seeds_reached': macs.n_reached,
        'epochs': median(crossings, 'epochs'),
        'train_macs': macs.median,
        'train_macs_range': f'[{shown(macs.low)}, {shown(macs.high)}]' if macs.n > 1 else None,
        'paper_macs': median(crossings, 'paper_macs'),
        'train_factor': train,
        'paper_factor': factor('paper_macs'),
        'examples_factor': examples,
        'train_macs_factor': train / examples if examples else None,
        'seconds': median(crossings, 'train_seconds'),
        'final': statistics.median(float(run.curve[metric][-1]) for run, _ in crossings),
        'against_baseline': None if system is baseline else _against(system, found, baseline),
    }


def _against(system: System, found: Found, baseline: System) -> str:
    # A test over hundreds of seeds tells nothing more, and takes memory for all its permutations.
    ours, theirs = (seeds_of(sorted(found[s], key=lambda item: item[0].seed)[:_COMPARED]) for s in (system, baseline))
    return compare(ours, theirs, (system.name, baseline.name)).verdict


def _drawn(order: Sequence[System], baseline: System) -> list[System]:
    """The baseline first: where not all can be drawn, it is."""
    return [baseline, *(system for system in order if system is not baseline)]


def _dated(system: System, crossings: Sequence[tuple[Run, Crossing]], dates) -> plots.DatedPoint:
    macs = summary_over_seeds(seeds_of(crossings))
    source = f'{macs.n} seeds, {macs.n_reached} reached it'
    return plots.DatedPoint(system.name, dates[system.model], macs.median, source, True, macs.low, macs.high)


def _sensitivity(name: str, target: Target, order: Sequence[System], baseline: System, dates):
    """How factor and doubling time move with the level asked for: a table and a figure."""
    later = since(order, baseline, dates)
    if len(later) < 2:
        return None, None
    metric = target.metric
    best = max(float(run.curve[metric].max()) for s in later for run in s.runs if len(run.curve[metric]))
    # In steps of the error, four times the target's to the least.
    error = max(1 - target.value, 1e-3)
    errors = np.geomspace(min(4 * error, 0.9), max(1 - best, 1e-3), _LEVELS)
    levels = sorted({*(round(1 - float(e), 3) for e in errors), target.value})
    curves = {
        s.name: (
            dates[s.model],
            [(run.curve[metric], run.curve['train_macs']) for run in s.runs if len(run.curve[metric])],
        )
        for s in later
    }
    stopped = {s.name: target.value for s in later if any(run.config.get('stop_at_target', True) for run in s.runs)}
    rows = sensitivity(curves, levels, baseline.name, stopped_at=stopped)
    columns = (
        Column('level', f'{metric} asked for'), Column('factor', f'factor, {baseline.name} to the cheapest'),
        Column('doubling_months', 'doubling time, months'), Column('frontier', 'frontier'), Column('note', 'note'),
    )  # fmt: skip
    table = Table(
        f'sensitivity-{name}', 'By the accuracy asked for', columns,
        [
            {
                'level': row.level, 'factor': row.factor, 'doubling_months': row.doubling_months,
                'frontier': ', '.join(s.name for s in row.systems if s.on_frontier), 'note': row.note or None,
            }
            for row in rows
        ],
        'The same runs, read at other levels: which network is the most efficient depends on what is asked of it.',
    )  # fmt: skip
    chart = plots.factor_over_level(
        f'sensitivity-{name}', f'By the accuracy asked for, {target.dataset}', metric, rows, target.value,
        'Where a line ends, the network does not reach the level in the median.',
    )  # fmt: skip
    return table, chart


_RUN_COLUMNS = (
    Column('system', 'system'), Column('seed', 'seed', link='href'), Column('status', 'status'),
    Column('epochs', 'epochs'),
    Column('examples', 'examples'), Column('train_macs', 'train compute, macs', digits=4, link='href'),
    Column('paper_macs', 'paper compute, macs', digits=4), Column('train_seconds', 'train seconds'),
    Column('final', 'final accuracy', digits=4), Column('precision', 'precision'), Column('device', 'device'),
    Column('record', 'record'),
)  # fmt: skip


def _runs_table(name: str, target: Target, order: Sequence[System], link: Link) -> Table:
    rows = []
    for system in order:
        for run, crossing in system.crossings(target):
            rows.append(
                {
                    'system': system.name, 'seed': run.seed, 'status': run.status, 'epochs': crossing.epochs,
                    'examples': crossing.examples, 'train_macs': crossing.train_macs, 'paper_macs': crossing.paper_macs,
                    'train_seconds': crossing.train_seconds, 'final': float(run.curve[target.metric][-1]),
                    'precision': run.precision, 'device': run.device, 'record': run.path, 'href': link(run.path),
                }
            )  # fmt: skip
    return Table(
        f'runs-{name}', 'Runs', _RUN_COLUMNS, rows, 'Compute is to the first evaluation that meets the target.'
    )
