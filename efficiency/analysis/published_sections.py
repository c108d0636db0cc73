"""What the published ledger says: the paper's tables again, trends for each target, all points with their source."""

import dataclasses
import datetime
from collections import defaultdict
from collections.abc import Mapping, Sequence

from efficiency.analysis import plots, rederive
from efficiency.analysis.charts import Chart
from efficiency.analysis.decompose import effective_compute
from efficiency.analysis.document import Column, Section, Table, address
from efficiency.analysis.factors import Factor, exact_factor
from efficiency.analysis.published_trends import (
    OPERATIONS,
    PAPER,
    TIME,
    Trend,
    ledger_trends,
    over_date,
    trends_section,
)
from efficiency.analysis.resnet50_level import level_table
from efficiency.published.points import Claim, Network, PublishedPoint, PublishedTarget

# The largest runs, whatever they can do.
_NO_CAPABILITY = 'training_compute'
_PAPER_URL = 'https://arxiv.org/abs/2005.04305'
# Section 5.4 and figure 5, from AlexNet to the end of 2018's largest run; the split is `effective_compute`'s.
_PERIOD = datetime.date(2012, 6, 1), datetime.date(2018, 6, 30)


def published_sections(
    points: Sequence[PublishedPoint],
    targets: Mapping[str, PublishedTarget],
    networks: Mapping[tuple[str, int], Network],
    claims: Mapping[str, Claim],
) -> list[Section]:
    """The sections that need no runs."""
    groups = defaultdict(list)
    for point in points:
        if not _off_frontier(point, targets):
            groups[point.target, OPERATIONS if point.basis != 'time_x_rate' else TIME].append(point)
    trends = ledger_trends(groups, targets)
    return [
        _paper_section(points, networks, claims, next(trend for trend in trends if trend.is_paper)),
        trends_section(trends),
        _ledger_section(points, targets),
    ]


def _off_frontier(point: PublishedPoint, targets: Mapping[str, PublishedTarget]) -> str:
    """Why a point is on no frontier and in no trend, '' where it may be."""
    if targets[point.target].metric == _NO_CAPABILITY:
        return 'its target is no capability'
    return point.off_frontier


def _paper_section(points, networks, claims, trend: Trend) -> Section:
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
        f'{months.one_convention:.2f} months. {trend.evidence.frontier_text}',
        f'{trend.evidence.text} The tests are those of the trends below.',
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
            over_date('figure-3', 'Compute to AlexNet level on ImageNet', paper, 'Figure 3 of the paper'),
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


def _ledger_section(points: Sequence[PublishedPoint], targets: Mapping[str, PublishedTarget]) -> Section:
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
