"""What runs say of how fast the compute to one target falls: the trend since the baseline, and how sure that is."""

import datetime
from collections.abc import Mapping, Sequence

from efficiency.analysis import trends
from efficiency.analysis.document import Column, Table
from efficiency.analysis.runs import System
from efficiency.analysis.survival import summary_over_seeds
from efficiency.errors import UserError

# Points drawn in all the resamples of a bootstrap: what that takes of memory, and how far it can be trusted.
_DRAWN, _LEAST_DRAWS, _MOST_DRAWS = 2_000_000, 200, 5000
# With more points than these none is left out in its turn.
_LEFT_OUT = 60


def since(order: Sequence[System], baseline: System, dates: Mapping[str, datetime.date]) -> list[System]:
    """The systems that progress since the baseline is made of: it and those published later."""
    start = dates.get(baseline.model)
    return [] if start is None else [s for s in order if s.model in dates and dates[s.model] >= start]


def trend(
    name: str,
    order: Sequence[System],
    seeds: Mapping[System, Sequence[float]],
    baseline: System,
    dates: Mapping[str, datetime.date],
) -> tuple[str, Table | None]:
    """The doubling time of efficiency among these systems, in a sentence and, where there is one, in a table.

    Args:
        name: of the target, for the table's.
        order: the systems, in the order that they are named in.
        seeds: of each, the compute of its seeds, infinite for one that never reached the target.
        dates: of publication, by network; a network without one is in no trend.
    """
    later = since(order, baseline, dates)
    earlier = [s.name for s in order if s.model in dates and s not in later]
    before = (
        f' Published before {baseline.name}, and so not part of the trend: {", ".join(earlier)}.' if earlier else ''
    )
    days, of_points = [dates[s.model] for s in later], [seeds[s] for s in later]
    macs = [summary_over_seeds(values).median for values in of_points]
    if not later or trends.frontier_doubling_months(days, macs) is None:
        return (
            f'No trend can be given: it takes a baseline that reaches the target, and points of two dates.{before}',
            None,
        )
    frontier = [later[i].name for i in trends.frontier_indices(days, macs)]
    rows = [
        {
            'what': f'frontier, {method.replace("_", " ")}',
            'months': trends.frontier_doubling_months(days, macs, method),
            'interval': None,
        }
        for method in trends.METHODS
    ]
    draws = min(_MOST_DRAWS, max(_LEAST_DRAWS, _DRAWN // len(later)))
    for what, interval in (
        ('frontier points', lambda: trends.bootstrap_points(days, macs, draws=draws)),
        ('points', lambda: trends.bootstrap_points(days, macs, of='all', draws=draws)),
        ('seeds', lambda: trends.bootstrap_seeds(days, of_points, draws=draws)),
    ):
        try:
            found = str(interval())
        except UserError as error:  # no resample has a trend: the reason stands in the interval's place
            found = str(error)
        rows.append({'what': f'95 % interval over resampled {what}', 'months': None, 'interval': found})
    if len(later) <= _LEFT_OUT:
        for left_out, months in trends.leave_one_out(days, macs, [s.name for s in later]):
            if left_out in frontier:
                rows.append({'what': f'without {left_out}', 'months': months, 'interval': None})
    months = trends.months_text(rows[0]['months'])
    text = f'Frontier since {baseline.name}: {", ".join(frontier)}. Doubling time, least squares: {months}.{before}'
    columns = (
        Column('what', 'doubling time of efficiency'),
        Column('months', 'months'),
        Column('interval', 'interval'),
    )
    return text, Table(f'trend-{name}', 'Doubling time', columns, rows)
