"""Compute to a target over publication date (the paper's figure 3): frontier, regression and Moore's line."""

import dataclasses
import datetime
import math
from collections.abc import Sequence

from efficiency.analysis.cells import amount_text
from efficiency.analysis.charts import BLACK, COLOURS, GRAY, TO_THE_LEFT, Chart, Series, listed, with_undrawn
from efficiency.analysis.trend_tests import line_at
from efficiency.analysis.trends import DAYS_PER_MONTH, frontier_indices

MOORE_MONTHS = 24  # Hernandez & Brown (2020), footnote to Moore's law: dollars per flop halve in two years
_MANY = 24
# Of the time since the baseline: how much earlier a point is drawn where it is, and where those before it are.
_EARLIER, _EDGE = 0.25, 0.1
_LINE_POINTS = 25
# How many times more, and less, than any point takes the band of a regression is drawn to.
_BEYOND_POINTS = 10


@dataclasses.dataclass(frozen=True)
class DatedPoint:
    """A point of a figure over date.

    Attributes:
        macs: compute to the target.
        low, high: of its seeds, or None; infinite where it never gets there, or is this much or more.
        of_seeds: the same in words, '' for none.
        is_bound: whether it takes this much or more, as seeds were stopped before they got there.
        measured: by a run of ours; otherwise published.
        source: where it is from.
        spent: the most that was spent on it, for a point that never got there; None where that is not known.
    """

    system: str
    date: datetime.date
    macs: float
    source: str
    measured: bool = False
    low: float | None = None
    high: float | None = None
    of_seeds: str = ''
    is_bound: bool = False
    spent: float | None = None

    @property
    def hover(self) -> str:
        kind = 'measured' if self.measured else 'published'
        macs = ' '.join(filter(None, [amount_text(self.macs, self.is_bound), 'macs', self.of_seeds]))
        if math.isinf(self.macs):
            macs = f'never in the median, with {amount_text(self.spent, False)} macs spent'
        return f'{self.system}\n{self.date}, {kind}\n{macs}\n{self.source}'


def compute_over_date(name: str, title: str, points: Sequence[DatedPoint], baseline: str, text: str) -> Chart:
    """Compute to a target against publication date.

    Args:
        baseline: the system that all lines begin at. Earlier points, bounds and points that never got there are shown
            and on no line; much earlier ones at the edge, so that they do not take the room of the rest.
    """
    undrawn = [point.system for point in points if math.isinf(point.macs) and point.spent is None]
    never = [point for point in points if math.isinf(point.macs) and point.spent is not None]
    known = sorted((point for point in points if math.isfinite(point.macs)), key=lambda point: point.date)
    bounds, known = [p for p in known if p.is_bound], [p for p in known if not p.is_bound]
    start = next((point for point in known if point.system == baseline), None)
    later = [point for point in known if start and point.date >= start.date]
    frontier = [later[i] for i in frontier_indices([p.date for p in later], [p.macs for p in later])] if later else []
    # By what they are and not by what they say, of which a look at thousands would take long.
    on_line = {id(point) for point in frontier}
    series, early = [], []
    if start and later[-1].date > start.date:
        series = _lines(start, later, frontier)
        span = later[-1].date - start.date
        early = [p for p in known if p.date < start.date - _EARLIER * span]
        if early:
            at_edge = [dataclasses.replace(p, date=start.date - _EDGE * span) for p in early]
            # What they say is of their own date, not of where they are drawn.
            series.append(
                dataclasses.replace(
                    _dated(at_edge, 'earlier than the axis', GRAY, False),
                    marker=TO_THE_LEFT,
                    labels=[f'{p.system} ({p.date.year})' for p in early],
                    hover=[p.hover for p in early],
                )
            )
    at_the_edge = {id(point) for point in early}
    for measured, label, colour in ((False, 'published', COLOURS[0]), (True, 'measured', COLOURS[1])):
        for on_frontier in (True, False):
            some = [
                p
                for p in known
                if p.measured == measured and (id(p) in on_line) == on_frontier and id(p) not in at_the_edge
            ]
            if some:
                series.append(
                    _dated(some, f'{label}, {"on" if on_frontier else "off"} the frontier', colour, on_frontier)
                )
    if bounds:
        series.append(dataclasses.replace(_dated(bounds, 'this much or more', COLOURS[1], True), marker='triangle-up'))
    if never:
        places = _dated(never, 'not there after so much', COLOURS[1], True)
        spent = [p.spent for p in never]
        series.append(dataclasses.replace(places, y=spent, marker='cross', hollow=True, low=None, high=None))
    if early:
        text = (
            f'{text} At the left edge, and earlier than it: {listed([f"{p.system} ({p.date.year})" for p in early])}.'
        )
    text = with_undrawn(text, undrawn, 'as half of their seeds or more never get there')
    return Chart(name, title, 'publication date', 'compute, dense macs', series, text, log_y=True)


def _lines(start: DatedPoint, later: Sequence[DatedPoint], frontier: Sequence[DatedPoint]) -> list[Series]:
    """Moore's line, the regression over all points with its band, and the frontier."""
    last = later[-1].date
    months = (last - start.date).days / DAYS_PER_MONTH
    moore = [start.macs, start.macs * 2 ** (-months / MOORE_MONTHS)]
    lines = [
        Series(
            "Moore's law: half in two years", [start.date, last], moore, colour=GRAY, marker='', dash='dot'
        )
    ]  # fmt: skip
    if len(later) > 2:
        dates = [start.date + (last - start.date) * i / (_LINE_POINTS - 1) for i in range(_LINE_POINTS)]
        macs = [p.macs for p in later]
        middle, low, high = line_at([p.date for p in later], macs, dates)
        # Of three points it may be twenty powers of ten wide, in which no point is told from another.
        least, most = min(macs) / _BEYOND_POINTS, max(macs) * _BEYOND_POINTS
        is_cut = min(low) < least or max(high) > most
        low, high = ([min(max(end, least), most) for end in ends] for ends in (low, high))
        lines.append(
            Series(
                f'regression over all, with its 95 % band{", cut" if is_cut else ""}',
                dates,
                middle,
                colour=COLOURS[2],
                marker='',
                dash='dash',
                low=low,
                high=high,
                band=True,
            )
        )
    if len(frontier) > 1:
        steps = [*frontier, dataclasses.replace(frontier[-1], date=last)]
        at, macs = [p.date for p in steps], [p.macs for p in steps]
        lines.append(Series('frontier', at, macs, BLACK, marker='', dash='solid', step=True))
    return lines


def _dated(points: Sequence[DatedPoint], name: str, colour: str, on_frontier: bool) -> Series:
    many = len(points) > _MANY
    seeds = not many and any(point.low is not None for point in points)
    return Series(
        name,
        [point.date for point in points],
        [point.macs for point in points],
        colour=colour if on_frontier else GRAY,
        marker='circle' if points[0].measured else 'diamond',
        hollow=not points[0].measured or points[0].is_bound,
        labels=['' if many and not on_frontier else point.system for point in points],
        hover=[point.hover for point in points],
        low=[point.macs if point.low is None else point.low for point in points] if seeds else None,
        high=[point.macs if point.high is None else point.high for point in points] if seeds else None,
    )
