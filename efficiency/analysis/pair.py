"""Where the factor between two is from: systems of runs, run records or points of the published ledger."""

import dataclasses
import difflib
import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence

from efficiency import records
from efficiency.analysis.cells import factor_cells, factor_column, parts
from efficiency.analysis.crossings import Crossing
from efficiency.analysis.decompose import Split, split_factor
from efficiency.analysis.document import Column, Section, Table
from efficiency.analysis.factors import exact_factor, factor_with_interval
from efficiency.analysis.levels import parse_levels, split_level
from efficiency.analysis.runs import MeasuredRun, as_run, seeds_of, systems
from efficiency.errors import UserError, shown
from efficiency.metrics import Metric
from efficiency.published import points as ledger

_Crossings = Sequence[tuple[MeasuredRun, Crossing]]


@dataclasses.dataclass(frozen=True)
class _Level:
    """What two are compared at; `metric` is None between points of the ledger, which are of their target alone."""

    goal: str
    metric: Metric | None
    value: float


@dataclasses.dataclass(frozen=True)
class Side:
    """One of a pair.

    Attributes:
        name: what it is, for people.
        where: its file, its source or how many seeds it has.
        dataset, fingerprint: the images that runs evaluate on; a point says nothing of a fingerprint.
        runs: of a system or a record, none of a point.
        point: of the ledger, None of runs.
    """

    name: str
    where: str
    dataset: str
    fingerprint: str | None
    runs: Sequence[MeasuredRun] = ()
    point: ledger.PublishedPoint | None = None


def pair_section(texts: Sequence[str], runs: Sequence[MeasuredRun], levels: Sequence[str]) -> Section:
    """The factor between two, and its causes, with a table for each level.

    Args:
        texts: of each side a system's name as the tables of `runs` have it, the name of a point of the ledger, or the
            path of a record.
        runs: that there are.
        levels: to compare at, as 'top1:0.954'; none for the hardest that both have as their target, or, where they
            share none, that one of them has. Exchanged sides are compared at the same.

    Raises:
        UserError: if a side is none of these, the two are not of the same images or of one level, or no run of one
            reaches it.
    """
    a, b = _pair(texts, runs)
    levels = _levels(a, b, levels)
    text, tables = [], []
    for level in levels:
        lines, table = _at_level(
            a, b, level, 'pair' if len(levels) == 1 else f'pair-{level.metric.name}-{level.value:g}'
        )
        text += lines
        tables.append(table)
    return Section('pair', f'{b.name} over {a.name}', text, tables=tables)


def _pair(texts: Sequence[str], runs: Sequence[MeasuredRun]) -> tuple[Side, Side]:
    points = {point.id: point for point in ledger.points()}
    all_a, all_b = (_sides(text, runs, points) for text in texts)
    pairs = [(a, b) for a in all_a for b in all_b if _of_one_kind(a, b)]
    if not pairs:
        a, b = all_a[0], all_b[0]
        raise UserError(
            f'--compare: {a.name} is of {_what(a)} and {b.name} of {_what(b)}; factors are between two of the same '
            'images, or of the same target of the ledger'
        )
    if len(pairs) > 1:
        there = ' and of '.join(_what(a) for a, _ in pairs)
        raise UserError(f'--compare: {texts[0]} and {texts[1]} are both of {there}; pass --runs of one of them')
    return pairs[0]


def _what(side: Side) -> str:
    return side.point.target if side.point else f'{side.dataset} {side.fingerprint[:12]}'


def _of_one_kind(a: Side, b: Side) -> bool:
    if a.point and b.point:
        return a.point.target == b.point.target
    return a.dataset == b.dataset and (a.fingerprint == b.fingerprint or bool(a.point or b.point))


def _sides(text: str, runs: Sequence[MeasuredRun], points: Mapping[str, ledger.PublishedPoint]) -> list[Side]:
    """What a text may name: a system on each data set that has one of that name, or one point, or one record."""
    by_images = defaultdict(list)
    for run in runs:
        by_images[run.target.data].append(run)
    found = [(images, system) for images, group in sorted(by_images.items()) for system in systems(group)]
    named = [
        Side(system.name, _count(len(system.runs), 'seed'), *images, system.runs)
        for images, system in found
        if system.name == text
    ]
    if named:
        return named
    if text in points:
        return [_point_side(points[text])]
    try:
        run = as_run(records.read(text), text)
    except records.RecordError as error:
        raise UserError(f'--compare: {error}') from error
    except OSError as error:
        near = difflib.get_close_matches(text, [*(system.name for _, system in found), *points], n=3, cutoff=0.5)
        hint = f'; the nearest are {", ".join(near)}' if near else ''
        raise UserError(
            f'--compare: {shown(text)} is no system of the runs, no name of the ledger and no record '
            f'({error.strerror}){hint}'
        ) from error
    if run.status not in ('reached', 'exhausted') or not len(run.curve['epochs']):
        raise UserError(f'--compare: {text} is of a run that is not finished; its status is {run.status}')
    return [Side(f'{run.model}, seed {run.seed}', text, *run.target.data, [run])]


def _count(number: int, what: str) -> str:
    return f'{number} {what}' if number == 1 else f'{number} {what}s'


def _point_side(point: ledger.PublishedPoint) -> Side:
    needed = point.epochs, point.examples, point.dense_macs
    if not all(needed):
        raise UserError(
            f'--compare: the ledger does not say after how many epochs {point.id} was there, at what compute'
        )
    return Side(point.system, f'{point.id}: {point.source}', ledger.targets()[point.target].dataset, None, point=point)


def _levels(a: Side, b: Side, asked: Sequence[str]) -> list[_Level]:
    """The levels to compare two at, whichever is the first."""
    if point := a.point or b.point:
        return [_level_of_ledger(point, [*a.runs, *b.runs], asked)]
    metrics = _shared_metrics(a, b)
    if asked:
        (levels,) = parse_levels(asked, [metrics])
    else:
        ours, theirs = (
            {(t.metric, t.value) for run in side.runs for t in run.targets if t.metric.name in metrics}
            for side in (a, b)
        )
        levels = ours & theirs or ours | theirs
        if len({metric for metric, _ in levels}) > 1:
            wanted = sorted((metric.name, value, metric.goal(value)) for metric, value in levels)
            name, value, _ = wanted[0]
            raise UserError(
                f'--compare: the targets are {" and ".join(goal for *_, goal in wanted)}; say which with --target, as '
                f'--target={name}:{value:g}'
            )
        if not levels:
            raise UserError(f'--compare: neither target is of {" or ".join(metrics)}, which both were evaluated by')
        levels = [max(levels, key=lambda level: level[0].gain(level[1]))]
    return [_Level(f'{metric.goal(value)} on {a.dataset}', metric, value) for metric, value in levels]


def _shared_metrics(a: Side, b: Side) -> dict[str, Metric]:
    """What all runs of both were evaluated by."""
    runs = [*a.runs, *b.runs]
    items = set.intersection(*(set(run.metrics.items()) for run in runs))
    if not items:
        raise UserError(f'--compare: {a.name} and {b.name} were evaluated by no metric that is the same for both')
    return dict(sorted(items))


def _level_of_ledger(point: ledger.PublishedPoint, runs: Sequence[MeasuredRun], asked: Sequence[str]) -> _Level:
    """The level of a point's target, which runs must have the metric of."""
    target = ledger.targets()[point.target]
    if other := next((text for text in asked if split_level(text) != (target.metric, target.value)), None):
        raise UserError(f'--compare: {point.id} is of {point.target}; of {other} the ledger says nothing')
    if not runs:
        return _Level(point.target, None, target.value)
    found = {run.metrics.get(target.metric) for run in runs}
    metric = found.pop()
    is_same = not found and metric and metric.rises == (target.direction == 'at_least')
    if not is_same or metric.is_share != (target.unit == 'fraction'):
        raise UserError(f'--compare: {point.id} is of {point.target}, and runs have no {target.metric}')
    return _Level(f'{metric.goal(target.value)} on {target.dataset}', metric, target.value)


def _at_level(a: Side, b: Side, level: _Level, name: str) -> tuple[list[str], Table]:
    """What is said of a level, and the factors there."""
    goal = level.goal
    crossings = [_crossings(side, level) for side in (a, b)]
    split = _split((a, b), crossings)
    text = [f'{a.name} ({a.where}) against {b.name} ({b.where}), both to {goal}. Above 1, the second takes less.']
    if max(len(a.runs), len(b.runs)) > 1:
        text.append('Factors are between medians over seeds; in brackets, the 95 % interval over resampled seeds.')
    for side, found in zip((a, b), crossings, strict=True):
        if stopped := sum(crossing.censored for _, crossing in found):
            text.append(
                f'Stopped at a target of their own before they met {goal}, so that they take what they spent or more: '
                f'{stopped} of {_count(len(found), "run")} of {side.name}.'
            )
    if a.point or b.point:
        text.append('Compute is 3 x forward dense macs x examples, as that of the ledger.')
    if split.seconds is None:
        text.append("Seconds are not split: seconds and the machine's peak are not known of both.")
    columns = (Column('cause', 'cause'), factor_column('factor', 'factor'))
    title = 'Where the factor is from' + ('' if name == 'pair' else f', {goal}')
    return text, Table(name, title, columns, _rows(split), in_file=parts(factors=['factor']))


def _crossings(side: Side, level: _Level) -> _Crossings:
    """What each run of a side took to the level, none of a point."""
    found = [(run, run.crossing(level.metric, level.value)) for run in side.runs]
    if found and all(math.isinf(crossing.train_macs) for _, crossing in found):
        raise UserError(f'--compare: {side.name} ({side.where}) does not reach {level.goal}')
    return found


def _split(sides: tuple[Side, Side], crossings: Sequence[_Crossings]) -> Split:
    if not any(side.point for side in sides):
        return split_factor(*crossings)
    examples, macs, each = [], [], []
    for side, found in zip(sides, crossings, strict=True):
        if point := side.point:
            examples.append([point.epochs * point.examples])
            macs.append([point.dense_macs])
            each.append(point.dense_macs / (point.epochs * point.examples))
        else:
            examples.append(seeds_of(found, 'examples'))
            macs.append(seeds_of(found, 'paper_macs'))
            each.append(statistics.median(at.paper_macs / at.examples for _, at in found if at.examples < math.inf))
    return Split(factor_with_interval(*examples), exact_factor(*each), factor_with_interval(*macs))


def _rows(split: Split) -> list[dict]:
    causes = {
        'examples': split.examples,
        'macs an example': split.macs_per_example,
        'both: train compute': split.train_macs,
    }
    if split.seconds is not None:
        causes |= {
            'faster hardware (peak of a matrix multiply)': split.hardware,
            'better use of its peak': split.utilisation,
            'all: seconds of training': split.seconds,
        }
    return [{'cause': cause, **factor_cells('factor', factor)} for cause, factor in causes.items()]
