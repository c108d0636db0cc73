"""How often intervals and tests of a trend are right, in simulations whose trend is known: shares in percent.

    python -m benchmarks.trends

Points of 3 seeds each at random dates over 7 years; compute has nothing to do with the date, or halves in 16 months.
Around that, points scatter by 1.5 doublings (a factor of 2.8) or by 0.5, and seeds by 0.3. "excludes 0" is the share of
95 % intervals without a rate of 0, which without a trend should be 5; "holds truth" that of those with the true rate.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np
from tqdm import tqdm

POINTS = 4, 6, 12, 28
MONTHS = 84
SEEDS, SEED_SCATTER = 3, 0.3
DRAWS = 1000
# Of log2 compute: normal, or of heavy tails (Student's t with 2 degrees of freedom).
SCATTERS = {
    'normal': lambda random, n: random.normal(size=n),
    'heavy tails': lambda random, n: random.standard_t(2, size=n),
}
CASES = (
    ('none', 'normal', 1.5), ('none', 'heavy tails', 1.5), ('none', 'normal', 0.0),
    ('16 months', 'normal', 1.5), ('16 months', 'normal', 0.5),
)  # fmt: skip


def simulations(
    n: int, rate: float, scatter: Callable, width: float, trials: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Dates, (n,), and compute, (n, seeds), of simulated points whose efficiency doubles `rate` times a month."""
    for trial in range(trials):
        random = np.random.default_rng(trial)
        days = random.integers(round(MONTHS * 30.4375), size=n)
        log = 60 - rate * days / 30.4375 + width * scatter(random, n)
        seeds = log[:, None] + random.normal(0, SEED_SCATTER, (n, SEEDS))
        yield np.datetime64('2012-06-01') + days, 2**seeds


def resampled(dates: np.ndarray, macs: np.ndarray, random: np.random.Generator) -> tuple[float, float]:
    """What is not used: the slopes' percentiles over points drawn with replacement."""
    from efficiency.analysis.trend_fit import as_points, rates

    days, macs = as_points(dates, macs)
    picks = random.integers(len(days), size=(DRAWS, len(days)))
    found, defined = rates(days[picks], macs[picks], 'least_squares', frontier=False)
    return tuple(np.quantile(found[defined], [0.025, 0.975]))


def shares(n: int, trend: str, scatter: str, width: float, trials: int) -> dict[str, float]:
    """What is right of simulations of one kind, in percent."""
    from efficiency.analysis import trend_tests, trends

    rate = 0 if trend == 'none' else 1 / 16
    right = defaultdict(list)
    for trial, (dates, seeds) in enumerate(simulations(n, rate, SCATTERS[scatter], width, trials)):
        macs = np.median(seeds, axis=1)
        intervals = {
            'regression': trend_tests.regression(dates, macs).interval,
            'joint': trend_tests.bootstrap_joint(dates, seeds, draws=DRAWS, seed=trial),
            'frontier anew': trends.bootstrap_points(dates, macs, of='all', draws=DRAWS, seed=trial),
        }
        ends = {name: (found.slow, found.fast) for name, found in intervals.items()}
        if len(trends.frontier_indices(dates, macs)) > 1:  # else it has no interval
            frontier = trends.bootstrap_points(dates, macs, draws=DRAWS, seed=trial)
            ends['frontier points'] = frontier.slow, frontier.fast
        ends['points resampled'] = resampled(dates, macs, np.random.default_rng(trial))
        for name, (slow, fast) in ends.items():
            right[f'{name}: excludes 0'].append(not slow <= 0 <= fast)
            if rate:
                right[f'{name}: holds truth'].append(slow <= rate <= fast)
        test = trend_tests.shuffled_dates(dates, macs, draws=DRAWS, seed=trial)
        right['shuffled dates: p <= 0.05'].append(test.p <= 0.05)
        right["shuffled dates: frontier's p <= 0.05"].append(test.frontier_p <= 0.05)
    return {name: 100 * float(np.mean(values)) for name, values in right.items()}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--trials', type=int, default=2000, help='simulations of each kind')
    arguments = parser.parse_args()
    if arguments.trials < 1:
        parser.error('--trials must be above 0')
    for trend, scatter, width in CASES:
        columns = [
            shares(n, trend, scatter, width, arguments.trials)
            for n in tqdm(POINTS, desc=f'{trend}, {scatter}, {width}', disable=not sys.stderr.isatty())
        ]
        print(f'\n| trend: {trend}; {scatter}, {width:g} doublings | {" | ".join(map(str, POINTS))} points |')
        print('|---|' + '---:|' * len(POINTS))
        for name in columns[0]:
            print(f'| {name} | {" | ".join(f"{column[name]:.1f}" for column in columns)} |', flush=True)


if __name__ == '__main__':
    main()
