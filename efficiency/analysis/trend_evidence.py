"""What is said of a trend beside its frontier's line, the same of runs and of the published ledger."""

import dataclasses
from collections.abc import Sequence

from efficiency.analysis.compare import holm
from efficiency.analysis.survival import Seeds
from efficiency.analysis.trend_intervals import Interval, known_medians
from efficiency.analysis.trend_tests import Regression, ShuffledDates, bootstrap_joint, regression, shuffled_dates
from efficiency.analysis.trends import months_text, speed_text

POINTS_NEEDED = 3
_ALPHA = 0.05
FRONTIERS = (
    'A frontier falls by construction, as it keeps what is cheaper than everything before it and leaves out the rest. '
    'Its intervals leave out no progress even where compute has nothing to do with the date: they say how far its '
    'speed depends on which points, seeds or dates there are, not whether there is progress. That is asked of all '
    'points that reach the level, on the frontier or not: by the regression of log2 compute on date, with intervals by '
    "Student's t and over points, seeds and dates together, and by shuffling the dates. What they ask is whether "
    'networks take less as a rule; where later ones were made to reach more than this level, the best may take ever '
    'less and the rest not.'
)
INDEPENDENCE = (
    'All of this takes points for independent, and what one publication brought, or one network measured twice, is '
    'less than that: the more of it there is, the more are intervals too narrow and p-values too small.'
)


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What all points say of a trend.

    Attributes:
        regression: the line through them.
        joint: its interval over points, seeds and dates together.
        shuffled: the permutation tests of the dates.
        p, frontier_p: of these, corrected by Holm for all tests that were made together.
        tests: how many those were.
    """

    regression: Regression
    joint: Interval
    shuffled: ShuffledDates
    p: float
    frontier_p: float
    tests: int = 2

    @property
    def verdict(self) -> str:
        """Whether there is progress, in a clause."""
        if self.p <= _ALPHA:
            return 'the points show progress' if self.regression.rate > 0 else 'the points show that compute rises'
        if self.shuffled.least_p > _ALPHA:
            return f'no progress is not excluded, and no {self.shuffled.points} points of such dates could exclude it'
        return 'no progress is not excluded'

    @property
    def short(self) -> str:
        """The line through all points and what it is worth, in a clause."""
        line = self.regression
        return (
            f'{speed_text(line.months)} [{line.interval}] by regression over all {line.points} '
            f'(p = {self.p:.2g} after correction: {self.verdict})'
        )

    @property
    def frontier_text(self) -> str:
        """What the frontier's speed is worth as evidence, in a sentence."""
        worth = (
            f'p = {self.frontier_p:.2g} after correction'
            if self.frontier_p <= _ALPHA
            else 'so that its speed alone is no evidence of progress'
        )
        return (
            f'With the dates shuffled over the {self.shuffled.points} points, a frontier as fast comes in '
            f'{_percent(self.shuffled.frontier_p)} of cases, {worth}.'
        )

    @property
    def text(self) -> str:
        """What all points say, in sentences."""
        line, shuffled, left_out, least = self.regression, self.shuffled, '', ''
        if line.left_out:
            left_out = f' (left out, as they never reach the level or are not known to: {line.left_out})'
        if shuffled.least_p > _ALPHA:
            least = f', and so many points cannot give less than {shuffled.least_p:.2g}'
        return (
            f'By regression over all {line.points} points{left_out}: {months_text(line.months)}, 95 % interval '
            f'{line.interval}; over points, seeds and dates together {self.joint}. With the dates shuffled a line as '
            f'steep, up or down, comes in {_percent(shuffled.p)} of cases (two-sided p = {shuffled.p:.2g}{least}; '
            f"after Holm's correction for {self.tests} tests together {self.p:.2g}): {self.verdict}."
        )


def evidence(
    dates: Sequence, seeds: Sequence[Seeds | Sequence[float]], precisions: Sequence[str] | None, draws: int
) -> Evidence | None:
    """What all points say of a trend, corrected for its own two tests; None of fewer than 3 points.

    Args:
        dates: of the points, at two dates or more.
        seeds: of each point, the compute of its seeds.
        precisions: of the dates, None where all are known to the day.
        draws: of the intervals and the tests.

    Raises:
        UserError: as `trend_tests.bootstrap_joint`.
    """
    macs = known_medians(seeds)
    line = regression(dates, macs)
    if line.points < POINTS_NEEDED:
        return None
    shuffled = shuffled_dates(dates, macs, draws)
    joint = bootstrap_joint(dates, seeds, precisions, draws=draws)
    return corrected([Evidence(line, joint, shuffled, shuffled.p, shuffled.frontier_p)])[0]


def corrected(found: Sequence[Evidence]) -> list[Evidence]:
    """The same with all their tests taken for one family."""
    p_values = holm([p for one in found for p in (one.shuffled.p, one.shuffled.frontier_p)])
    pairs = zip(p_values[::2], p_values[1::2], strict=True)
    return [
        dataclasses.replace(one, p=p, frontier_p=frontier_p, tests=len(p_values))
        for one, (p, frontier_p) in zip(found, pairs, strict=True)
    ]


def _percent(share: float) -> str:
    percent = 100 * share
    return f'{percent:.0f} %' if percent >= 10 else f'{percent:.2g} %'
