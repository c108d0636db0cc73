"""What a reader may ask of records beyond the standing tables: a budget, a pair to compare, other targets."""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Sequence

from efficiency.analysis.cells import amount_text
from efficiency.analysis.decompose import within_budget
from efficiency.analysis.document import Column, Section, Table, shown
from efficiency.analysis.pair import pair_section
from efficiency.analysis.runs import Run, parse_target, systems
from efficiency.errors import UserError
from efficiency.errors import shown as quoted


@dataclasses.dataclass(frozen=True)
class Questions:
    """What was asked.

    Attributes:
        levels: metrics and values to report on; none for the targets of the runs.
        budget_macs: training compute to spend, or None.
        pair: two sides to compare, see `efficiency.analysis.pair`, or None.
    """

    levels: Sequence[tuple[str, float]] = ()
    budget_macs: float | None = None
    pair: Sequence[str] | None = None

    @classmethod
    def parse(
        cls, targets: Sequence[str], budget: str | None, pair: Sequence[str] | None, has_runs: bool
    ) -> 'Questions':
        """From the command's options.

        Args:
            has_runs: whether there are runs to ask; a pair may be of records without.

        Raises:
            UserError: for one that is not understood.
        """
        for option, is_asked in (('target', targets and not pair), ('budget_macs', budget)):
            if is_asked and not has_runs:
                raise UserError(f'--{option} is asked of runs; pass --runs=DIR, too')
        levels = list(dict.fromkeys(parse_target(text) for text in targets))
        return cls(levels, None if budget is None else _parse_macs(budget), pair)

    def sections(self, runs: Sequence[Run]) -> list[Section]:
        """A section for each question that needs one.

        Raises:
            UserError: for a pair that cannot be compared.
        """
        sections = []
        if self.budget_macs is not None:
            sections.append(_budget_section(runs, self.budget_macs))
        if self.pair is not None:
            sections.append(pair_section(self.pair, runs, self.levels))
        return sections


def _parse_macs(text: str) -> float:
    try:
        macs = float(text)
    except ValueError:
        macs = math.nan
    if not 0 < macs < math.inf:
        raise UserError(f'--budget_macs={quoted(text)} is not a number of multiply-adds, as 1e12')
    return macs


def _budget_section(runs: Sequence[Run], budget: float) -> Section:
    groups = defaultdict(list)
    for run in runs:
        groups[run.target.dataset, run.target.fingerprint, run.target.metric].append(run)
    tables = []
    for i, ((dataset, _, metric), group) in enumerate(sorted(groups.items())):
        candidates = {
            system.name: [
                (run.curve[metric], run.curve['train_macs'], run.curve['epochs'], run.stopped) for run in system.runs
            ]
            for system in systems([run for run in group if len(run.curve[metric])])
        }
        rows = [
            {
                'system': row.name, 'level': row.level, 'level_text': amount_text(row.level, row.level_is_bound, 4),
                'epochs': row.epochs, 'train_macs': row.macs, 'seeds': row.seeds,
                'ended': f'{row.seeds_ended} of {row.seeds}',
            }
            for row in within_budget(candidates, budget)
        ]  # fmt: skip
        columns = (
            Column('system', 'system'), Column('level', f'best {metric} within the budget', text='level_text'),
            Column('epochs', 'epochs'), Column('train_macs', 'train compute, macs'), Column('seeds', 'seeds'),
            Column('ended', 'runs that ended before it was spent'),
        )  # fmt: skip
        tables.append(Table(f'budget-{i}', f'{metric} on {dataset} within {shown(budget)} macs', columns, rows))
    text = (
        f'What reaches which level within {shown(budget)} multiply-adds of training (dense, of the train step): the '
        'best accuracy of an evaluation that the budget pays for, the median over seeds. "-" where it pays for none; '
        '"or more" where runs were stopped at their target before the budget was spent.'
    )
    return Section('budget', f'Within a budget of {shown(budget)} macs', [text], tables=tables)
