"""Where a curve reaches a level, by three rules of what counts as reaching it, and what is known where it does not."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from efficiency.errors import named
from efficiency.metrics import Metric

# What counts as reaching a level, in the order in which the tables have them; {side} is the metric's.
RULES = {
    'first': 'the first evaluation at or {side} the level',
    'interpolated': 'where the straight line from the evaluation before that one meets the level',
    'two in a row': 'the first of the first two evaluations in a row that are both at or {side} the level',
}


@dataclasses.dataclass(frozen=True)
class Crossing:
    """What one run took to reach a level; infinite where it was trained to its end without reaching it.

    Attributes:
        examples, epochs: seen in training.
        paper_macs: 3 x forward dense macs x examples.
        train_macs: dense macs of the train step x steps.
        train_seconds: spent in training steps.
        censored: the run was stopped before it reached the level, so that it takes this much or more.
    """

    examples: float
    epochs: float
    paper_macs: float
    train_macs: float
    train_seconds: float
    censored: bool = False

    @property
    def reached(self) -> bool:
        return math.isfinite(self.train_macs) and not self.censored


AMOUNTS = ('examples', 'epochs', 'paper_macs', 'train_macs', 'train_seconds')
NEVER = Crossing(*[math.inf] * len(AMOUNTS))


def met_at(values: Sequence[float], metric: Metric, level: float, rule: str = 'first') -> tuple[int, float] | None:
    """Where a curve reaches a level: an evaluation, and how far it is on the way there from the one before.

    Args:
        values: of the evaluations, in their order.
        metric, level: what to reach.
        rule: one of `RULES`. A curve whose first evaluation is at the level has nothing before it to draw a line from,
            and reaches it there.

    Returns:
        The evaluation's index and a share of the way, 1.0 unless interpolated; None where the level is not reached.

    Raises:
        UserError: for an unknown rule.
    """
    named(RULES, 'rule', rule)
    values = np.asarray(values, float)
    met = metric.meets(values, level)
    if rule == 'two in a row':
        met = met[:-1] & met[1:]
    at = int(met.argmax()) if len(met) else 0
    if not len(met) or not met[at]:
        return None
    if rule != 'interpolated' or at == 0:
        return at, 1.0
    before, after = values[at - 1], values[at]
    return at, float((level - before) / (after - before))


def find_crossing(
    curve: Mapping[str, np.ndarray], metric: Metric, level: float, rule: str = 'first', stopped: bool = False
) -> Crossing:
    """What a run took to reach a level by its curve.

    Args:
        curve: `AMOUNTS` and the metric, one array each over the evaluations.
        metric, level: what to reach.
        rule: see `met_at`.
        stopped: whether the run ended because it had met a target of its own, so that a level which it has not reached
            by its last evaluation takes that much or more; else such a level is never reached, but for one that takes
            two evaluations of which the last was the first.
    """
    values = curve[metric.name]
    found = met_at(values, metric, level, rule)
    if found is None:
        # A run whose last evaluation alone is at the level would have had to be looked at once more.
        waits = rule == 'two in a row' and len(values) and metric.meets(values[-1], level)
        if not (stopped or waits) or not len(values):
            return NEVER
        return Crossing(*(curve[name].item(-1) for name in AMOUNTS), censored=True)
    at, share = found
    there = [curve[name].item(at) for name in AMOUNTS]
    if share == 1:
        return Crossing(*there)
    before = [curve[name].item(at - 1) for name in AMOUNTS]
    return Crossing(*(a + share * (b - a) for a, b in zip(before, there, strict=True)))
