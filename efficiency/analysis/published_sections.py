"""What the published ledger says: the paper's tables again, trends for each target, all points with their source."""

import dataclasses
import datetime
from collections import defaultdict
from collections.abc import Mapping, Sequence

from efficiency.analysis import plots, rederive, trends
from efficiency.analysis.charts import Chart
from efficiency.analysis.decompose import effective_compute
from efficiency.analysis.document import Column, Section, Table, address
from efficiency.analysis.factors import Factor, exact_factor
from efficiency.analysis.resnet50_level import level_table
from efficiency.published.points import Claim, Network, PublishedPoint, Target

PAPER = 'hb2020-table3'
# The largest runs, whatever they can do.
_NO_CAPABILITY = 'training_compute'
# What a processor could have done in the time is not compared with what was done.
_OPERATIONS, _TIME = 'operations', 'time x rate'
_PAPER_URL = 'https://arxiv.org/abs/2005.04305'
_ALEXNET_LEVEL = 'imagenet-top5-79.1'
_SIGNS = {'at_least': '>=', 'at_most': '<='}
_DRAWS = 5000
# Section 5.4 and figure 5, from AlexNet to the end of 2018's largest run; the split is `effective_compute`'s.
_PERIOD = datetime.date(2012, 6, 1), datetime.date(2018, 6, 30)


def published_sections(
    points: Sequence[PublishedPoint],
    targets: Mapping[str, Target],
    networks: Mapping[tuple[str, int], Network],
    claims: Mapping[str, Claim],
) -> list[Section]:
    """The sections that need no runs."""
    groups = defaultdict(list)
    for point in points:
        if not _off_frontier(point, targets):
            groups[point.target, _OPERATIONS if point.basis != 'time_x_rate' else _TIME].append(point)
    return [
        _paper_section(points, networks, claims),
        _trends_section(groups, targets),
        _ledger_section(points, targets),
    ]


def _off_frontier(point: PublishedPoint, targets: Mapping[str, Target]) -> str:
    """Why a point is on no frontier and in no trend, '' where it may be."""
    if targets[point.target].metric == _NO_CAPABILITY:
        return 'its target is no capability'
    return point.off_frontier


def _paper_section(points, networks, claims) -> Section:
    derived = rederive.derive(points, networks, claims)
    table3 = rederive.table3(points, networks, claims)
    paper = [point for point in points if point.series == PAPER and not point.off_frontier]
    headline = {figure.claim: figure for figure in derived}
    factor, months = headline['headline.factor'], headline['headline.doubling_months']
    text = [
        'Hernandez & Brown (2020) print that compute to AlexNet-level accuracy on ImageNet (79.1 % top-5) fell '
        f'{factor.printed_text}, a doubling of efficiency every {months.printed_text}. Their own tables give '
        f'{factor.derived:.2f} x and {months.derived:.2f} months. With every network counted in one convention, dense '
        f'multiply-adds of the network itself, the same epochs give {factor.one_convention:.2f} x and '
        f'{months.one_convention:.2f} months.',
        'The paper counted with tools of two units and added what the networks do not do; each row of its table 3 says '
        'below what was printed, what it is, and why. The curves behind its figure 4 were not published: accuracy '
        'against compute is shown for measured runs only.',
    ]
    baseline = next(point for point in paper if point.model == 'alexnet')
    return Section(
        'paper',
        'The paper, re-derived',
        text,
        [
            _over_date('figure-3', 'Compute to AlexNet level on ImageNet', paper, 'Figure 3 of the paper'),
            plots.epochs_against_macs(
                'table-1',
                'Where the gain is from: fewer epochs, cheaper epochs',
                [
                    (
                        p.system,
                        Factor(baseline.epochs / p.epochs),
                        exact_factor(baseline.macs_per_example, p.macs_per_example),
                        p.source,
                    )
                    for p in paper
                ],
                'Table 1 of the paper for all its networks, in dense macs of the networks themselves.',
            ),
            plots.learning_rates(
                'figure-2',
                'Learning-rate schedules',
                [('smooth, 1000 x in all', 'exponential', 0.1, 90, 0), ('by steps, as AlexNet', 'steps', 0.1, 90, 0)],
                'Figure 2 of the paper, for 90 epochs and a peak of 0.1. By steps, most networks reach the level at '
                'the first drop; the shape of the smooth one is our reading, the paper gives its range only.',
            ),
            _effective_chart(),
        ],
        [_table3_table(table3), _derived_table(derived, claims), level_table(points, networks)],
    )


def _over_date(name: str, title: str, points: Sequence[PublishedPoint], what: str) -> Chart:
    dated = [
        plots.DatedPoint(point.system, point.published, point.dense_macs, f'{point.series}: {point.source}')
        for point in points
    ]
    first = min(points, key=lambda point: (point.published, -point.dense_macs))
    text = f'{what}, in dense multiply-adds. Gray is off the frontier.'
    return plots.compute_over_date(name, title, dated, first.system, text)


def _effective_chart() -> Chart:
    parts = effective_compute(hardware=8, spending=37_500, algorithms=25)
    return plots.effective_compute(
        'figure-5',
        'Effective compute of the largest runs',
        *_PERIOD,
        {"hardware, Moore's law": parts.hardware, 'spending': parts.spending, 'algorithms': parts.algorithms},
        f'Figure 5 of the paper: {parts.compute:,.0f} x in compute and {parts.effective:,.0f} x in effect. Hardware '
        'doubles in two years; spending is what that leaves of 300,000 x; each is drawn as growing evenly.',
    )


def _table3_table(rows: Sequence[rederive.Table3Row]) -> Table:
    columns = (
        Column('system', 'network', link='href'), Column('epochs', 'epochs'),
        Column('printed', 'petaflop of macs, printed', digits=4),
        Column('paper_convention', 'by the macs of the paper', digits=5),
        Column('one_convention', 'in one convention', digits=5),
        Column('one_convention_tfs_days_macs', 'teraflop/s-days of macs', digits=4),
        Column('difference_percent', 'differs by, %'), Column('paper_factor', 'factor of the paper', digits=4),
        Column('factor', 'factor in one convention', digits=4), Column('why', 'why they differ'),
    )  # fmt: skip
    cells = [dataclasses.asdict(row) | {'difference_percent': 100 * row.difference, 'href': _PAPER_URL} for row in rows]
    text = 'Compute is 3 x epochs x 1.28e6 images x forward macs an image: those the paper used, and our dense count.'
    return Table('table-3', 'Table 3 again: compute to AlexNet level', columns, cells, text)


def _derived_table(derived: Sequence[rederive.Derived], claims: Mapping[str, Claim]) -> Table:
    columns = (
        Column('label', 'figure'), Column('printed_text', 'printed', link='href'),
        Column('derived', 're-derived its way', text='derived_text'),
        Column('one_convention', 'in one convention', text='one_convention_text'), Column('unit', 'unit'),
        Column('why', 'why they differ'), Column('depends_on', 'made from'), Column('claim', 'name'),
    )  # fmt: skip
    rows = [
        dataclasses.asdict(figure)
        | {
            'href': address(claims[figure.claim].source) or _PAPER_URL,
            'derived_text': figure.text(figure.derived),
            'one_convention_text': figure.text(figure.one_convention),
            'depends_on': ', '.join(figure.depends_on) or None,
        }
        for figure in derived
    ]
    text = 'Each with at least one decimal more than it was printed with; what it is made from is in the ledger below.'
    return Table('claims', 'Every figure that can be derived', columns, rows, text)


def _trends_section(
    groups: Mapping[tuple[str, str], Sequence[PublishedPoint]], targets: Mapping[str, Target]
) -> Section:
    rows, charts, left_out = [], [], []
    paper = [point for point in groups[_ALEXNET_LEVEL, _OPERATIONS] if point.series == PAPER]
    choices = [((_ALEXNET_LEVEL, 'the paper, operations'), paper), *sorted(groups.items())]
    for (name, which), group in choices:
        if len({point.published for point in group}) < 2:
            continue
        row = _trend_row(targets[name], which, group)
        rows.append(row)
        if group is not paper and row['frontier_points'] > 2:
            target = targets[name]
            level = f'{target.metric} {_SIGNS[target.direction]} {target.value:g} on {target.dataset}, {which}'
            charts.append(_over_date(f'compute-over-date-{name}', _capital(target.description), group, level))
    for system, months in trends.leave_one_out(
        [p.published for p in paper], [p.dense_macs for p in paper], [p.system for p in paper]
    ):
        left_out.append({'system': system, 'months': months})
    columns = (
        Column('target', 'target', link='href'), Column('points', 'points'), Column('which', 'compute is'),
        Column('frontier_points', 'on the frontier'), Column('first', 'from'), Column('last', 'to'),
        Column('factor', 'factor'), Column('least_squares', 'doubling, months: least squares'),
        Column('end_to_end', 'end to end'), Column('through_origin', 'through the first point'),
        Column('over_frontier', '95 % over frontier points'), Column('over_points', '95 % over all points'),
        Column('over_dates', '95 % over dates'),
    )  # fmt: skip
    text = [
        'Doubling times of efficiency: months in which the compute to a target halves, along the frontier, the running '
        'minimum over publication date. Intervals are bootstraps over the points of the frontier, over all points with '
        'the frontier found anew, and over dates within what is known of them; with few points they are too narrow. '
        'A target with one point on its frontier has seen no improvement in the ledger, and one with two has a trend '
        'that two systems make. Targets with points of one date alone are left to the ledger below.',
    ]
    return Section(
        'trends', 'Trends', text, charts,
        [
            Table('trends', 'Doubling time by target', columns, rows),
            Table(
                'leave-one-out', 'Doubling time of the paper without one network',
                (Column('system', 'without'), Column('months', 'months', digits=4)), left_out,
            ),
        ],
    )  # fmt: skip


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _trend_row(target: Target, which: str, group: Sequence[PublishedPoint]) -> dict:
    dates, macs = [point.published for point in group], [point.dense_macs for point in group]
    frontier = [group[i] for i in trends.frontier_indices(dates, macs)]
    row = {
        'target': target.description, 'href': address(target.source), 'which': which, 'points': len(group),
        'frontier_points': len(frontier), 'first': frontier[0].system, 'last': frontier[-1].system,
        'factor': frontier[0].dense_macs / frontier[-1].dense_macs,
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


def _ledger_section(points: Sequence[PublishedPoint], targets: Mapping[str, Target]) -> Section:
    columns = (
        Column('domain', 'domain'), Column('target', 'target'), Column('system', 'system', link='href'),
        Column('published', 'published'), Column('date_precision', 'known to the'),
        Column('printed_compute', 'compute as printed', digits=4), Column('printed_unit', 'unit as printed'),
        Column('printed_convention', 'convention as printed'),
        Column('dense_macs', 'dense macs', digits=4, link='href'),
        Column('tfs_days_macs', 'teraflop/s-days of macs', digits=4), Column('basis', 'basis'),
        Column('epochs', 'epochs'), Column('macs_per_example', 'forward macs an example', digits=4),
        Column('macs_convention', 'counted or published'), Column('image_size', 'pixels a side'),
        Column('evaluated_at', 'evaluated at, where not its own size'), Column('level', 'the level is'),
        Column('off_frontier', 'why it is on no frontier'), Column('confidence', 'confidence'),
        Column('correction', 'what is wrong, and right'), Column('source', 'source'),
        Column('note', 'note'), Column('series', 'series'), Column('id', 'name'),
    )  # fmt: skip
    rows = [
        {column.key: getattr(point, column.key) or None for column in columns}
        | {'off_frontier': _off_frontier(point, targets) or None, 'href': address(point.source)}
        for point in points
    ]
    text = [
        f'{len(points)} points for {len(targets)} targets, each with what was printed, what is right, and its source. '
        'Compute is in dense multiply-adds, 3 x the forward pass, wherever it can be known. A recipe has a date of its '
        'own, which is not that of its network. What does not say that it met the target is on no frontier and in no '
        'trend.'
    ]
    return Section('ledger', 'The published ledger', text, tables=[Table('ledger', 'All points', columns, rows)])
