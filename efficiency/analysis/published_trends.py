"""How fast the compute to each target of the published ledger falls, and whether it does."""

import dataclasses
from collections.abc import Mapping, Sequence

from efficiency.analysis import trends
from efficiency.analysis.charts import Chart
from efficiency.analysis.document import Column, Section, Table, address
from efficiency.analysis.over_date import DatedPoint, compute_over_date
from efficiency.analysis.trend_evidence import FRONTIERS, INDEPENDENCE, Evidence, corrected, evidence
from efficiency.published.points import PublishedPoint, PublishedTarget

PAPER = 'hb2020-table3'
# What a processor could have done in the time is not compared with what was done.
OPERATIONS, TIME = 'operations', 'time x rate'
_ALEXNET_LEVEL = 'imagenet-top5-79.1'
_SIGNS = {'at_least': '>=', 'at_most': '<='}
_DRAWS = 5000
# What the first page says something of, in this order.
_DOMAINS = ('image-classification', 'translation', 'games', 'language-modelling')


@dataclasses.dataclass(frozen=True, eq=False)
class Trend:
    """The points of one target whose compute is known in one way, of two dates or more.

    Attributes:
        which: in what way.
        evidence: of all points, corrected for the tests of all trends of the ledger; None of two points.
    """

    target: PublishedTarget
    which: str
    points: Sequence[PublishedPoint]
    evidence: Evidence | None

    @property
    def is_paper(self) -> bool:
        return all(point.series == PAPER for point in self.points)


def ledger_trends(
    groups: Mapping[tuple[str, str], Sequence[PublishedPoint]], targets: Mapping[str, PublishedTarget]
) -> list[Trend]:
    """The paper's own trend, and that of every group with points of two dates.

    Args:
        groups: points by their target's name and by which way their compute is known.
    """
    paper = [point for point in groups[_ALEXNET_LEVEL, OPERATIONS] if point.series == PAPER]
    choices = [((_ALEXNET_LEVEL, 'the paper, operations'), paper), *sorted(groups.items())]
    found = []
    for (name, which), group in choices:
        if len({point.published for point in group}) > 1:
            dates, seeds = [point.published for point in group], [[point.dense_macs] for point in group]
            precisions = [point.date_precision for point in group]
            found.append(Trend(targets[name], which, group, evidence(dates, seeds, precisions, _DRAWS)))
    tested = iter(corrected([trend.evidence for trend in found if trend.evidence]))
    return [dataclasses.replace(trend, evidence=next(tested)) if trend.evidence else trend for trend in found]


def trends_section(found: Sequence[Trend]) -> Section:
    """The trends of the ledger: along frontiers, over all points, and of the paper without one network."""
    rows, charts = [_trend_row(trend) for trend in found], []
    for trend, row in zip(found, rows, strict=True):
        if not trend.is_paper and row['frontier_points'] > 2:
            target = trend.target
            level = f'{target.metric} {_SIGNS[target.direction]} {target.value:g} on {target.dataset}, {trend.which}'
            name = f'compute-over-date-{target.target}'
            charts.append(over_date(name, _capital(target.description), trend.points, level))
    paper = next(trend for trend in found if trend.is_paper).points
    left_out = [
        {'system': system, 'months': months}
        for system, months in trends.leave_one_out(
            [p.published for p in paper], [p.dense_macs for p in paper], [p.system for p in paper]
        )
    ]
    tests = next((trend.evidence.tests for trend in found if trend.evidence), 0)
    text = [
        'Doubling times of efficiency: months in which the compute to a target halves, along the frontier, the running '
        'minimum over publication date. Intervals are bootstraps over the points of the frontier, over all points with '
        'the frontier found anew, and over dates within what is known of them; with few points they are too narrow. '
        'A target with one point on its frontier has seen no improvement in the ledger, and one with two has a trend '
        'that two systems make. Targets with points of one date alone are left to the ledger below.',
        f"{FRONTIERS} {INDEPENDENCE} The p-values are corrected together, by Holm's method for the {tests} tests of "
        'this section: two of each target with three points or more.',
    ]
    return Section(
        'trends', 'Trends', text, charts,
        [
            Table('trends', 'Doubling time by target, along the frontier', _FRONTIER_COLUMNS, rows),
            Table(
                'trend-tests', 'Whether there is a trend, by all points', _TEST_COLUMNS,
                [_test_row(trend) for trend in found if trend.evidence],
            ),
            Table(
                'leave-one-out', 'Doubling time of the paper without one network',
                (Column('system', 'without'), Column('months', 'months', digits=4)), left_out,
            ),
        ],
        _answers(found, rows),
    )  # fmt: skip


def _answers(found: Sequence[Trend], rows: Sequence[Mapping]) -> list[str]:
    """Of each domain what its headline comes to: the trend of the paper, or that of most points, operations first.

    Args:
        rows: of the table of trends, which take long to find.
    """
    of_domain: dict[str, list[tuple[Trend, Mapping]]] = {}
    for trend, row in zip(found, rows, strict=True):
        of_domain.setdefault(trend.target.domain, []).append((trend, row))
    chosen = [
        max(
            of_domain[domain],
            key=lambda pair: (pair[0].is_paper, pair[0].which != TIME, len(pair[0].points), pair[1]['factor']),
        )
        for domain in _DOMAINS
        if domain in of_domain
    ]
    return [_answer(trend, row) for trend, row in chosen]


def _answer(trend: Trend, row: Mapping) -> str:
    target = trend.target
    by_name = {point.system: point.published.year for point in trend.points}
    first, last = (f'{row[end]} ({by_name[row[end]]})' for end in ('first', 'last'))
    doubling = (
        trend.evidence.short
        if trend.evidence
        else f'{trends.speed_text(row["least_squares"])} between these two, which no test can judge'
    )
    return (
        f'Published, {target.domain.replace("-", " ")}: {row["factor"]:.3g} x less compute to {target.description} '
        f'with {last} than with {first}, {doubling}; {len(trend.points)} systems, one run each, so that the factor has '
        f'no interval. Compute is {"training time x an assumed rate" if trend.which == TIME else "counted"}. What '
        'would change it: seeds, and one recipe for all, as each was trained by its own authors.'
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


_FRONTIER_COLUMNS = (
    Column('target', 'target', link='href'), Column('points', 'points'), Column('which', 'compute is'),
    Column('frontier_points', 'on the frontier'), Column('first', 'from'), Column('last', 'to'),
    Column('factor', 'factor'), Column('least_squares', 'doubling, months: least squares'),
    Column('as_fast_percent', 'as fast with the dates shuffled, % of cases', digits=2),
    Column('verdict', 'by all points'),
    Column('end_to_end', 'end to end'), Column('through_origin', 'through the first point'),
    Column('over_frontier', '95 % over frontier points'), Column('over_points', '95 % over all points'),
    Column('over_dates', '95 % over dates'),
)  # fmt: skip
_TEST_COLUMNS = (
    Column('target', 'target', link='href'), Column('which', 'compute is'), Column('points', 'points'),
    Column('dates', 'dates'), Column('months', 'doubling, months: regression'),
    Column('interval', '95 %'), Column('joint', '95 % over points and dates'),
    Column('p', 'p, dates shuffled', digits=2), Column('least_p', 'least p of so many points', digits=2),
    Column('corrected_p', 'p, corrected', digits=2), Column('frontier_p', 'p of the frontier', digits=2),
    Column('frontier_least_p', 'its least p', digits=2), Column('frontier_corrected_p', 'p, corrected', digits=2),
    Column('orders', 'orders of the dates'), Column('verdict', 'verdict'),
)  # fmt: skip


def _test_row(trend: Trend) -> dict:
    found = trend.evidence
    shuffled = found.shuffled
    return {
        'target': trend.target.description, 'href': address(trend.target.source), 'which': trend.which,
        'points': found.regression.points, 'dates': len({point.published for point in trend.points}),
        'months': found.regression.months, 'interval': str(found.regression.interval), 'joint': str(found.joint),
        'p': shuffled.p, 'least_p': shuffled.least_p, 'corrected_p': found.p, 'frontier_p': shuffled.frontier_p,
        'frontier_least_p': shuffled.frontier_least_p, 'frontier_corrected_p': found.frontier_p,
        'orders': f'all {shuffled.orders:,}' if shuffled.exact else f'{shuffled.orders:,} drawn',
        'verdict': found.verdict,
    }  # fmt: skip


def over_date(name: str, title: str, points: Sequence[PublishedPoint], what: str) -> Chart:
    """Compute over publication date, with the frontier."""
    dated = [
        DatedPoint(point.system, point.published, point.dense_macs, f'{point.series}: {point.source}')
        for point in points
    ]
    first = min(points, key=lambda point: (point.published, -point.dense_macs))
    text = f'{what}, in dense multiply-adds. Gray is off the frontier.'
    return compute_over_date(name, title, dated, first.system, text)


def _trend_row(trend: Trend) -> dict:
    group, found = trend.points, trend.evidence
    dates, macs = [point.published for point in group], [point.dense_macs for point in group]
    frontier = [group[i] for i in trends.frontier_indices(dates, macs)]
    row = {
        'target': trend.target.description, 'href': address(trend.target.source), 'which': trend.which,
        'points': len(group),
        'frontier_points': len(frontier), 'first': frontier[0].system, 'last': frontier[-1].system,
        'factor': frontier[0].dense_macs / frontier[-1].dense_macs,
        'as_fast_percent': 100 * found.shuffled.frontier_p if found else None,
        'verdict': found.verdict if found else 'two points always make a trend',
    }  # fmt: skip
    row |= {method: trends.frontier_doubling_months(dates, macs, method) for method in trends.METHODS}
    intervals = dict.fromkeys(('over_frontier', 'over_points', 'over_dates'))
    if len(frontier) > 2:
        intervals['over_frontier'] = str(trends.bootstrap_points(dates, macs, draws=_DRAWS))
        intervals['over_points'] = str(trends.bootstrap_points(dates, macs, of='all', draws=_DRAWS))
        if any(point.date_precision != 'day' for point in group):
            precisions = [point.date_precision for point in group]
            intervals['over_dates'] = str(trends.bootstrap_dates(dates, macs, precisions, draws=_DRAWS))
    return row | intervals
