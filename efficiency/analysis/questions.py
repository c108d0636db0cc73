"""What a reader may ask of records beyond the standing tables: a budget, a pair of records, other targets."""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Callable, Sequence

from efficiency import records
from efficiency.analysis.decompose import Cost, decompose, within_budget
from efficiency.analysis.document import Column, Section, Table, shown
from efficiency.analysis.runs import Run, as_run, parse_target, systems
from efficiency.errors import UserError
from efficiency.errors import shown as quoted


@dataclasses.dataclass(frozen=True)
class Questions:
    """What was asked.

    Attributes:
        levels: metrics and values to report on; none for the targets of the runs.
        budget_macs: training compute to spend, or None.
        pair: two runs to compare, or None.
    """

    levels: Sequence[tuple[str, float]] = ()
    budget_macs: float | None = None
    pair: tuple[Run, Run] | None = None

    @classmethod
    def parse(cls, targets: Sequence[str], budget: str | None, pair: Sequence[str] | None) -> 'Questions':
        """From the command's options.

        Raises:
            UserError: for one that is not understood, or a record that cannot be used.
        """
        return cls(
            [parse_target(text) for text in targets],
            None if budget is None else _parse_macs(budget),
            None if pair is None else tuple(map(_read, pair)),
        )

    def sections(self, runs: Sequence[Run], link: Callable[[str], str]) -> list[Section]:
        """A section for each question that needs one."""
        sections = []
        if self.budget_macs is not None:
            sections.append(_budget_section(runs, self.budget_macs))
        if self.pair is not None:
            sections.append(_pair_section(*self.pair, link))
        return sections


def _parse_macs(text: str) -> float:
    try:
        macs = float(text)
    except ValueError:
        macs = math.nan
    if not 0 < macs < math.inf:
        raise UserError(f'--budget_macs={quoted(text)} is not a number of multiply-adds, as 1e12')
    return macs


def _read(path: str) -> Run:
    try:
        return as_run(records.read(path), path)
    except records.RecordError as error:
        raise UserError(f'--compare: {error}') from error
    except OSError as error:
        raise UserError(f'--compare: cannot read {path}: {error.strerror}') from error


def _budget_section(runs: Sequence[Run], budget: float) -> Section:
    groups = defaultdict(list)
    for run in runs:
        groups[run.target.dataset, run.target.fingerprint, run.target.metric].append(run)
    tables = []
    for i, ((dataset, _, metric), group) in enumerate(sorted(groups.items())):
        candidates = {
            system.name: [(run.curve[metric], run.curve['train_macs'], run.curve['epochs']) for run in system.runs]
            for system in systems([run for run in group if len(run.curve[metric])])
        }
        rows = [
            {
                'system': row.name, 'level': row.level, 'epochs': row.epochs, 'train_macs': row.macs,
                'seeds': row.seeds, 'ended': f'{row.seeds_ended} of {row.seeds}',
            }
            for row in within_budget(candidates, budget)
        ]  # fmt: skip
        columns = (
            Column('system', 'system'), Column('level', f'best {metric} within the budget', digits=4),
            Column('epochs', 'epochs'), Column('train_macs', 'train compute, macs'), Column('seeds', 'seeds'),
            Column('ended', 'runs that ended before it was spent'),
        )  # fmt: skip
        tables.append(Table(f'budget-{i}', f'{metric} on {dataset} within {shown(budget)} macs', columns, rows))
    text = (
        f'What reaches which level within {shown(budget)} multiply-adds of training (dense, of the train step): the '
        'best accuracy of an evaluation that the budget pays for, the median over seeds. "-" where it pays for none.'
    )
    return Section('budget', f'Within a budget of {shown(budget)} macs', [text], tables=tables)


def _pair_section(a: Run, b: Run, link: Callable[[str], str]) -> Section:
    """The factor between two records, and its causes.

    Raises:
        UserError: if they are not of the same images, or one does not reach the first one's target.
    """
    target = a.target
    if (b.target.dataset, b.target.fingerprint) != (target.dataset, target.fingerprint):
        raise UserError(
            f'--compare: {a.path} is of {a.target.dataset} and {b.path} of other images, {b.target.dataset}'
        )
    costs = []
    for run in (a, b):
        crossing = run.crossing(target.metric, target.value)
        if crossing is None or not crossing.reached:
            raise UserError(f'--compare: {run.path} does not reach {target}, the target of {a.path}')
        costs.append(
            Cost(
                examples=crossing.examples,
                total_macs=crossing.train_macs,
                seconds=crossing.train_seconds or None,
                peak_macs_per_second=run.matmul_peak_macs_per_second,
            )
        )
    parts = decompose(*costs)
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
    text = [
        f'{a.model}, seed {a.seed} ({link(a.path)}) against {b.model}, seed {b.seed} ({link(b.path)}), both to '
        f'{target}. Above 1, the second takes less.'
    ]
    if parts.seconds_factor is None:
        text.append("Seconds are not split: a record lacks the machine's peak.")
    columns = (Column('cause', 'cause'), Column('factor', 'factor', digits=4))
    return Section(
        'pair', f'{b.model} over {a.model}', text, tables=[Table('pair', 'Where the factor is from', columns, rows)]
    )
