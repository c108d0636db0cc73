"""What all runs cost together, those that were only there to choose a setting apart."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from efficiency.analysis.document import Column, Section, Table
from efficiency.analysis.runs import MeasuredRun
from efficiency.records import MACS_PER_TFS_DAY

_COLUMNS = (
    Column('study', 'study'),
    Column('what', 'runs of'),
    Column('runs', 'runs'),
    Column('train_dense_macs', 'train compute, macs', digits=4),
    Column('evaluation_dense_macs', 'evaluation compute, macs', digits=4),
    Column('tfs_days_macs', 'both, teraflop/s-days of macs'),
)
_TUNING_COLUMNS = (
    Column('study', 'study'),
    Column('system', 'system'),
    Column('seed', 'seed', link='href'),
    Column('status', 'status'),
    Column('train_dense_macs', 'train compute, macs', digits=4),
    Column('record', 'record'),
)


def bill_section(runs: Sequence[MeasuredRun], link: Callable[[str], str]) -> Section:
    """The compute of all runs by study, tuning apart, and which runs were tuning.

    Args:
        link: the address of a record's file, as seen from the page.
    """
    parts = defaultdict(list)
    for run in runs:
        parts[run.study or 'none', 'tuning' if run.is_tuning else 'systems'].append(run)
    rows = [_row(study, what, part) for (study, what), part in sorted(parts.items())]
    if len(rows) > 1:
        rows.append(_row('all', 'all', runs))
    text = [
        'All steps of all runs, past their target, too: train compute is the dense multiply-adds of the train step x '
        'steps, evaluation compute those of the forward pass x examples evaluated. Files that were left out are not in '
        'it.'
    ]
    tables = [Table('bill', 'Bill', _COLUMNS, rows)]
    if tuning := [run for run in runs if run.is_tuning]:
        text.append(
            f'{len(tuning)} runs were tuning: a setting was chosen by them. They are in no factor, frontier or trend.'
        )
        tables.append(Table('tuning', 'Runs that were tuning', _TUNING_COLUMNS, [_tuning(run, link) for run in tuning]))
    return Section('bill', 'What all runs cost', text, tables=tables)


def _row(study: str, what: str, runs: Sequence[MeasuredRun]) -> dict:
    train, evaluation = (sum(run.spent_macs[i] for run in runs) for i in (0, 1))
    return {
        'study': study, 'what': what, 'runs': len(runs), 'train_dense_macs': train,
        'evaluation_dense_macs': evaluation, 'tfs_days_macs': (train + evaluation) / MACS_PER_TFS_DAY,
    }  # fmt: skip


def _tuning(run: MeasuredRun, link: Callable[[str], str]) -> dict:
    return {
        'study': run.study, 'system': run.system, 'seed': run.seed, 'status': run.status,
        'train_dense_macs': run.spent_macs[0], 'record': run.path, 'href': link(run.path),
    }  # fmt: skip
