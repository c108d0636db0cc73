"""What runs say of how fast the compute to one target falls: the trend since the baseline, and how sure that is."""

import datetime
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from efficiency.analysis import trends
from efficiency.analysis.document import Column, Table
from efficiency.analysis.runs import System
from efficiency.analysis.survival import Seeds
from efficiency.analysis.trend_evidence import FRONTIERS, INDEPENDENCE, Evidence, evidence
from efficiency.analysis.trend_intervals import known_medians
from efficiency.analysis.trend_tests import regression
from efficiency.errors import UserError

# Points drawn in all the resamples of a bootstrap: what that takes of memory, and how far it can be trusted.
_DRAWN, _LEAST_DRAWS, _MOST_DRAWS = 2_000_000, 200, 5000
# With more points than these none is left out in its turn.
_LEFT_OUT = 60


def since(order: Sequence[System], baseline: System, dates: Mapping[str, datetime.date]) -> list[System]:
    """The systems that progress since the baseline is made of: it and those published later."""
    start = dates.get(baseline.name)
    return [] if start is None else [s for s in order if s.name in dates and dates[s.name] >= start]


class MeasuredTrend(NamedTuple):
    """What there is to say of a trend.

    Attributes:
        text: in paragraphs.
        methods: what to know in reading it, likewise.
        table: with all of it; None where there is no trend.
        short: in a clause.
    """

    text: Sequence[str]
    table: Table | None
    short: str
    methods: Sequence[str] = ()


def trend(
    name: str,
    order: Sequence[System],
    seeds: Mapping[System, Seeds],
    baseline: System,
    dates: Mapping[str, datetime.date],
) -> MeasuredTrend:
    """The doubling time of efficiency among these systems.

    Args:
        name: of the target, for the table's.
        order: the systems, in the order that they are named in.
        seeds: of each, the compute of its seeds.
        dates: of publication, by system; one without one is in no trend.
    """
    later = since(order, baseline, dates)
    of_trend = {id(system) for system in later}
    earlier = [s.name for s in order if s.name in dates and id(s) not in of_trend]
    before = f'Published before {baseline.name}, and so not part of the trend: {", ".join(earlier)}.' if earlier else ''
    days, of_points = [dates[s.name] for s in later], [seeds[s] for s in later]
    macs = known_medians(of_points)
    if not later or math.isinf(macs[later.index(baseline)]) or trends.frontier_doubling_months(days, macs) is None:
        why = 'No trend can be given: it takes a baseline that reaches the target, and points of two dates.'
        return MeasuredTrend([' '.join(filter(None, [why, before]))], None, 'without a trend')
    draws = min(_MOST_DRAWS, max(_LEAST_DRAWS, _DRAWN // len(later)))
    found = evidence(days, of_points, None, draws)
    frontier = [later[i].name for i in trends.frontier_indices(days, macs)]
    found_months = trends.frontier_doubling_months(days, macs)
    months, speed = trends.months_text(found_months), trends.speed_text(found_months)
    text = [
        f'Frontier since {baseline.name}: {", ".join(frontier)}. Doubling time along it, least squares: {months}.',
        found.frontier_text if found else 'Any two points make a trend: no progress is not excluded.',
        f'{found.text} They are the two of this target.' if found else '',
        before,
    ]
    methods = [f'{FRONTIERS} {INDEPENDENCE}'] if found else []
    rows = [
        *_frontier_rows(days, macs, of_points, draws, found),
        *(_evidence_rows(found) if found else []),
        *(_without_rows(days, macs, later, frontier) if len(later) <= _LEFT_OUT else []),
        *(_without_first_row(days, macs, later, baseline) if found else []),
    ]
    short = found.short if found else f'{speed} between the two points of the frontier, which no test can judge'
    table = Table(f'trend-{name}', 'Doubling time', _COLUMNS, [_EMPTY | row for row in rows])
    return MeasuredTrend([' '.join(filter(None, text))], table, short, methods)


_COLUMNS = (
    Column('what', 'doubling time of efficiency'),
    Column('months', 'months'),
    Column('interval', '95 % interval'),
    Column('p', 'p, dates shuffled', digits=2),
    Column('least_p', 'least p of so many points', digits=2),
    Column('corrected_p', 'p, corrected', digits=2),
)
_EMPTY = dict.fromkeys(column.key for column in _COLUMNS)


def _frontier_rows(days, macs, of_points, draws: int, found: Evidence | None) -> list[dict]:
    """The frontier's line by each convention, the first with what its speed is worth, and intervals of that one."""
    rows = [
        {
            'what': f'frontier, {method.replace("_", " ")}',
            'months': trends.frontier_doubling_months(days, macs, method),
        }
        for method in trends.METHODS
    ]
    if found:
        shuffled = found.shuffled
        rows[0] |= {
            'p': shuffled.frontier_p,
            'least_p': shuffled.frontier_least_p,
            'corrected_p': found.frontier_p,
        }
    for what, interval in (
        ('frontier points', lambda: trends.bootstrap_points(days, macs, draws=draws)),
        ('points, the frontier found anew', lambda: trends.bootstrap_points(days, macs, of='all', draws=draws)),
        ('seeds', lambda: trends.bootstrap_seeds(days, of_points, draws=draws)),
    ):
        try:
            text = str(interval())
        except UserError as error:  # no resample has a trend: the reason stands in the interval's place
            text = str(error)
        rows.append({'what': f'frontier, over resampled {what}', 'interval': text})
    return rows


def _evidence_rows(found: Evidence) -> list[dict]:
    line, shuffled = found.regression, found.shuffled
    return [
        {
            'what': f'all {line.points} points, regression',
            'months': line.months,
            'interval': str(line.interval),
            'p': shuffled.p,
            'least_p': shuffled.least_p,
            'corrected_p': found.p,
        },
        {'what': f'all {line.points} points, over points, seeds and dates', 'interval': str(found.joint)},
    ]


def _without_rows(days, macs, later: Sequence[System], frontier: Sequence[str]) -> list[dict]:
    names = [system.name for system in later]
    return [
        {'what': f'frontier without {left_out}', 'months': months}
        for left_out, months in trends.leave_one_out(days, macs, names)
        if left_out in frontier
    ]


def _without_first_row(days, macs, later: Sequence[System], baseline: System) -> list[dict]:
    """The regression without the baseline, whose own accuracy may be the level, so that it is dear by that choice."""
    rest = [i for i, system in enumerate(later) if system is not baseline]
    try:
        line = regression([days[i] for i in rest], [macs[i] for i in rest])
    except UserError:  # the rest are of one date
        return []
    what = f'all points without {baseline.name}, regression'
    return [{'what': what, 'months': line.months, 'interval': str(line.interval)}]
