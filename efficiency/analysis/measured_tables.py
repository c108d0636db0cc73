"""Tables of what runs say of one target: systems, what counts as reaching it, and each run."""

import dataclasses
import datetime
import statistics
from collections.abc import Callable, Mapping, Sequence

from efficiency.analysis.cells import (
    amount_cells,
    amount_column,
    amount_text,
    factor_cells,
    factor_column,
    parts,
    range_text,
)
from efficiency.analysis.compare import compare_with_baseline
from efficiency.analysis.crossings import RULES, Crossing
from efficiency.analysis.decompose import Split, split_factor
from efficiency.analysis.document import Column, Table
from efficiency.analysis.factors import Factor, exact_factor, factors_over
from efficiency.analysis.mean_test import mean_test
from efficiency.analysis.runs import MeasuredRun, System, Target, seeds_of
from efficiency.analysis.survival import Seeds, summary_over_seeds

_OF_MEAN = (
    Column('final_reached', 'end at the target'),
    Column('final_mean', 'their mean', digits=4),
    Column('final_p', 'p of the mean'),
)
Link = Callable[[str], str]  # the address of a record's file, as seen from the page
Found = Mapping[System, Sequence[tuple[MeasuredRun, Crossing]]]

_COMPARED = 60

_BEFORE_FINAL = (
    Column('system', 'system', link='href'),
    factor_column('train_factor', 'efficiency factor'),
    amount_column('train_macs', 'train compute, macs', link='href'),
    Column('train_macs_range', 'of the seeds'),
    Column('published', 'published'),
    Column('seeds', 'seeds'),
    Column('seeds_reached', 'reached'),
    Column('seeds_censored', 'stopped before'),
    amount_column('epochs', 'epochs'),
    amount_column('paper_macs', 'paper compute, macs'),
    factor_column('paper_factor', 'by paper compute'),
    factor_column('examples_factor', 'examples factor'),
    factor_column('train_macs_factor', 'macs factor'),
    amount_column('seconds', 'train seconds'),
)


def systems_table(
    name: str,
    target: Target,
    found: Found,
    baseline: System,
    dates: Mapping[str, datetime.date],
    splits: Mapping[System, Split],
    link: Link,
) -> Table:
    """What it takes each system to reach the target, and how that compares with the baseline.

    Args:
        name: of the target, for the table's.
        found: the systems' runs and what each took, in the order of the rows.
        dates: of publication, by system.
        splits: of each system's factor over the baseline, see `over_baseline`.
    """
    # A test over hundreds of seeds tells nothing more, and takes memory for all its permutations.
    tested = {
        system.name: seeds_of(sorted(crossings, key=lambda item: item[0].seed)[:_COMPARED])
        for system, crossings in found.items()
    }
    verdicts = {other: result.verdict for other, result in compare_with_baseline(tested, baseline.name).items()}
    unit = unit_of(list(found))
    told = ('epochs', 'train_macs', 'paper_macs') if unit is None else ('examples', 'train_macs')
    paper = {}
    if unit is None:
        paper = factors_over({s: seeds_of(crossings, 'paper_macs') for s, crossings in found.items()}, baseline)
    rows = []
    for system, crossings in found.items():
        amounts = {key: summary_over_seeds(seeds_of(crossings, key)) for key in told}
        seconds = summary_over_seeds(seeds_of(crossings, 'train_seconds'))
        macs, split = amounts['train_macs'], splits[system]
        rows.append(
            {
                'system': system.name,
                'href': link(middle_run(crossings).path),
                'published': dates.get(system.name),
                'seeds': macs.n,
                'seeds_reached': macs.n_reached,
                'seeds_censored': macs.n_censored,
                **{key: cell for name, each in amounts.items() for key, cell in amount_cells(name, each).items()},
                'train_macs_range': range_text(macs),
                **factor_cells('train_factor', split.train_macs),
                **(factor_cells('paper_factor', paper[system]) if paper else {}),
                **factor_cells('examples_factor', split.examples),
                **factor_cells('train_macs_factor', split.macs_per_example),
                **amount_cells('seconds', seconds),
                'final': statistics.median(float(run.curve[target.metric.name][-1]) for run, _ in crossings),
                **_mean_cells(target, [run for run, _ in crossings]),
                'against_baseline': verdicts.get(system.name),
            }
        )
    return Table(
        f'systems-{name}',
        f'Compute to {target}',
        (*_before_final(unit), _final(target), *_OF_MEAN, Column('against_baseline', 'against the baseline')),
        rows,
        'The mean is of the final values of seeds that no target stopped; beside it is how likely one so far beyond '
        "the target is, or farther, if the true mean is at the target: Student's t of one side.",
        in_file=parts(
            (*told, 'seconds'),
            ('train_factor', *(['paper_factor'] if paper else []), 'examples_factor', 'train_macs_factor'),
        ),
    )


def unit_of(systems: Sequence[System]) -> str | None:
    """What examples of some systems of one data set are called where they have no end, as 'moves'; None otherwise."""
    return systems[0].runs[0].unit


def _before_final(unit: str | None) -> Sequence[Column]:
    if unit is None:
        return _BEFORE_FINAL
    kept = [column for column in _BEFORE_FINAL if not column.key.startswith('paper_')]
    return [amount_column('examples', unit) if column.key == 'epochs' else column for column in kept]


def _final(target: Target) -> Column:
    """The metric at a run's end."""
    return Column('final', f'final {target.metric.noun}', digits=4)


def _mean_cells(target: Target, runs: Sequence[MeasuredRun]) -> dict[str, float | None]:
    """What the seeds end at beside the target; nothing where one was stopped, and so ends there for that reason."""
    if any(run.stopped for run in runs):
        return {column.key: None for column in _OF_MEAN}
    found = mean_test([float(run.curve[target.metric.name][-1]) for run in runs], target.metric, target.value)
    return {'final_reached': found.reached, 'final_mean': found.mean, 'final_p': found.p}


def over_baseline(found: Found, baseline: System) -> dict[System, Split]:
    """Where each system's factor over the baseline is from; the baseline's own is as that of `factors_over`."""
    itself = factors_over({baseline: seeds_of(found[baseline])}, baseline)[baseline]
    return {
        system: Split(itself, exact_factor(1, 1), itself)
        if system is baseline
        else split_factor(found[baseline], crossings)
        for system, crossings in found.items()
    }


def middle_run(crossings: Sequence[tuple[MeasuredRun, Crossing]]) -> MeasuredRun:
    """The run of the median seed, of an even number of them the cheaper of the middle two."""
    return crossings[(len(crossings) - 1) // 2][0]


def seeds_by_rule(target: Target, order: Sequence[System]) -> dict[str, dict[System, Seeds]]:
    """What each system's seeds took, by each rule of what counts as reaching the target."""
    return {rule: {system: seeds_of(system.crossings(target, rule)) for system in order} for rule in RULES}


def rules_table(
    name: str,
    target: Target,
    order: Sequence[System],
    baseline: System,
    seeds: Mapping[str, Mapping[System, Seeds]],
    factors: Mapping[str, Mapping[System, Factor]],
) -> Table:
    """The factors by each rule of what counts as reaching the target, side by side; see `seeds_by_rule`."""
    keys = {rule: rule.replace(' ', '_') for rule in RULES}
    rows = []
    for system in order:
        row = {'system': system.name}
        for rule, key in keys.items():
            macs = summary_over_seeds(seeds[rule][system])
            row |= amount_cells(f'{key}_macs', macs)
            row |= factor_cells(f'{key}_factor', factors[rule][system])
            row[f'{key}_censored'] = macs.n_censored
        rows.append(row)
    columns = [Column('system', 'system')]
    columns += [factor_column(f'{key}_factor', f'factor, {rule}') for rule, key in keys.items()]
    columns += [amount_column(f'{key}_macs', f'train compute, macs, {rule}') for rule, key in keys.items()]
    columns += [Column(f'{key}_censored', f'stopped before, {rule}') for rule, key in keys.items()]
    rules = '; '.join(f'{rule}: {what.format(side=target.metric.side)}' for rule, what in RULES.items())
    return Table(
        f'rules-{name}',
        'By what counts as reaching it',
        columns,
        rows,
        f'{rules[0].upper()}{rules[1:]}. A run that was stopped at its first evaluation at the target says of two in a '
        'row only that it takes that much or more.',
        parts([f'{key}_macs' for key in keys.values()], [f'{key}_factor' for key in keys.values()]),
    )


def runs_table(name: str, target: Target, order: Sequence[System], link: Link) -> Table:
    """Each run, by system and compute."""
    rows, unit = [], unit_of(order)
    for system in order:
        for run, crossing in system.crossings(target):
            rows.append(
                {
                    'system': system.name, 'seed': run.seed, 'status': run.status,
                    'reached': 'yes' if crossing.reached else 'stopped before' if crossing.censored else 'never',
                    'epochs': crossing.epochs, 'examples': crossing.examples, 'train_macs': crossing.train_macs,
                    'train_macs_text': amount_text(crossing.train_macs, crossing.censored, 4),
                    'paper_macs': crossing.paper_macs, 'train_seconds': crossing.train_seconds,
                    'final': float(run.curve[target.metric.name][-1]), 'precision': run.precision, 'device': run.device,
                    'record': run.path, 'href': link(run.path),
                }
            )  # fmt: skip
    columns = (
        Column('system', 'system'), Column('seed', 'seed', link='href'), Column('status', 'status'),
        Column('reached', 'reached it'), Column('epochs', 'epochs'), Column('examples', 'examples'),
        Column('train_macs', 'train compute, macs', link='href', text='train_macs_text'),
        Column('paper_macs', 'paper compute, macs', digits=4), Column('train_seconds', 'train seconds'),
        _final(target), Column('precision', 'precision'), Column('device', 'device'), Column('record', 'record'),
    )  # fmt: skip
    if unit is not None:
        columns = [
            dataclasses.replace(column, label=unit) if column.key == 'examples' else column
            for column in columns
            if column.key not in ('epochs', 'paper_macs')
        ]
    return Table(
        f'runs-{name}', 'Runs', columns, rows,
        'Compute is to the first evaluation that meets the target; of a run that was stopped before, all that it took.',
    )  # fmt: skip
