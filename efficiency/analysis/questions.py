"""What a reader may ask of records beyond the standing tables: a budget, a pair to compare, other targets."""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Sequence

from efficiency.analysis.cells import amount_text
from efficiency.analysis.decompose import within_budget
from efficiency.analysis.document import Column, Section, Table, cell_text
from efficiency.analysis.levels import parse_levels, split_level
from efficiency.analysis.pair import pair_section
from efficiency.analysis.runs import MeasuredRun, Target, systems
from efficiency.errors import UserError, shown


@dataclasses.dataclass(frozen=True)
class Questions:
    """What was asked.

    Attributes:
        levels: metrics and values to report on, as 'top1:0.954'; none for the targets of the runs.
        budget_macs: training compute to spend, or None.
        pair: two sides to compare, see `efficiency.analysis.pair`, or None.
    """

    levels: Sequence[str] = ()
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
            UserError: for one that is not understood; whether there are such levels the runs will tell.
        """
        for option, is_asked in (('target', targets and not pair), ('budget_macs', budget)):
            if is_asked and not has_runs:
                raise UserError(f'--{option} is asked of runs; pass --runs=DIR, too')
        for text in targets:
            split_level(text)
        return cls(targets, None if budget is None else _parse_macs(budget), pair)

    def targets(self, runs: Sequence[MeasuredRun]) -> list[Target]:
        """The levels asked for on all data that have them; none where none was asked for.

        Raises:
            UserError: for a level that none of the runs can have.
        """
        if not self.levels:
            return []
        metrics = defaultdict(dict)
        for run in runs:
            metrics[run.target.data].update(run.metrics)
        data = sorted(metrics)
        levels = parse_levels(self.levels, [metrics[each] for each in data])
        return [Target(*each, *level) for each, of_each in zip(data, levels, strict=True) for level in of_each]

    def sections(self, runs: Sequence[MeasuredRun]) -> list[Section]:
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
        raise UserError(f'--budget_macs={shown(text)} is not a number of multiply-adds, as 1e12')
    return macs


def _known(epochs: float | None) -> float | None:
    """None where there are none, as of what has no end."""
    return None if epochs is None or math.isnan(epochs) else epochs


def _budget_section(runs: Sequence[MeasuredRun], budget: float) -> Section:
    groups = {}
    for target in dict.fromkeys(target for run in runs for target in run.targets):
        groups[target.data, target.metric.name] = [run for run in runs if run.can_be_asked(target)]
    tables = []
    for i, ((data, name), group) in enumerate(sorted(groups.items())):
        metric = group[0].metrics[name]
        or_better = 'or more' if metric.rises else 'or less'
        candidates = {
            system.name: [
                (run.curve[name], run.curve['train_macs'], run.curve['epochs'], run.stopped) for run in system.runs
            ]
            for system in systems(group)
        }
        rows = [
            {
                'system': row.name, 'level': row.level,
                'level_text': amount_text(row.level, row.level_is_bound, 4, or_better),
                'epochs': _known(row.epochs), 'train_macs': row.macs, 'seeds': row.seeds,
                'ended': f'{row.seeds_ended} of {row.seeds}',
            }
            for row in within_budget(candidates, metric, budget)
        ]  # fmt: skip
        columns = (
            Column('system', 'system'), Column('level', f'best {name} within the budget', text='level_text'),
            Column('epochs', 'epochs'), Column('train_macs', 'train compute, macs'), Column('seeds', 'seeds'),
            Column('ended', 'runs that ended before it was spent'),
        )  # fmt: skip
        tables.append(Table(f'budget-{i}', f'{name} on {data[0]} within {cell_text(budget)} macs', columns, rows))
    text = (
        f'What reaches which level within {cell_text(budget)} multiply-adds of training (dense, of the train step): '
        'the best value of an evaluation that the budget pays for, the median over seeds. "-" where it pays for none; '
        '"or more", of what falls "or less", where runs were stopped at their target before the budget was spent.'
    )
    return Section('budget', f'Within a budget of {cell_text(budget)} macs', [text], tables=tables)
