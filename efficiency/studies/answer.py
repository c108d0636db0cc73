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
    from efficiency.analysis.compare import compare, summary_over_seeds
    from efficiency.analysis.runs import as_run, shared_targets

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
            if known := [crossing.train_macs for crossing in crossings if crossing]:
                macs[name] = known
        base = macs.get(study.baseline)
        rows = []
        for name in sorted(macs, key=lambda name: summary_over_seeds(macs[name]).median):
            summary = summary_over_seeds(macs[name])
            other = base and summary_over_seeds(base)
            rows.append({
                'system': name,
                'reached': f'{summary.n_reached} of {summary.n}',
                'train_macs': _macs(summary.median),
                'of_seeds': f'[{_macs(summary.low)}, {_macs(summary.high)}]' if summary.n > 1 else None,
                'factor': other and _factor(other.median, summary.median),
                'factor_of_seeds': other
                and f'[{_factor(other.low, summary.high)}, {_factor(other.high, summary.low)}]',
                'against_baseline': compare(macs[name], base, (name, study.baseline)).verdict
                if base and name != study.baseline
                else None,
            })  # fmt: skip
        if rows:
            tables[str(target)] = rows
    return tables


def _on(run, target) -> bool:
    return (run.target.dataset, run.target.fingerprint) == (target.dataset, target.fingerprint)


def _macs(macs: float) -> str:
    return f'{macs:.3g}' if math.isfinite(macs) else 'never'


def _factor(base: float, ours: float) -> str:
    """How many times the baseline's compute is ours; '-' where neither reached."""
    if math.isinf(ours):
        return '-' if math.isinf(base) else '0'
    return 'infinite' if math.isinf(base) else f'{base / ours:.3g}'
