"""What a reader may ask of records beyond the standing tables: a budget, a pair of records, other targets."""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from efficiency import records
from efficiency.analysis.cells import amount_text
from efficiency.analysis.decompose import Cost, decompose, within_budget
from efficiency.analysis.document import Column, Section, Table, shown
from efficiency.analysis.runs import Run, Target, as_run, parse_target, systems
from efficiency.errors import UserError
from efficiency.errors import shown as quoted
from efficiency.published.points import PublishedPoint
from efficiency.published.points import points as read_points


@dataclasses.dataclass(frozen=True)
class Questions:
    """What was asked.

    Attributes:
        levels: metrics and values to report on; none for the targets of the runs.
        budget_macs: training compute to spend, or None.
        pair: two sides to compare, or None.
    """

    levels: Sequence[tuple[str, float]] = ()
    budget_macs: float | None = None
    pair: tuple['Side', 'Side'] | None = None

    @classmethod
    def parse(
        cls, targets: Sequence[str], budget: str | None, pair: Sequence[str] | None, has_runs: bool
    ) -> 'Questions':
        """From the command's options.

        Args:
            has_runs: whether there are runs to ask.

        Raises:
            UserError: for one that is not understood, or a record that cannot be used.
        """
        for option, value in (('target', targets), ('budget_macs', budget)):
            if value and not has_runs:
                raise UserError(f'--{option} is asked of runs; pass --runs=DIR, too')
        points = {point.id: point for point in read_points()}
        return cls(
            [parse_target(text) for text in targets],
            None if budget is None else _parse_macs(budget),
            None if pair is None else tuple(_side(text, points) for text in pair),
        )

    def sections(self, runs: Sequence[Run]) -> list[Section]:
        """A section for each question that needs one."""
        sections = []
        if self.budget_macs is not None:
            sections.append(_budget_section(runs, self.budget_macs))
        if self.pair is not None:
            sections.append(_pair_section(*self.pair))
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


@dataclasses.dataclass(frozen=True)
class Side:
    """One of a pair: a run record, or a point of the published ledger.

    Attributes:
        name: what it is, for people.
        where: its file or its source.
        level: what both have to be of, the images that a run evaluates on or a target of the ledger.
        run: of a record, None of a point.
        cost: of a point; of a run it depends on the level that is asked of it.
    """

    name: str
    where: str
    level: tuple[str, str]
    run: Run | None = None
    cost: Cost | None = None


def _side(text: str, points: Mapping[str, PublishedPoint]) -> Side:
    if text in points:
        point = points[text]
        if None in (point.epochs, point.examples, point.dense_macs):
            raise UserError(
                f'--compare: the ledger does not say after how many epochs {text} was there, at what compute'
            )
        cost = Cost(examples=point.epochs * point.examples, total_macs=point.dense_macs)
        return Side(point.system, f'{point.id}: {point.source}', ('the ledger', point.target), cost=cost)
    try:
        run = as_run(records.read(text), text)
    except records.RecordError as error:
        raise UserError(f'--compare: {error}') from error
    except OSError as error:
        raise UserError(f'--compare: {text} is no record ({error.strerror}) and no name of the ledger') from error
    return Side(f'{run.model}, seed {run.seed}', text, (run.target.dataset, run.target.fingerprint), run)


def _cost(side: Side, target: Target) -> Cost:
    crossing = side.run.crossing(target.metric, target.value)
    if not crossing.reached:
        raise UserError(f'--compare: {side.where} does not reach {target}, the target of the first')
    return Cost(
        examples=crossing.examples,
        total_macs=crossing.train_macs,
        seconds=crossing.train_seconds or None,
        peak_macs_per_second=side.run.matmul_peak_macs_per_second,
    )


def _pair_section(a: Side, b: Side) -> Section:
    """The factor between two records or points, and its causes.

    Raises:
        UserError: if they are not of one level, or one does not reach the first one's target.
    """
    if a.level != b.level:
        raise UserError(
            f'--compare: {a.where} is of {" ".join(a.level)} and {b.where} of {" ".join(b.level)}; factors are between '
            'two of the same images, or of the same target of the ledger'
        )
    target = a.run.target if a.run else a.level[1]
    parts = decompose(*(side.cost or _cost(side, target) for side in (a, b)))
    rows = [
        {'cause': 'fewer examples', 'factor': parts.examples_factor},
        {'cause': 'fewer macs an example', 'factor': parts.macs_per_example_factor},
        {'cause': 'both: less train compute', 'factor': parts.factor},
    ]
    if parts.seconds_factor is not None:
        rows += [
            {'cause': 'faster hardware (peak of a matrix multiply)', 'factor': parts.hardware_factor},
            {'cause': 'better use of its peak', 'factor': parts.utilisation_factor},
            {'cause': 'all: fewer seconds of training', 'factor': parts.seconds_factor},
        ]
    text = [f'{a.name} ({a.where}) against {b.name} ({b.where}), both to {target}. Above 1, the second takes less.']
    if parts.seconds_factor is None:
        text.append("Seconds are not split: seconds and the machine's peak are not known of both.")
    columns = (Column('cause', 'cause'), Column('factor', 'factor', digits=4))
    return Section(
        'pair', f'{b.name} over {a.name}', text, tables=[Table('pair', 'Where the factor is from', columns, rows)]
    )
