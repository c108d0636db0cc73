"""What each part of a system is worth: compute to one level without it over compute with it, alone and beside others.

Parts interact: what one gains alone, beside all others, and on the average over every order in which they could have
come are three numbers. The last is Shapley's value (Shapley, 1953, "A Value for n-Person Games"), of the logarithm of
compute, so that the values of all parts multiply to the gain of the whole.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from efficiency.analysis.factors import Factor, factor_with_interval
from efficiency.analysis.survival import Seeds, resampled_medians, summary_over_seeds
from efficiency.errors import UserError, shown

# What joins the parts of a system's name: plain, plain+rope, plain+rope+muon.
JOINED = '+'
_DRAWS, _TAIL = 1000, 0.025
# With more parts than these a Shapley value has more systems than any study.
_MOST_PARTS = 10
Parts = frozenset[str]


@dataclasses.dataclass(frozen=True)
class PartGain:
    """What one part is worth, each as a factor of compute; None where the study has no such runs.

    Attributes:
        name: of the part.
        alone: the system with it alone, over that with none.
        beside: the system with all, over that with all but it.
        shapley: on the average over all orders.
    """

    name: str
    alone: Factor | None
    beside: Factor | None
    shapley: Factor | None


@dataclasses.dataclass(frozen=True)
class Gains:
    """What the parts of one system are worth.

    Attributes:
        base: the name of the system without parts.
        parts: of each part, in the order of their names.
        whole: the system with all parts over that with none; None where one of them was not run.
    """

    base: str
    parts: Sequence[PartGain]
    whole: Factor | None

    def product(self, of: str) -> float | None:
        """Of the parts' gains of a kind, 'alone', 'beside' or 'shapley', the product; None where one is not known."""
        gains = self._values(of)
        return None if gains is None else math.prod(gains)

    def sum(self, of: str) -> float | None:
        """One, and what each gain is beyond one: what they would be together if compute added up, not factors.

        None where one is not known, or losses would be of all compute and more.
        """
        gains = self._values(of)
        total = None if gains is None else 1 + sum(gain - 1 for gain in gains)
        return total if total is not None and total > 0 else None

    def _values(self, of: str) -> list[float] | None:
        gains = [getattr(part, of) for part in self.parts]
        if any(gain is None or gain.value is None or gain.bound or math.isinf(gain.value) for gain in gains):
            return None
        return [gain.value for gain in gains]


def by_parts(names: Iterable[str]) -> dict[str, dict[Parts, str]]:
    """Of each base that has systems with parts, the systems' names by their parts.

    A name is a base and its parts, joined by `JOINED`: 'plain+rope+muon' is plain with two, in whatever order.

    Raises:
        UserError: if a name has a part twice, or two names have the same parts.
    """
    found: dict[str, dict[Parts, str]] = {}
    for name in names:
        base, *parts = name.split(JOINED)
        if len(set(parts)) < len(parts):
            raise UserError(f'the system {name} has a part twice')
        systems = found.setdefault(base, {})
        if frozenset(parts) in systems:
            raise UserError(f'the systems {systems[frozenset(parts)]} and {name} have the same parts')
        systems[frozenset(parts)] = name
    return {base: systems for base, systems in found.items() if len(systems) > 1}


def gains(base: str, seeds: Mapping[Parts, Seeds], draws: int = _DRAWS) -> Gains:
    """What the parts are worth, by what systems with some of them took to one level.

    Args:
        base: the name of the system without parts.
        seeds: of each system, by its parts, what its seeds took.
        draws: resamples of the seeds, of a Shapley value's interval.

    Raises:
        UserError: if no system has a part, or `draws` are none.
    """
    names = sorted(frozenset().union(*seeds))
    if not names:
        raise UserError(f'no system of {base} has parts: {shown([sorted(each) for each in seeds])}')
    everything = frozenset(names)

    def over(without: Parts, having: Parts) -> Factor | None:
        if not {without, having} <= seeds.keys():
            return None
        return factor_with_interval(seeds[without], seeds[having])

    values = shapley(names, seeds, draws) if _has_all(names, seeds) else dict.fromkeys(names)
    parts = [
        PartGain(name, over(frozenset(), frozenset([name])), over(everything - {name}, everything), values[name])
        for name in names
    ]
    return Gains(base, parts, over(frozenset(), everything))


def shapley(names: Sequence[str], seeds: Mapping[Parts, Seeds], draws: int = _DRAWS) -> dict[str, Factor]:
    """Shapley's value of each part as a factor, with a 95 % interval where every system has two seeds.

    The mean over all orders in which the parts could come of the logarithm of what each saves when it comes: of the
    systems without a part that have k of the other n - 1, each counts k! (n - 1 - k)! / n!. The seeds of every system
    are resampled, all at once.

    Args:
        names: the parts.
        seeds: of every combination of them.
        draws: resamples.

    Raises:
        UserError: if `draws` are none.
    """
    if draws < 1:
        raise UserError(f'an interval needs 1 draw or more, not {shown(draws)}')
    combinations = [frozenset(some) for n in range(len(names) + 1) for some in itertools.combinations(names, n)]
    summaries = {some: summary_over_seeds(seeds[some]) for some in combinations}
    if any(summary.is_bound or math.isinf(summary.median) for summary in summaries.values()):
        return dict.fromkeys(names, Factor(None, 'not known'))
    point = {some: np.log([summary.median]) for some, summary in summaries.items()}
    sampled = None
    if all(summary.n > 1 for summary in summaries.values()):
        generator = np.random.default_rng(0)
        sampled = {}
        for some in combinations:
            medians, bounds = resampled_medians(seeds[some], draws, generator)
            sampled[some] = np.log(np.where(bounds, math.inf, medians))
    return {name: _factor(name, names, point, sampled) for name in names}


def _factor(name: str, names: Sequence[str], point: Mapping, sampled: Mapping | None) -> Factor:
    value = float(np.exp(_value(name, names, point))[0])
    if sampled is None:
        return Factor(value)
    with np.errstate(invalid='ignore'):
        drawn = np.exp(_value(name, names, sampled))
    # A resample in which a system never gets there may be anything.
    low = float(np.quantile(np.where(np.isnan(drawn), 0.0, drawn), _TAIL, method='lower'))
    high = float(np.quantile(np.where(np.isnan(drawn), math.inf, drawn), 1 - _TAIL, method='higher'))
    return Factor(value, '', low, high)


def _value(name: str, names: Sequence[str], logs: Mapping[Parts, np.ndarray]) -> np.ndarray:
    others, n = [each for each in names if each != name], len(names)
    total = np.zeros_like(logs[frozenset()])
    for count in range(n):
        weight = math.factorial(count) * math.factorial(n - 1 - count) / math.factorial(n)
        for some in itertools.combinations(others, count):
            total = total + weight * (logs[frozenset(some)] - logs[frozenset([*some, name])])
    return total


def _has_all(names: Sequence[str], seeds: Mapping[Parts, Seeds]) -> bool:
    return len(names) <= _MOST_PARTS and len(seeds) == 2 ** len(names)
