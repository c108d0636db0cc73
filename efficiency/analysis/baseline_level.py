"""AlexNet's level, by the rule of the measured tables: what it is of some seeds, and how sure that is.

A level that follows from runs is itself measured. With other seeds it would be another, and on other images of the same
kind too, where the same networks would be right a little more or less often. All factors move with it, so that a report
reads them at both ends of its interval.
"""

import dataclasses
import datetime
import math
from collections.abc import Sequence

import numpy as np

from efficiency.analysis.curves import LevelRow, sensitivity
from efficiency.analysis.runs import System, Target
from efficiency.errors import UserError
from efficiency.metrics import Metric

LEAST_SEEDS = 5
_DRAWS = 2000
_DRAWN_AT_ONCE = 500_000  # seeds, of some 30 bytes each


def level(finals: Sequence[float], metric: Metric) -> float:
    """The best round value that at least four fifths of the final ones reach.

    Round are multiples of 0.001 of a share, and three digits of another metric, as 27.3 BLEU or a return of -154.

    Raises:
        UserError: for fewer than five.
    """
    _check_seeds(finals)
    return _level_below(sorted(map(metric.gain, finals))[-_needed(len(finals))], metric)


def _check_seeds(finals: Sequence[float]) -> None:
    if len(finals) < LEAST_SEEDS:
        raise UserError(f'a level needs {LEAST_SEEDS} seeds trained to the end, and there are {len(finals)}')


def _needed(seeds: int) -> int:
    return math.ceil(seeds * 4 / 5)


def _level_below(reached: float, metric: Metric) -> float:
    """The best round value that a gain reaches."""
    digits = 3 if metric.is_share or not reached else 2 - math.floor(math.log10(abs(reached)))
    # Shares are whole counts over the split's size: the tolerance only undoes a rounding of the last bit.
    steps = math.floor(reached * 10.0**digits + 1e-9)
    return metric.gain(steps / 10**digits if digits > 0 else float(steps * 10**-digits))


def standard_error(value: float, metric: Metric, num_eval: int | None) -> float | None:
    """The binomial standard error of one evaluation of so many examples; None of what is no share, or not known."""
    return math.sqrt(value * (1 - value) / num_eval) if metric.is_share and num_eval else None


def level_interval(
    finals: Sequence[float], metric: Metric, num_eval: int | None, share: float = 0.95
) -> tuple[float, float]:
    """Between which levels the rule's would lie with other seeds, and of a share on as many other examples.

    Seeds are drawn with replacement. What other examples change is common to all seeds, as these are judged by the same
    ones: a draw of the normal distribution whose deviation is the binomial standard error of one evaluation.

    Args:
        finals: of five seeds or more.
        num_eval: examples of an evaluation; None for a metric that is no share, whose examples are not drawn.
        share: of the draws that lie between.

    Raises:
        UserError: for fewer than five seeds.
    """
    _check_seeds(finals)
    random = np.random.default_rng(0)
    values = np.array(finals, float)
    gains, needed, step = metric.gain(values), _needed(len(values)), max(1, _DRAWN_AT_ONCE // len(values))
    drawn = []
    for start in range(0, _DRAWS, step):
        some = gains[random.integers(len(values), size=(min(step, _DRAWS - start), len(values)))]
        drawn += np.partition(some, -needed, axis=1)[:, -needed].tolist()
    # What moves all seeds of a draw leaves them in their order.
    reached = metric.gain(np.array(drawn))
    if error := standard_error(float(values.mean()), metric, num_eval):
        reached = np.clip(reached + random.normal(0, error, _DRAWS), 0.0, 1.0)
    levels = [_level_below(each, metric) for each in metric.gain(reached).tolist()]
    ends = np.quantile(levels, [(1 - share) / 2, (1 + share) / 2], method='nearest')
    return tuple(float(end) for end in sorted(ends))


@dataclasses.dataclass(frozen=True)
class BaselineLevel:
    """A target that is the level of its baseline's own seeds, and the factors over the level's interval.

    Attributes:
        low, high: ends of the interval, in ascending order.
        standard_error: of one evaluation of a share, binomial; None of another metric.
        rows: of `sensitivity` at both ends, the easier level first.
    """

    low: float
    high: float
    standard_error: float | None
    rows: tuple[LevelRow, LevelRow]


def baseline_level(target: Target, baseline: System, dated: dict[System, datetime.date]) -> BaselineLevel | None:
    """How sure the level is that a target is, where it is that of its baseline's seeds; None elsewhere.

    Args:
        dated: systems of which the factors are wanted, and their dates of publication; the baseline among them.
    """
    whole = [run for run in baseline.runs if not run.stopped]
    metric = target.metric
    finals = [float(run.curve[metric.name][-1]) for run in whole]
    if len(finals) < LEAST_SEEDS or level(finals, metric) != target.value:
        return None
    num_eval = whole[0].num_eval
    low, high = level_interval(finals, metric, num_eval)
    error = standard_error(sum(finals) / len(finals), metric, num_eval)
    curves = {system.name: (date, system.curves(metric)) for system, date in dated.items()}
    rows = sensitivity(curves, metric, sorted((low, high), key=metric.gain), baseline.name)
    return BaselineLevel(low, high, error, tuple(rows))
