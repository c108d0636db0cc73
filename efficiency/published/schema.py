"""What a row of each file of the published ledger holds."""

import dataclasses
import datetime

PRECISIONS = ('day', 'month', 'year')
BASES = ('counted', 'printed', 'time_x_rate', 'estimated', 'read_off_chart', 'none')
MACS_CONVENTIONS = ('counted', 'derived', 'published')
CONFIDENCES = ('confirmed', 'secondary', 'derived', 'memory')
LEVELS = ('published', 'unpublished', 'missed')
DIRECTIONS = ('at_least', 'at_most')


@dataclasses.dataclass(frozen=True)
class PublishedPoint:
    """What it took one system to reach one target.

    Attributes:
        id: unique in the ledger.
        domain: as 'image-classification'.
        target: of `targets`.
        series: the body of measurements it belongs to.
        system: its name, for people.
        model: the network's name in our registry, '' where it is none of ours.
        published: when the system was, to `date_precision`: within a 'month' or 'year' the day is not to be relied on.
            A recipe's date is its own and not its network's; the paper dates its rows by their networks.
        printed_date: as the source has it, where that differs or is worth keeping.
        printed_compute, printed_unit, printed_convention: as the source has them, right or wrong.
        dense_macs: in all, None where it cannot be known.
        tfs_days_macs: the same in teraflop/s-days of multiply-adds, 8.64e16 each.
        basis: how `dense_macs` comes about, one of `BASES`.
        epochs: to the target.
        examples: in an epoch.
        macs_per_example: of the forward pass; averaged over the epochs where the image size changes.
        macs_convention: 'counted' by us at `image_size`, 'derived' from our count by the layers that differ, or as
            'published' by others.
        image_size: pixels a side, as '224', or epochs at each, as '12 at 96 + 5 at 128'.
        evaluated_at: pixels a side of the images that the level was measured on, None where it is the network's own
            size, as in the paper.
        level: 'published' where the source says that the system met the target, 'unpublished' where it does not say,
            and 'missed' where it says that the system did not.
        confidence: 'confirmed' in the source, 'derived' from what it says, read in a 'secondary' source, or from
            'memory'.
        correction: what the source has wrong, and what is right.
        source: where it can be read, see `efficiency.published.sources`.
        note: what else there is to know.
    """

    id: str
    domain: str
    target: str
    series: str
    system: str
    model: str
    published: datetime.date
    date_precision: str
    printed_date: str
    printed_compute: float | None
    printed_unit: str
    printed_convention: str
    dense_macs: float | None
    tfs_days_macs: float | None
    basis: str
    epochs: float | None
    examples: float | None
    macs_per_example: float | None
    macs_convention: str
    image_size: str
    evaluated_at: int | None
    level: str
    confidence: str
    correction: str
    source: str
    note: str

    @property
    def off_frontier(self) -> str:
        """Why the point can be on no frontier and in no trend, '' where it can."""
        if not self.dense_macs:
            return 'its compute is not known'
        return {'published': '', 'unpublished': 'its level is not published'}.get(self.level, 'it missed the level')


@dataclasses.dataclass(frozen=True)
class PublishedTarget:
    """A capability: `metric` on `dataset` `direction` `value`."""

    target: str
    domain: str
    dataset: str
    metric: str
    value: float
    unit: str
    direction: str
    description: str
    source: str


@dataclasses.dataclass(frozen=True)
class Claim:
    """A figure that the paper or one of its posts prints."""

    claim: str
    printed: float
    printed_text: str
    unit: str
    where: str
    source: str
    note: str


@dataclasses.dataclass(frozen=True)
class Finding:
    """What others found of language models: of progress over years, of a part, or of scale; no point to a level.

    Attributes:
        finding: its name.
        says: what the number is of.
        value: as printed, or derived from what is; None where only a bound is printed.
        low, high: of its interval, or a bound.
        interval: the interval's level, as '95 %'; '' where it has none, or it is not known.
        unit: 'times', 'months', or 'power' of compute.
        confidence: as of a point.
        source, note: as of a point.
    """

    finding: str
    says: str
    value: float | None
    low: float | None
    high: float | None
    interval: str
    unit: str
    confidence: str
    source: str
    note: str


@dataclasses.dataclass(frozen=True)
class Network:
    """What one of our networks costs for one image of a size, 1000 classes."""

    model: str
    published: datetime.date
    paper: str
    image_size: int
    params: int
    forward_dense_macs: int
    train_dense_macs: int
    forward_real_macs: int
