"""Where a submission would stand: the measured table of its target with its row in it."""

import os
from collections.abc import Sequence

from efficiency import records
from efficiency.analysis.contents import network_dates
from efficiency.analysis.measured import compared, slug
from efficiency.analysis.measured_tables import systems_table
from efficiency.analysis.runs import MeasuredRun, Target, as_run, longer, read_runs, shared_targets
from efficiency.errors import UserError
from efficiency.published import points as published
from efficiency.tables import Rows


def standing(paths: Sequence[str | os.PathLike], runs_folder: str) -> tuple[Target, Rows]:
    """The table that a submission's records would land in.

    Args:
        paths: of the submission's valid records, of one system.
        runs_folder: of the runs that it is to be compared with; its own, or other runs of one of its seeds, may be
            among them: of two of one recipe and seed the longer counts, and that of the folder of two as long.

    Returns:
        The target, which most of those runs have as their own, and a row a system, the cheapest first: `rank`, None
        where half of its seeds or more never get there or all were stopped before; `system`; `factor` over the
        baseline with its 95 % interval; `train_macs`; `seeds`; `reached`; and whether it is `submitted`.

    Raises:
        UserError: if there are no runs on the same data, by the metric of its target.
    """
    mine = [as_run(records.read(path), os.path.relpath(path)) for path in paths]
    others, _ = read_runs(runs_folder)
    same = [run for run in others if not run.is_tuning and run.can_be_asked(mine[0].target)]
    if not same:
        raise UserError(
            f'no run below {runs_folder} is on {mine[0].target.dataset} by {mine[0].target.metric.name} as the '
            'submission is, so that there is no table for it'
        )
    target = shared_targets(same)[0]
    each = {_identity(run): run for run in same}
    for run in mine:
        there = each.get(_identity(run))
        each[_identity(run)] = run if there is None else longer(there, run)[0]
    found, baseline, dates, _, splits = compared(target, list(each.values()), network_dates(published.networks()))
    table = systems_table(slug(target), target, found, baseline, dates, splits, str)
    own = set(map(_identity, mine))
    submitted = {system.name for system in found if any(_identity(run) in own for run in system.runs)}
    rows = []
    for place, row in enumerate(table.rows, 1):
        reached = row['train_macs_text'] != 'never' and not row['train_macs_bound']
        rows.append(
            {
                'rank': place if reached else None,
                'system': row['system'],
                'factor': row['train_factor_text'],
                'train_macs': row['train_macs_text'],
                'seeds': row['seeds'],
                'reached': row['seeds_reached'],
                'submitted': 'this one' if row['system'] in submitted else None,
            }
        )
    return target, rows


def _identity(run: MeasuredRun) -> tuple:
    """What runs of one recipe and seed on the same data have in common."""
    return run.model, run.target.data, run.recipe, run.seed
