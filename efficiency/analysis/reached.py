"""Shares that are there within so much compute: of a system's seeds, and of all data sets that systems were tried on.

The first are Kaplan & Meier's curves (see `efficiency.analysis.survival`), the second the performance profiles of Dolan
& Moré (2002, Mathematical Programming 91, 201-213), as AlgoPerf (Dahl et al., 2023, arXiv:2306.07179) ranks training
methods by them.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from efficiency.analysis.charts import Chart, Series, listed, style, with_undrawn
from efficiency.analysis.document import Column, Section, Table
from efficiency.analysis.runs import MeasuredRun, Target, seeds_of, systems
from efficiency.analysis.survival import Seeds, as_seeds, summary_over_seeds

_LINES = 12
_LEAST_SEEDS = 3
_PROFILE = (
    'A performance profile: for each system the share of the data sets on which it takes no more than so many times '
    'the compute of the best there. At 1 it is the share on which it is the best, and where a line ends the share on '
    'which it gets there at all. Of each data set the target that most runs share; a median that is only known to be '
    'so much or more counts as not there. Only systems that were tried on all of them are in it, since the best of '
    'other systems is another.'
)


def reached_shares(seeds: Seeds | Sequence[float]) -> tuple[list[float], list[float]]:
    """The estimated share of seeds that are there, as it rises with compute, by Kaplan & Meier.

    Args:
        seeds: of one system; plain numbers are seeds of which none was stopped.

    Returns:
        What seeds that got there took, ascending, each once, and the share from there on. The largest amount of all
        follows, if it is of a seed that was stopped: the share is not known beyond it.

    Raises:
        UserError: as `as_seeds`.
    """
    seeds = as_seeds(seeds)
    values, censored = np.array(seeds.values), np.array(seeds.censored)
    places, shares, left = [], [], 1.0
    for value in np.unique(values[np.isfinite(values) & ~censored]):
        there = ((values == value) & ~censored).sum()
        left *= 1 - there / (values >= value).sum()
        places.append(float(value))
        shares.append(1 - left)
    if censored.any() and values[censored].max() > max(places, default=0.0):
        places.append(float(values[censored].max()))
        shares.append(1 - left)
    return places, shares


def reached_over_compute(name: str, title: str, seeds: Mapping[str, Seeds], text: str) -> Chart | None:
    """The share of seeds that are there over training compute; None where no system has enough seeds to tell.

    Args:
        seeds: of each system, in the order in which they are drawn, at most twelve.
    """
    told = {system: each for system, each in seeds.items() if len(each.values) >= _LEAST_SEEDS}
    curves = {system: reached_shares(each) for system, each in told.items()}
    drawn = {system: curve for system, curve in curves.items() if curve[0]}
    if not drawn:
        return None
    end = 1.5 * max(places[-1] for places, _ in drawn.values())
    series = []
    for i, (system, (places, shares)) in enumerate(list(drawn.items())[:_LINES]):
        # A seed that was stopped leaves unknown what follows; otherwise the share stays.
        tail = [] if told[system].n_censored else [(end, shares[-1])]
        points = [(places[0], 0.0), *zip(places, shares, strict=True), *tail]
        of = f'of {len(told[system].values)} seeds'
        x, y = (list(each) for each in zip(*points, strict=True))
        hover = [f'{system}\n{share:.0%} {of} within {place:.3g} macs' for place, share in points]
        look = style(i)
        series.append(Series(system, x, y, look['colour'], '', look['dash'], step=True, hover=hover))
    text = with_undrawn(text, [s for s in told if s not in drawn], 'as no seed is known to get there')
    if few := [system for system in seeds if system not in told]:
        text = f'{text} With fewer than {_LEAST_SEEDS} seeds, and so without a line: {listed(few)}.'
    return Chart(
        name, title, 'training compute, dense macs', 'share of seeds at the target', series, text, log_x=True,
        percent_y=True,
    )  # fmt: skip


def performance_profile(medians: Mapping[str, Mapping[str, float]]) -> dict[str, tuple[list[float], list[float]]]:
    """Dolan & Moré's profile of each system: over the ratio to the best, the share of problems solved within it.

    Args:
        medians: by problem and system, compute, infinite where the system never gets there. All have the same systems.

    Returns:
        By system, ratios to the best, ascending, and the share of problems at which its ratio is no greater (their
        equation 2.1 and that before it). On a problem that no system solves, none does.
    """
    ratios: dict[str, list[float]] = {}
    for macs in medians.values():
        best = min(macs.values())
        for system, each in macs.items():
            ratios.setdefault(system, []).append(each / best if math.isfinite(each) else math.inf)
    profile = {}
    for system, each in ratios.items():
        places = sorted({ratio for ratio in each if math.isfinite(ratio)})
        profile[system] = places, [sum(ratio <= place for ratio in each) / len(each) for place in places]
    return profile


def profile_section(targets: Sequence[Target], runs: Sequence[MeasuredRun]) -> Section | None:
    """The performance profile over the first target of each data set; None where there are not two to compare over."""
    problems: dict[tuple, Target] = {}
    for target in targets:
        problems.setdefault(target.data, target)
    if len(problems) < 2:
        return None
    medians: dict[str, dict[str, float]] = {}
    told = Counter(map(str, problems.values()))
    for target in problems.values():
        # Data of one name may be several.
        label = str(target) if told[str(target)] == 1 else f'{target}, data {target.fingerprint[:6]}'
        found = systems([run for run in runs if run.can_be_asked(target)])
        summaries = {system.name: summary_over_seeds(seeds_of(system.crossings(target))) for system in found}
        medians[label] = {name: math.inf if s.is_bound else s.median for name, s in summaries.items()}
    everywhere = set.intersection(*map(set, medians.values()))
    if len(everywhere) < 2:
        return None
    shared = {problem: {s: macs[s] for s in sorted(everywhere)} for problem, macs in medians.items()}
    profile = performance_profile(shared)
    order = sorted(profile, key=lambda system: (-_area(*profile[system]), system))
    end = 1.5 * max((places[-1] for places, _ in profile.values() if places), default=1.0)
    series = []
    for i, system in enumerate(order[:_LINES]):
        places, shares = profile[system]
        if places:
            # From the left edge, where a system that is the best nowhere has nothing.
            start = [] if places[0] == 1 else [(1.0, 0.0), (places[0], 0.0)]
            x, y = zip(*start, *zip(places, shares, strict=True), (end, shares[-1]), strict=True)
            look = style(i)
            hover = [f'{system}\n{share:.0%} within {place:.3g} x the best' for place, share in zip(x, y, strict=True)]
            series.append(Series(system, list(x), list(y), look['colour'], '', look['dash'], step=True, hover=hover))
    chart = Chart(
        'profile', 'Performance profiles', 'compute over that of the best on a data set', 'share of data sets', series,
        f'Over {", ".join(shared)}.', log_x=True, percent_y=True,
    )  # fmt: skip
    columns = [Column('system', 'system'), Column('best_on', 'best on'), Column('reached_on', 'there on')]
    columns += [Column(problem, f'over the best, {problem}') for problem in shared]
    rows = [
        {
            'system': system,
            'best_on': sum(macs[system] == min(macs.values()) < math.inf for macs in shared.values()),
            'reached_on': sum(math.isfinite(macs[system]) for macs in shared.values()),
            **{problem: _ratio(macs[system], min(macs.values())) for problem, macs in shared.items()},
        }
        for system in order
    ]
    table = Table('profile', 'Over the best on each data set', columns, rows)
    text = f'{len(shared)} data sets, {len(everywhere)} systems on all of them.'
    return Section('profile', 'Over all data sets', [text], [chart], [table], methods=[_PROFILE])


def _ratio(macs: float, best: float) -> float:
    return macs / best if math.isfinite(macs) else math.inf


def _area(places: Sequence[float], shares: Sequence[float]) -> float:
    """How high and how far to the left a profile lies: the mean share over the logarithm of the ratio up to 1,000."""
    ends = [*places[1:], 1e3]
    widths = (share * math.log(max(end / place, 1.0)) for place, end, share in zip(places, ends, shares, strict=True))
    return sum(widths)
