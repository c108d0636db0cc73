"""Whether a system meets a level on the average: the mean over seeds of what its runs end at, against the level.

A crossing says when a run first meets a level, by luck perhaps. Speed-runs are held to more: the mean of the final
metric over seeds has to be beyond the level, and the seeds have to show that it is.
"""

import dataclasses
import statistics
from collections.abc import Sequence

from scipy import stats

from efficiency.metrics import Metric


@dataclasses.dataclass(frozen=True)
class MeanTest:
    """What final values of seeds say of a level.

    Attributes:
        n: seeds.
        reached: those that end at the level or beyond it.
        mean: of the final values.
        p: how likely a mean this far beyond the level is, or farther, if the true one is the level: Student's t of one
            side, with n - 1 degrees of freedom, which takes final values for normal. None of fewer than two seeds, or
            of seeds that all end alike.
    """

    n: int
    reached: int
    mean: float
    p: float | None


def mean_test(finals: Sequence[float], metric: Metric, level: float) -> MeanTest:
    """The test of the final values of a system's seeds, one or more, that were trained to their end.

    Args:
        finals: of seeds that no target stopped, as what stops at its target ends at it.
        metric: whose values they are, and in which direction it is better.
        level: what the mean has to meet.
    """
    reached = sum(metric.meets(value, level) for value in finals)
    if len(finals) < 2 or max(finals) == min(finals):
        return MeanTest(len(finals), reached, statistics.fmean(finals), None)
    alternative = 'greater' if metric.rises else 'less'
    p = float(stats.ttest_1samp(finals, level, alternative=alternative).pvalue)
    return MeanTest(len(finals), reached, statistics.fmean(finals), p)
