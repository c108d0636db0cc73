"""What a study says: its systems beside the baseline, and the bill of all its runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from efficiency import records
from efficiency.studies.definition import Study, System
from efficiency.studies.levels import found_levels
from efficiency.studies.state import State

Row = dict[str, Any]


def bill(states: Sequence[State]) -> list[Row]:
    """The multiply-adds of all runs, finished or not, tuning apart.

    Returns:
        For the systems' own runs, those of tuning, and all: 'runs' (that have computed anything), 'train_dense_macs'
        (of the train step x steps), 'evaluation_dense_macs' (of the forward pass x examples evaluated), and
        'tfs_days_macs', both together in teraflop/s-days where a multiply-add is one operation.
    """
    parts: dict[str, list[State]] = {'systems': [], 'tuning': []}
    for state in states:
        if state.record:
            parts['tuning' if state.run.system.role == 'tuning' else 'systems'].append(state)
    return [_sum(name, part) for name, part in (*parts.items(), ('all', parts['systems'] + parts['tuning']))]


def _sum(name: str, states: Sequence[State]) -> Row:
    spent = [records.spent(state.record) for state in states]
    train, evaluation = sum(train for train, _ in spent), sum(evaluation for _, evaluation in spent)
    return {
        'bill': name,
        'runs': len(states),
        'train_dense_macs': train,
        'evaluation_dense_macs': evaluation,
        'tfs_days_macs': f'{(train + evaluation) / records.MACS_PER_TFS_DAY:.3g}',
    }


def comparison(study: Study, systems: Sequence[System], states: Sequence[State]) -> dict[str, list[Row]]:
    """The systems' compute to each target, tuning left out, by the target in words.

    Targets are the study's levels, as far as the runs that these follow from are there; of a study without levels those
    of the configs that its systems share.

    Returns:
        Rows: 'system', 'reached' (seeds), 'stopped' (seeds that were so at a target of their own before this one; None
        where no system has any), 'train_macs' (the median over seeds, to the first evaluation that meets the target)
        with 'of_seeds' (the smallest and the largest), 'factor' (the baseline's median over this one's, with its
        interval; None without a baseline), and 'against_baseline' (a test over seeds, in a sentence).
    """
    from efficiency.analysis.runs import as_run, seeds_of, shared_targets

    runs = {
        system.name: [
            as_run(state.record, state.run.name)
            for state in states
            if state.run.system.name == system.name and state.status == 'done'
        ]
        for system in systems
        if system.role != 'tuning'
    }
    tables = {}
    if study.levels:
        targets = [(target, f'{target}, {why}') for target, why in found_levels(study.levels, states)]
    else:
        targets = [(target, str(target)) for target in shared_targets([run for each in runs.values() for run in each])]
    for target, text in targets:
        crossings = {
            name: [(run, run.crossing(target.metric, target.value)) for run in each if run.can_be_asked(target)]
            for name, each in runs.items()
        }
        seeds = {name: seeds_of(each) for name, each in crossings.items() if each}
        if seeds:
            tables[text] = _rows(seeds, study.baseline)
    return tables


def _rows(seeds: Mapping[str, Any], baseline: str | None) -> list[Row]:
    """A row for each system, by its median."""
    from efficiency.analysis.cells import amount_text, range_text
    from efficiency.analysis.compare import compare_with_baseline
    from efficiency.analysis.factors import factors_over
    from efficiency.analysis.survival import summary_over_seeds

    known = baseline in seeds
    factors = factors_over(seeds, baseline) if known else {}
    compared = compare_with_baseline(seeds, baseline) if known else {}
    found = {name: summary_over_seeds(each) for name, each in seeds.items()}
    stopped = any(summary.n_censored for summary in found.values())
    return [
        {
            'system': name,
            'reached': f'{macs.n_reached} of {macs.n}',
            'stopped': f'{macs.n_censored} of {macs.n}' if stopped else None,
            'train_macs': amount_text(macs.median, macs.is_bound),
            'of_seeds': range_text(macs),
            'factor': str(factors[name]) if known else None,
            'against_baseline': compared[name].verdict if name in compared else None,
        }
        for name, macs in sorted(found.items(), key=lambda item: (item[1].median, item[1].is_bound))
    ]
