"""A trend that is not there is said not to be: tests and intervals are wrong as often as they say, and no more."""

import itertools
import math
import time

import numpy as np
import pytest
from scipy import stats

from efficiency.analysis import trends
from efficiency.analysis.survival import Seeds
from efficiency.analysis.trend_evidence import corrected, evidence
from efficiency.analysis.trend_fit import DAYS_PER_MONTH
from efficiency.analysis.trend_tests import bootstrap_joint, regression, shuffled_dates
from efficiency.errors import UserError

START = np.datetime64('2012-06-01')


def simulated(trial, n, months=math.inf, scatter=1.5, seeds=3, seed_scatter=0.3):
    """Dates and the compute of each seed, of log-normal points whose efficiency doubles in so many months."""
    random = np.random.default_rng(trial)
    days = random.integers(2557, size=n)
    log = 50 - days / DAYS_PER_MONTH / months + random.normal(0, scatter, n)
    return START + days, 2 ** (log[:, None] + random.normal(0, seed_scatter, (n, seeds)))


def exponential(n, months=16):
    days = np.arange(n) * 97 + np.arange(n) ** 2
    return START + days, 1e18 * 2 ** (-days / DAYS_PER_MONTH / months)


def test_regression_is_numpys_line_with_students_interval():
    dates, seeds = simulated(1, 9)
    macs = seeds[:, 0]
    x = (dates - START).astype(int) / DAYS_PER_MONTH
    (slope, _), covariance = np.polyfit(x, -np.log2(macs), 1, cov=True)
    error = math.sqrt(covariance[0, 0])
    found = regression([*dates, '2020-01-01'], [*macs, math.inf])
    assert (found.rate, found.error) == (pytest.approx(slope), pytest.approx(error))
    assert (found.points, found.left_out) == (9, 1)
    width = stats.t.ppf(0.975, 7) * error
    assert (found.interval.slow, found.interval.fast) == (pytest.approx(slope - width), pytest.approx(slope + width))
    assert found.months == pytest.approx(trends.doubling_months(dates, macs))


def test_intervals_read_as_what_they_leave_open():
    x = ['2012-01-01', '2013-01-01', '2014-01-01', '2015-01-01']
    flat = regression(x, [8, 6, 7, 7.5]).interval
    assert flat.slow < 0 < flat.fast
    assert str(flat) == f'{flat.low:.1f} months or more, or falling; no progress is not excluded'
    steep = regression(x, [8, 4.1, 2, 0.99]).interval
    assert str(steep) == f'{steep.low:.1f} to {steep.high:.1f} months'
    assert str(regression(x, [1, 2.1, 4, 8]).interval) == 'does not double'
    two = regression(x[:2], [2, 1])
    assert (two.months, math.isnan(two.error)) == (pytest.approx(366 / DAYS_PER_MONTH), True)
    for interval in (two.interval, bootstrap_joint(x[:2], [[2, 2.1], [1, 1.1]], draws=50)):
        assert str(interval) == 'unbounded; no progress is not excluded'


@pytest.mark.parametrize('dates', [['2012', '2014', '2015', '2019', '2020'], ['2012', '2012', '2015', '2019', '2019']])
def test_few_points_are_dealt_dates_in_every_order(dates):
    macs = [9, 5, 6, 2.5, 3]
    found = shuffled_dates(dates, macs)
    assert (found.orders, found.exact, found.points) == (120, True, 5)
    # scipy's own enumeration of the same, whose two-sided p-value is twice the smaller tail's.
    days = np.array(dates, 'datetime64[D]').astype(float)
    theirs = stats.permutation_test(
        (days,), lambda x: stats.linregress(x, np.log2(macs)).slope, permutation_type='pairings', n_resamples=math.inf
    )
    assert found.p == pytest.approx(theirs.pvalue)
    speeds = [trends.frontier_doubling_months(order, macs) for order in itertools.permutations(dates)]
    assert found.frontier_p == pytest.approx(np.mean(np.array(speeds) <= speeds[0] * (1 + 1e-9)))
    assert found.frontier_least_p == pytest.approx(np.mean(np.array(speeds) <= min(speeds) * (1 + 1e-9)))


@pytest.mark.parametrize(('n', 'least'), [(2, 1), (3, 1 / 3), (4, 1 / 12), (5, 1 / 60), (8, 2 / math.factorial(8))])
def test_no_p_value_is_below_what_so_many_points_can_give(n, least):
    found = shuffled_dates(*exponential(n))
    assert (found.p, found.least_p) == (pytest.approx(least), pytest.approx(least))


def test_many_points_are_dealt_drawn_orders_and_no_p_value_is_0():
    found = shuffled_dates(*exponential(20), draws=499)
    assert (found.p, found.least_p, found.orders, found.exact) == (2 / 500, 2 / 500, 499, False)
    rising = shuffled_dates(exponential(20)[0], exponential(20)[1][::-1], draws=499)
    assert (rising.p, rising.frontier_p) == (2 / 500, 1)
    # 20 points of which one is of another date have 20 orders, each as likely.
    dates = ['2012-01-01'] * 19 + ['2015-01-01']
    assert shuffled_dates(dates, np.arange(20, 0, -1), draws=4000).p == pytest.approx(0.1, abs=0.02)


def test_points_that_never_reach_the_level_are_dealt_no_date():
    dates, macs = exponential(5)
    assert shuffled_dates([*dates, '2011-01-01'], [*macs, math.inf]) == shuffled_dates(dates, macs)


def test_without_a_trend_it_is_found_in_one_of_twenty_simulations():
    found = []
    for trial, n in itertools.product(range(150), (6, 12, 28)):
        dates, seeds = simulated(trial, n)
        macs = np.median(seeds, axis=1)
        intervals = regression(dates, macs).interval, bootstrap_joint(dates, seeds, draws=200, seed=trial)
        p = shuffled_dates(dates, macs, draws=199, seed=trial).p
        found.append([p <= 0.05, *(not interval.slow <= 0 <= interval.fast for interval in intervals)])
    # The standard error is 1 %.
    assert np.mean(found, axis=0) == pytest.approx([0.05] * 3, abs=0.03)


def test_a_frontier_falls_without_a_trend():
    excluded = []
    for trial in range(60):
        dates, seeds = simulated(trial, 12, seeds=1)
        if len(trends.frontier_indices(dates, seeds[:, 0])) > 1:
            excluded.append(not trends.bootstrap_points(dates, seeds[:, 0], draws=100).holds_no_progress)
    assert len(excluded) > 50
    assert all(excluded)


@pytest.mark.parametrize(('n', 'power'), [(6, 0.3), (12, 0.7), (28, 0.97)])
def test_a_true_trend_is_held_and_found(n, power):
    held, found = [], []
    for trial in range(100):
        dates, seeds = simulated(trial, n, months=16)
        macs = np.median(seeds, axis=1)
        intervals = regression(dates, macs).interval, bootstrap_joint(dates, seeds, draws=200, seed=trial)
        held.append([interval.slow <= 1 / 16 <= interval.fast for interval in intervals])
        found.append(shuffled_dates(dates, macs, draws=199, seed=trial).p <= 0.05)
    assert np.mean(held, axis=0) == pytest.approx([0.95, 0.95], abs=0.05)
    assert np.mean(found) > power


def test_of_certain_seeds_and_dates_the_joint_interval_is_the_regressions():
    dates, seeds = simulated(3, 12)
    line = regression(dates, seeds[:, 0]).interval
    joint = bootstrap_joint(dates, seeds[:, :1], draws=40_000)
    assert joint.slow == pytest.approx(line.slow, abs=0.03 * (line.fast - line.slow))
    assert joint.fast == pytest.approx(line.fast, abs=0.03 * (line.fast - line.slow))


def test_what_seeds_and_dates_add_widens_the_joint_interval_and_counts_once():
    dates, macs = exponential(12)
    spread = macs[:, None] * 2 ** np.linspace(-1, 1, 9)
    alone = bootstrap_joint(dates, macs[:, None], draws=2000)
    seeds = bootstrap_joint(dates, spread, draws=2000)
    months = bootstrap_joint(dates, macs[:, None], ['month'] * 12, draws=2000)
    assert alone.low == alone.high == pytest.approx(16)
    assert (seeds.low, seeds.high) == (pytest.approx(13, abs=1.5), pytest.approx(20, abs=2.5))
    assert (months.low, months.high) == (pytest.approx(15.85, abs=0.1), pytest.approx(16.25, abs=0.1))
    # Points that are off the line by nothing but their seeds are so once: not by both, which would be sqrt(2) as wide.
    dates, noisy = simulated(4, 28, months=16, scatter=0, seeds=9, seed_scatter=1)
    line = regression(dates, np.median(noisy, axis=1)).interval
    joint = bootstrap_joint(dates, noisy)
    assert (joint.fast - joint.slow) / (line.fast - line.slow) < 1.25


def test_a_draw_without_the_first_point_has_no_bound_and_is_not_dropped():
    dates, macs = exponential(6)
    seeds = [[m, m, m] for m in macs]
    seeds[0] = [macs[0], macs[0], math.inf]  # the median of 7 in 27 draws is "never"
    joint = bootstrap_joint(dates, seeds, draws=2000)
    assert joint.unbounded == pytest.approx(2000 * 7 / 27, abs=80)
    assert joint.degenerate == 0
    assert (joint.fast, joint.high) == (math.inf, pytest.approx(16))
    assert str(joint).startswith('0 to 16.0 months (2')
    # So has one in which the first point was stopped, and takes an unknown amount more.
    seeds[0] = Seeds((macs[0], macs[0], macs[0]), (False, False, True))
    stopped = bootstrap_joint(dates, seeds, draws=2000)
    assert stopped.unbounded > 0
    assert stopped.fast == math.inf


@pytest.mark.parametrize(
    ('call', 'says'),
    [
        (lambda: regression(['2012', '2013'], [1, math.inf]), 'of 2 points 1 are finite'),
        (lambda: regression(['2012', '2013'], [1, 0]), 'positive'),
        (lambda: regression(['2012', '2013'], [1, 2], level=95), 'between 0 and 1'),
        (lambda: shuffled_dates(['2012', '2012'], [1, 2]), 'at 1 dates'),
        (lambda: shuffled_dates(['2012', '2013'], [1, 2], draws=0), '1 draw or more'),
        (lambda: bootstrap_joint(['2012', '2013'], [[1], []]), 'no seeds'),
        (lambda: bootstrap_joint(['2012', '2013'], [[2], [1]], ['day']), '1 precisions'),
        (lambda: bootstrap_joint(['2012', '2013'], [[2], [1]], ['day', 'week']), "not 'week'"),
    ],
)
def test_what_cannot_be_tested_says_why(call, says):
    with pytest.raises(UserError, match=says):
        call()


def test_10_000_draws_of_28_points_take_well_below_a_second_each():
    dates, seeds = simulated(0, 28)
    for call in (lambda: shuffled_dates(dates, seeds[:, 0]), lambda: bootstrap_joint(dates, seeds)):
        began = time.process_time()
        assert call() == call()
        assert time.process_time() - began < 2


def test_tests_made_together_are_corrected_together_and_say_so():
    dates, macs = exponential(12)
    one = evidence(dates, macs[:, None], None, 999)
    assert (one.tests, one.p) == (2, pytest.approx(2 * 2 / 1000))
    assert one.text.endswith("(two-sided p = 0.002; after Holm's correction for 2 tests together 0.004): "
                             'the points show progress.')  # fmt: skip
    three = corrected([one, one, one])
    assert [found.tests for found in three] == [6] * 3
    assert three[0].p == pytest.approx(6 * 2 / 1000)
    # Of 30 such trends none shows at 0.05 what one alone does.
    assert corrected([one] * 30)[0].verdict == 'no progress is not excluded'


def test_a_verdict_says_when_no_points_could_have_given_another():
    dates, macs = exponential(3)
    found = evidence([*dates, '2020-01-01'], [*([m] for m in macs), [math.inf]], None, 999)
    assert found.verdict == 'no progress is not excluded, and no 3 points of such dates could exclude it'
    assert 'all 3 points (left out, as they never reach the level or are not known to: 1): 16.0 months' in found.text
    assert 'so many points cannot give less than 0.33' in found.text
    assert 'so that its speed alone is no evidence of progress' in found.frontier_text
    assert evidence(dates[:2], macs[:2, None], None, 99) is None
    dates, macs = exponential(12)
    rising = evidence(dates, macs[::-1, None], None, 999)
    assert rising.verdict == 'the points show that compute rises'


def test_compute_that_is_the_same_at_all_dates_does_not_double():
    found = regression(['2012-06-01', '2014-09-01', '2016-01-01', '2017-05-05'], [3e11] * 4)
    assert (found.rate, found.error) == (0, 0)
    assert str(found.interval) == 'does not double'
