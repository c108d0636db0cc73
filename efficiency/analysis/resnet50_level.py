"""What the assumptions behind the factor at ResNet-50 level do to it.

Hernandez & Brown (2020, arXiv:2005.04305, table 2) do not state after how many epochs their ResNet-50 is at its level,
and 90 are assumed; what takes least compute since trains on small images and then on larger ones, at which its accuracy
is measured, too. Here is the factor with and without each of these.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from efficiency.analysis.document import Column, Table, cell_text
from efficiency.analysis.trends import frontier_doubling_months, frontier_indices
from efficiency.published.points import Network, PublishedPoint, image_sizes
from efficiency.records import MACS_PER_TFS_DAY

LEVEL = 'imagenet-top5-92.9'
BASELINE = 'hb2020-resnet50-level-resnet50'
# Of ResNet-50, and where the paper evaluates.
OWN_SIZE = 224


@dataclasses.dataclass(frozen=True)
class Assumed:
    """The factor under one set of assumptions.

    Attributes:
        epochs: of the paper's ResNet-50, and `whose` they are.
        evaluations: which points are taken, by the size of the images that they were evaluated on, and how counted.
        points: how many these are.
        last: the system that takes least, and `last_sizes` its epochs at each image size.
        factor: between the baseline's compute and its.
        months: in which efficiency doubles along the frontier, by least squares.
    """

    epochs: float
    whose: str
    evaluations: str
    points: int
    last: str
    last_sizes: str
    factor: float
    months: float


def assumptions(points: Sequence[PublishedPoint], networks: Mapping[tuple[str, int], Network]) -> list[Assumed]:
    """The factor by each number of epochs, with and without what was evaluated on larger or smaller images.

    Args:
        points: of the ledger; those of `LEVEL` that can be on its frontier and are operation counts are taken.
        networks: our counts.
    """
    level = [p for p in points if p.target == LEVEL and not p.off_frontier and p.basis != 'time_x_rate']
    (baseline,) = (point for point in level if point.id == BASELINE)
    others = [point for point in level if point is not baseline]
    choices = {
        'at any size': others,
        f'at any size, epochs at more than {OWN_SIZE} pixels counted at {OWN_SIZE}': [
            _counted_at_most(point, OWN_SIZE, networks) for point in others
        ],
        "at the network's own size alone": [point for point in others if point.evaluated_at is None],
    }
    return [
        _assumed(baseline, epochs, whose, evaluations, chosen)
        for epochs, whose in _epochs(baseline, others)
        for evaluations, chosen in choices.items()
    ]


def _epochs(baseline: PublishedPoint, others: Sequence[PublishedPoint]) -> list[tuple[float, str]]:
    """How many epochs the baseline may have taken, and why so many."""
    logged = min((p for p in others if p.model == baseline.model and p.basis == 'counted'), key=lambda p: p.published)
    an_epoch = baseline.dense_macs / baseline.epochs
    printed = baseline.printed_compute * MACS_PER_TFS_DAY / an_epoch
    return [
        (baseline.epochs, 'assumed'),
        (printed, f'of the printed {baseline.printed_compute:g} {baseline.printed_unit}, by our count'),
        (logged.epochs, f'of the first log of one: {logged.system}, {logged.published}'),
    ]


def _assumed(
    baseline: PublishedPoint, epochs: float, whose: str, evaluations: str, others: Sequence[PublishedPoint]
) -> Assumed:
    first = dataclasses.replace(baseline, dense_macs=baseline.dense_macs * epochs / baseline.epochs)
    group = [first, *others]
    dates, macs = [point.published for point in group], [point.dense_macs for point in group]
    last = group[frontier_indices(dates, macs)[-1]]
    return Assumed(
        epochs=epochs,
        whose=whose,
        evaluations=evaluations,
        points=len(group),
        last=last.system,
        last_sizes=last.image_size,
        factor=first.dense_macs / last.dense_macs,
        months=frontier_doubling_months(dates, macs),
    )


def _counted_at_most(point: PublishedPoint, size: int, networks: Mapping[tuple[str, int], Network]) -> PublishedPoint:
    """A point with its epochs on larger images counted as if these were of a size."""
    parts = image_sizes(point.image_size) if point.image_size else []
    if not any(epochs for epochs, _ in parts):
        return point
    macs = sum(epochs * networks[point.model, min(pixels, size)].forward_dense_macs for epochs, pixels in parts)
    return dataclasses.replace(point, dense_macs=3 * point.examples * macs)


def level_table(points: Sequence[PublishedPoint], networks: Mapping[tuple[str, int], Network]) -> Table:
    """The assumptions as a table of the report."""
    rows = assumptions(points, networks)
    columns = (
        Column('epochs', 'epochs of ResNet-50'), Column('whose', 'which are'),
        Column('evaluations', 'with what was evaluated'), Column('points', 'points'),
        Column('last', 'least compute'), Column('last_sizes', 'its epochs at pixels'), Column('factor', 'factor'),
        Column('months', 'doubling, months: least squares'),
    )  # fmt: skip
    factors = [row.factor for row in rows]
    text = (
        f"The paper evaluates at the network's own size, {OWN_SIZE} pixels in the middle of an image, and does not "
        f'state the epochs of its ResNet-50. The factor is {cell_text(rows[0].factor)} as the trends have it, and from '
        f'{cell_text(min(factors))} to {cell_text(max(factors))} over these assumptions.'
    )
    cells = [dataclasses.asdict(row) for row in rows]
    return Table('resnet50-level', 'The ResNet-50 level: what its assumptions change', columns, cells, text)
