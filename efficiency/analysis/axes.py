"""Where a figure has the values of a metric: as they are, or as how far they are from what cannot be bettered.

Accuracies are squeezed against 1, where 0.98 and 0.99 look alike though the one makes twice the errors. So a share that
rises is drawn as its error, 1 less the share, on a logarithmic axis, and what falls to 0 as it is on such an axis.
Everything else, as a return, which may be negative, is drawn evenly.
"""

import dataclasses
from collections.abc import Iterable

from efficiency.metrics import Metric


@dataclasses.dataclass(frozen=True)
class Axis:
    """An axis for values of a metric.

    Attributes:
        metric: whose values.
        is_log: whether it is logarithmic, and so has no place for the best possible value.
    """

    metric: Metric
    is_log: bool

    @property
    def is_error(self) -> bool:
        """Whether it has errors of shares, told in percent."""
        return self.is_log and self.metric.rises

    @property
    def label(self) -> str:
        """What is on the axis, with its unit."""
        metric = self.metric
        if self.is_error:
            return f'{metric.name} error, 1 - {metric.name}'
        if metric.is_share:
            return f'{metric.name} accuracy' if metric.noun == 'accuracy' else metric.name
        if metric.unit and metric.unit.lower() != metric.name:
            return f'{metric.name}, {metric.unit}'
        return metric.unit or metric.name

    @property
    def best(self) -> float:
        """The value that a logarithmic axis has no place for."""
        return 1.0 if self.is_error else 0.0

    def place(self, value: float) -> float | None:
        """Where a value is on the axis; None where it has no place."""
        at = 1 - value if self.is_error else value
        return None if self.is_log and at <= 0 else float(at)


def axis_of(metric: Metric, values: Iterable[float]) -> Axis:
    """The axis for some values of a metric: logarithmic where that shows more and half of them have a place there."""
    is_log = metric.is_share if metric.rises else metric.low == 0
    log = Axis(metric, is_log)
    places = [log.place(value) for value in values]
    return log if 2 * sum(place is not None for place in places) >= len(places) else Axis(metric, False)
