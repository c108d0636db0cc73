"""What a study says: its systems beside the baseline, and the bill of all its runs."""

import math
from collections.abc import Sequence
from typing import Any

from efficiency import records
from efficiency.studies.definition import Study, System
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
    """The systems' compute to each target that they share, tuning left out, by the target in words.

    Returns:
        Rows: 'system', 'reached' (seeds), 'train_macs' (the median over seeds, to the first evaluation that meets the
        target) with 'of_seeds' (the smallest and the largest), 'factor' (the baseline's median over this one's) with
        'factor_of_seeds' (the baseline's smallest over this one's largest, and the other way round), and
        'against_baseline' (a test over seeds, in a sentence).
    """
    from efficiency.analysis.runs import as_run, shared_targets
    from efficiency.analysis.survival import Seeds, summary_over_seeds

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
    for target in shared_targets([run for each in runs.values() for run in each]):
        macs = {}
        for name, each in runs.items():
            crossings = [run.crossing(target.metric, target.value) for run in each if _on(run, target)]
            if crossings:
                macs[name] = Seeds(*zip(*((c.train_macs, c.censored) for c in crossings), strict=True))
        order = sorted(macs, key=lambda name: summary_over_seeds(macs[name]).median)
        if order:
            tables[str(target)] = [_row(name, macs[name], study.baseline, macs.get(study.baseline)) for name in order]
    return tables


def _row(name: str, macs: Sequence[float], baseline: str | None, base: Sequence[float] | None) -> Row:
    from efficiency.analysis.compare import compare
    from efficiency.analysis.survival import summary_over_seeds

    ours, theirs = summary_over_seeds(macs), summary_over_seeds(base) if base else None
    row = {
        'system': name,
        'reached': f'{ours.n_reached} of {ours.n}',
        'train_macs': _macs(ours.median),
        'of_seeds': f'[{_macs(ours.low)}, {_macs(ours.high)}]' if ours.n > 1 else None,
        'factor': _factor(theirs.median, ours.median) if theirs else None,
        'factor_of_seeds': None,
        'against_baseline': None,
    }
    if theirs and name != baseline:
        row['factor_of_seeds'] = f'[{_factor(theirs.low, ours.high)}, {_factor(theirs.high, ours.low)}]'
        row['against_baseline'] = compare(macs, base, (name, baseline)).verdict
    return row


def _on(run, target) -> bool:
    return (run.target.dataset, run.target.fingerprint) == (target.dataset, target.fingerprint)


def _macs(macs: float) -> str:
    return f'{macs:.3g}' if math.isfinite(macs) else 'never'


def _factor(base: float, ours: float) -> str:
    """How many times the baseline's compute is ours; '-' where neither reached."""
    if math.isinf(ours):
        return '-' if math.isinf(base) else '0'
    return 'infinite' if math.isinf(base) else f'{base / ours:.3g}'
