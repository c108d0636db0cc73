"""Rules by which a study chooses a setting from the runs that were made for that."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence

from efficiency.analysis.survival import summary_over_seeds
from efficiency.metrics import of_record
from efficiency.records import Record, first_crossing


def lowest_median_compute(candidates: Mapping[str, Sequence[Record]]) -> str:
    """The setting that takes the fewest train macs to the target, the median over seeds.

    A run that never reaches it, or whose loss was not finite, counts as infinite. Among settings that are infinite,
    or equal, the one of the best final metric, again the median, a run that failed being worse than any; then the
    first.

    Args:
        candidates: the records of each setting, one or more.

    Returns:
        The name of one of them.
    """

    def rank(name: str) -> tuple[float, float]:
        runs = candidates[name]
        compute = summary_over_seeds([_compute(record) for record in runs]).median
        return compute, -statistics.median(_final_gain(record) for record in runs)

    return min(candidates, key=rank)


def best_median_final(candidates: Mapping[str, Sequence[Record]]) -> str:
    """The setting of the best final metric of the target, the median over seeds; of equal ones the first.

    A run that failed is worse than any. For systems whose level follows from what they end at.

    Args:
        candidates: the records of each setting, one or more.

    Returns:
        The name of one of them.
    """
    return max(candidates, key=lambda name: statistics.median(map(_final_gain, candidates[name])))


def _compute(record: Record) -> float:
    crossing = first_crossing(record['curve'], record['target'], of_record(record))
    return crossing['train_macs'] if crossing else math.inf


def _final_gain(record: Record) -> float:
    if record['status'] == 'failed' or not record['final']:
        return -math.inf
    metric = of_record(record)[record['target']['metric']]
    return metric.gain(record['final'][metric.name])


RULES: dict[str, Callable[[Mapping[str, Sequence[Record]]], str]] = {
    'lowest median compute to target': lowest_median_compute,
    'best median final metric': best_median_final,
}
