"""Doubling times have their closed forms, the paper's figures come out, and intervals hold what they should."""

import datetime
import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from efficiency.analysis import trends
from efficiency.analysis.survival import Seeds
from efficiency.errors import UserError

# Hernandez & Brown 2020, table 3: the printed column, which is in 1e15 multiply-adds, and dates of publication.
TABLE_3 = [
    ('VGG-11', '2014-09-04', 367.7),
    ('Wide ResNet-50', '2016-05-23', 308.0),
    ('AlexNet', '2012-06-01', 266.1),
    ('ResNet-50', '2015-12-10', 118.6),
    ('ResNet-34', '2015-12-10', 118.5),
    ('ResNeXt-50', '2016-11-16', 115.3),
    ('ResNet-18', '2015-12-10', 97.9),
    ('DenseNet-121', '2016-08-25', 82.9),
    ('SqueezeNet 1.1', '2016-02-24', 73.1),
    ('GoogLeNet', '2014-09-17', 61.4),
    ('MobileNet v1', '2017-04-17', 24.0),
    ('MobileNet v2', '2018-01-13', 20.2),
    ('ShuffleNet v2 1.5x', '2018-06-30', 15.4),
    ('ShuffleNet v1 1x', '2017-07-03', 12.9),
    ('ShuffleNet v2 1x', '2018-06-30', 10.8),
    ('EfficientNet-b0', '2019-05-28', 6.0),
]
NAMES, DATES, MACS = (list(column) for column in zip(*TABLE_3, strict=True))
FRONTIER = ['AlexNet', 'GoogLeNet', 'MobileNet v1', 'ShuffleNet v1 1x', 'ShuffleNet v2 1x', 'EfficientNet-b0']
AT = [NAMES.index(name) for name in FRONTIER]
FRONTIER_DATES, FRONTIER_MACS = [DATES[i] for i in AT], [MACS[i] for i in AT]

START = datetime.date(2012, 6, 1)
POINTS = st.lists(
    st.tuples(
        st.dates(datetime.date(1990, 1, 1), datetime.date(2030, 1, 1)),
        st.integers(1, 2**40).map(float) | st.just(math.inf),
    ),
    max_size=12,
)


def halving(days, months, first=1e18):
    """Dates and computes that halve in exactly so many months."""
    dates = [START + datetime.timedelta(day) for day in days]
    return dates, [first * 2 ** (-day / trends.DAYS_PER_MONTH / months) for day in days]


@pytest.mark.parametrize('method', trends.METHODS)
@pytest.mark.parametrize('months', [0.5, 16, 300])
def test_an_exponential_gives_its_doubling_time(method, months):
    assert trends.doubling_months(*halving([0, 100, 101, 900, 2500], months), method) == pytest.approx(months)


@pytest.mark.parametrize(
    ('method', 'months'), [('least_squares', 15.8), ('end_to_end', 15.3), ('through_origin', 15.3)]
)
def test_the_papers_frontier_gives_its_sixteen_months(method, months):
    assert round(trends.doubling_months(FRONTIER_DATES, FRONTIER_MACS, method), 1) == months
    assert trends.frontier_doubling_months(DATES, MACS, method) == pytest.approx(
        trends.doubling_months(FRONTIER_DATES, FRONTIER_MACS, method)
    )


@pytest.mark.filterwarnings('ignore:The BCa')  # scipy's own interval, which degenerate resamples leave it without
def test_least_squares_is_numpys_line_and_its_interval_scipys():
    days = np.array(FRONTIER_DATES, dtype='datetime64[D]').astype(int) / trends.DAYS_PER_MONTH
    slope = -np.polyfit(days, np.log2(FRONTIER_MACS), 1)[0]
    assert trends.doubling_months(FRONTIER_DATES, FRONTIER_MACS) == pytest.approx(1 / slope)

    resampled = stats.bootstrap(
        (days, np.log2(FRONTIER_MACS)),
        lambda x, y: -stats.linregress(x, y).slope if np.ptp(x) else math.nan,
        paired=True,
        vectorized=False,
        n_resamples=2000,
        method='percentile',
        rng=np.random.default_rng(1),
    ).bootstrap_distribution
    low, high = 1 / np.nanquantile(resampled, [0.975, 0.025])
    ours = trends.bootstrap_points(DATES, MACS)
    assert (ours.low, ours.high) == (pytest.approx(low, rel=0.05), pytest.approx(high, rel=0.05))


def test_the_papers_frontier_comes_out_of_all_its_rows():
    assert [NAMES[i] for i in trends.frontier_indices(DATES, MACS)] == FRONTIER


def test_of_one_date_the_cheaper_and_of_one_compute_the_earlier_is_on_the_frontier():
    assert trends.frontier_indices(['2015-01-01', '2015-01-01', '2014-01-01', '2016-01-01'], [3, 2, 9, 2]) == [2, 1]
    assert trends.frontier_indices(['2015-01-01', '2016-01-01'], [math.inf, 5]) == [1]
    assert trends.frontier_indices([], []) == []


@given(POINTS)
def test_a_frontier_falls_and_leaves_nothing_cheaper_behind_it(points):
    dates, macs = [date for date, _ in points], [m for _, m in points]
    frontier = trends.frontier_indices(dates, macs)
    on = [(dates[i], macs[i]) for i in frontier]
    assert all(a[0] < b[0] and a[1] > b[1] for a, b in itertools.pairwise(on))
    for date, compute in points:
        assert math.isinf(compute) or any(d <= date and m <= compute for d, m in on)


@given(POINTS, st.sampled_from(trends.METHODS), st.integers(-30, 30))
def test_units_do_not_matter(points, method, exponent):
    dates, macs = [date for date, _ in points], [m for _, m in points]
    scaled = [m * 2.0**exponent for m in macs]
    assert trends.frontier_indices(dates, macs) == trends.frontier_indices(dates, scaled)
    months = trends.frontier_doubling_months(dates, macs, method)
    assert months is None or months > 0
    # Rates near 0 are all rounding, and their doubling times anything.
    if months is not None and months < 1e6:
        assert trends.frontier_doubling_months(dates, scaled, method) == pytest.approx(months, rel=1e-5)


def test_compute_that_does_not_fall_never_doubles_efficiency():
    for macs in ([5, 5, 5], [5, 6, 7]):
        for method in trends.METHODS:
            assert trends.doubling_months(['2012', '2013', '2014'], macs, method) == math.inf
            assert trends.frontier_doubling_months(['2012', '2013', '2014'], macs, method) == math.inf
    assert trends.months_text(math.inf) == 'does not double'
    assert trends.months_text(15.78) == '15.8 months'
    assert trends.months_text(None) == 'no trend: fewer than two dates'


def test_end_to_end_goes_from_the_cheapest_of_the_first_date_to_the_cheapest_of_the_last():
    dates = ['2012-01-01', '2012-01-01', '2014-01-01', '2014-01-01']
    assert trends.doubling_months(dates, [9, 8, 4, 100], 'end_to_end') == pytest.approx(731 / trends.DAYS_PER_MONTH)


@pytest.mark.parametrize(
    ('dates', 'macs', 'method', 'says'),
    [
        (['2012-01-01'], [1], 'end_to_end', 'two dates or more, and of 1 points 1 are finite, at 1 dates'),
        (['2012-01-01'] * 2, [1, 2], 'end_to_end', 'at 1 dates'),
        (['2012-01-01', '2013-01-01'], [1, math.inf], 'least_squares', 'of 2 points 1 are finite'),
        ([], [], 'least_squares', 'of 0 points 0 are finite, at 0 dates'),
        (['2012', '2013'], [1, 2], 'by eye', "not 'by eye'"),
        (['2012', '2013'], [1, 0], 'least_squares', 'positive'),
        (['2012', '2013'], [1, math.nan], 'least_squares', 'positive'),
        (['2012', '2013'], [1, 'x'], 'least_squares', 'no number'),
        (['2012', '2013'], [1], 'least_squares', '2 dates for 1 computes'),
        (['2012', 'June'], [2, 1], 'least_squares', 'not all of these are dates'),
        (['2012', None], [2, 1], 'least_squares', 'a date is missing'),
    ],
)
def test_what_has_no_doubling_time_says_why(dates, macs, method, says):
    with pytest.raises(UserError, match=says):
        trends.doubling_months(dates, macs, method)


def test_leaving_a_frontier_point_out_lets_others_onto_the_frontier():
    left_out = dict(trends.leave_one_out(DATES, MACS, NAMES))
    whole = trends.frontier_doubling_months(DATES, MACS)
    assert list(left_out) == NAMES
    assert {name for name in NAMES if left_out[name] == pytest.approx(whole)} == set(NAMES) - set(FRONTIER)
    for i in range(len(NAMES)):
        rest = [j for j in range(len(NAMES)) if j != i]
        expected = trends.frontier_doubling_months([DATES[j] for j in rest], [MACS[j] for j in rest])
        assert left_out[NAMES[i]] == pytest.approx(expected)
    # Without AlexNet the frontier begins with VGG-11, 13 days before GoogLeNet at a sixth of its compute.
    assert round(left_out['AlexNet'], 1) == 11.8
    assert trends.leave_one_out(['2012', '2013'], [2, 1], ['a', 'b']) == [('a', None), ('b', None)]
    with pytest.raises(UserError, match='1 names for 2 points'):
        trends.leave_one_out(['2012', '2013'], [2, 1], ['a'])


def intervals(seed=0, draws=10_000):
    seeds = [[m * factor for factor in (0.8, 1.0, 1.1)] for m in MACS]
    return [
        trends.bootstrap_points(DATES, MACS, seed=seed, draws=draws),
        trends.bootstrap_points(DATES, MACS, of='all', seed=seed, draws=draws),
        trends.bootstrap_seeds(DATES, seeds, seed=seed, draws=draws),
        trends.bootstrap_dates(DATES, MACS, ['month'] * len(DATES), seed=seed, draws=draws),
    ]


def test_intervals_are_the_same_each_time_and_quick():
    began = time.perf_counter()
    first = intervals()
    assert time.perf_counter() - began < 4 * 2
    assert first == intervals() != intervals(seed=1)
    assert all(interval.low < 15.78 < interval.high for interval in first[:3])
    # AlexNet's date is the first of its month: drawn later, it makes the rest come sooner.
    assert 15 < first[3].low < first[3].high < 15.78
    for interval in first:
        assert (interval.level, interval.draws) == (0.95, 10_000)
    # 6 draws of one of 6 points: 1 in 7,776.
    assert first[0].degenerate < 10
    assert [str(interval) for interval in first] == [f'{i.low:.1f} to {i.high:.1f} months' for i in first]


def test_an_exact_exponential_has_an_interval_of_no_width_but_for_its_dates():
    dates, macs = halving([0, 400, 800, 1200], 16)
    for interval in (
        trends.bootstrap_points(dates, macs, draws=500),
        trends.bootstrap_points(dates, macs, of='all', draws=500),
        trends.bootstrap_seeds(dates, [[m] * 3 for m in macs], draws=500),
        trends.bootstrap_dates(dates, macs, ['day'] * 4, draws=500),
    ):
        assert (interval.low, interval.high) == (pytest.approx(16), pytest.approx(16))
    wide = trends.bootstrap_dates(dates, macs, ['day', 'month', 'year', 'day'], draws=500)
    assert 14 < wide.low < 16 < wide.high < 19


def test_dates_are_drawn_from_the_days_of_their_precision_or_range():
    def ends(precision, bounds=None):
        drawn = trends.bootstrap_dates(
            ['2010-01-01', '2012-02-10'], [2, 1], ['day', precision], [None, bounds], 'end_to_end', 1 - 1e-9, 5000
        )
        return [round(months * trends.DAYS_PER_MONTH) for months in (drawn.low, drawn.high)]

    def days(date):
        return (datetime.date.fromisoformat(date) - datetime.date(2010, 1, 1)).days

    assert ends('day') == [days('2012-02-10')] * 2
    assert ends('month') == [days('2012-02-01'), days('2012-02-29')]
    assert ends('year') == [days('2012-01-01'), days('2012-12-31')]
    assert ends('day', ('2012-02-09', '2012-02-11')) == [days('2012-02-09'), days('2012-02-11')]
    for precision, bounds, says in [('week', None, "not 'week'"), ('day', ('2012', '2011'), 'before it begins')]:
        with pytest.raises(UserError, match=says):
            ends(precision, bounds)
    with pytest.raises(UserError, match='1 precisions and 2 ranges for 2 dates'):
        trends.bootstrap_dates(['2012', '2013'], [2, 1], ['day'])


def test_degenerate_draws_are_counted_and_rates_of_nothing_are_infinite_months():
    dates, macs = ['2012-01-01', '2014-01-01'], [4, 1]
    # Half of the resamples of two points are of one alone; the others are both points.
    interval = trends.bootstrap_points(dates, macs, draws=1000)
    assert interval.low == interval.high == pytest.approx(731 / trends.DAYS_PER_MONTH / 2)
    assert 400 < interval.degenerate < 600
    assert str(interval) == (
        f'12.0 to 12.0 months ({interval.degenerate / 10:.0f} % of the draws have no trend, as they are of one date '
        'alone, and are left out)'
    )
    rising = trends.bootstrap_points(dates, [1, 4], of='all', draws=100)
    assert str(rising).startswith('does not double')


@pytest.mark.parametrize('later', [[1, 8, 9], [1, 1, math.inf], [1, math.inf, 0.5]])
def test_a_draw_whose_later_points_are_no_cheaper_or_never_get_there_has_no_progress(later):
    interval = trends.bootstrap_seeds(['2012-01-01', '2014-01-01'], [[4, 4, 4], later], draws=1000)
    assert (interval.high, interval.degenerate, interval.unbounded) == (math.inf, 0, 0)
    assert str(interval).endswith('months or more; no progress is not excluded')


def test_a_draw_of_seeds_that_loses_the_first_point_is_no_trend_since_a_later_one():
    dates, macs = ['2012-01-01', '2014-01-01', '2016-01-01'], [[4, 4, math.inf], [2, 2, 2], [1, 1, 1]]
    interval = trends.bootstrap_seeds(dates, macs, draws=2000)
    # 7 of 27 medians of 3 are "never". A trend since 2014 would be as fast as that since 2012, and go unnoticed.
    assert interval.unbounded == pytest.approx(2000 * 7 / 27, abs=80)
    assert (interval.degenerate, interval.fast, interval.low) == (0, math.inf, 0)
    assert interval.high == pytest.approx(24, rel=0.01)
    assert str(interval) == (
        f'0 to 24.0 months ({interval.unbounded / 20:.0f} % of the draws have a rise without bound, as points never '
        'reach the level in them)'
    )
    # So few of them that 95 % of the draws leave them out are counted, and not told.
    rare = trends.bootstrap_seeds(dates, [[4] * 9 + [math.inf], *macs[1:]], draws=10_000)
    assert 0 < rare.unbounded < 50
    assert str(rare) == '24.0 to 24.0 months'


def test_draws_lose_the_first_point_only_with_all_that_is_of_its_date_or_before():
    never = [math.inf] * 3
    # What never reaches the level over all its seeds begins no trend; what begins it may be one of two.
    dates = ['2010-01-01', '2012-01-01', '2012-01-01', '2014-01-01']
    both = trends.bootstrap_seeds(dates, [never, [4, 4, math.inf], [8, 8, 8], [2, 2, 2]], draws=1000)
    assert both.unbounded == 0
    assert both.high < 25
    # In a draw in which nothing gets there, anything may be.
    none = trends.bootstrap_seeds(dates[2:], [[4, 4, math.inf], [2, 2, math.inf]], draws=4000)
    assert str(none).startswith('unbounded; no progress is not excluded (26 % of the draws')


def test_stopped_seeds_count_in_the_bootstrap_of_seeds():
    dates = ['2012-01-01', '2014-01-01', '2016-01-01']
    stopped = Seeds((4, 4, 5), (False, False, True))
    whole = trends.bootstrap_seeds(dates, [[4, 4, 5], [2, 2, 2], [1, 1, 1]], draws=1000)
    bound = trends.bootstrap_seeds(dates, [stopped, [2, 2, 2], [1, 1, 1]], draws=1000)
    assert (whole.unbounded, math.isfinite(whole.fast)) == (0, True)
    # Where the stopped one is drawn more than once, the median may be anything above it.
    assert bound.unbounded == pytest.approx(1000 * 7 / 27, abs=60)
    assert bound.fast == math.inf


@pytest.mark.parametrize(
    ('call', 'says'),
    [
        (lambda: trends.bootstrap_points(DATES, MACS, of='some'), "'frontier' or 'all'"),
        (lambda: trends.bootstrap_points(DATES, MACS, level=95), 'between 0 and 1'),
        (lambda: trends.bootstrap_points(DATES, MACS, draws=0), '1 draw or more'),
        (lambda: trends.bootstrap_points([], []), 'no points'),
        (lambda: trends.bootstrap_points(['2012'], [1], draws=9), 'none of 9 draws'),
        (lambda: trends.bootstrap_points(['2012', '2013'], [1, 2]), 'the frontier is one point'),
        (lambda: trends.bootstrap_seeds(['2012', '2013'], [[1], []]), 'no seeds'),
        (lambda: trends.bootstrap_seeds(['2012', '2013'], [[1]]), '2 dates for 1'),
        (lambda: trends.bootstrap_seeds(['2012', '2013'], [[1], [math.inf]]), 'of 2 points 1 are finite'),
    ],
)
def test_intervals_that_cannot_be_say_why(call, says):
    with pytest.raises(UserError, match=says):
        call()


def coverage(interval_of, trials=200):
    """The share of simulations whose interval holds the true 16 months."""
    held = 0
    for trial in range(trials):
        interval = interval_of(np.random.default_rng(trial), trial)
        held += interval.low <= 16 <= interval.high
    return held / trials


def test_intervals_hold_the_truth_about_as_often_as_their_docstring_says():
    dates, macs = halving(np.linspace(0, 2557, 6).astype(int).tolist(), 16)
    macs = np.array(macs)

    def points(generator, trial, error=0.1):
        return trends.bootstrap_points(dates, macs * 2 ** generator.normal(0, error, 6), draws=1000, seed=trial)

    def seeds(generator, trial):
        of_points = macs[:, None] * 2 ** generator.normal(0, 0.2, (6, 5))
        return trends.bootstrap_seeds(dates, of_points, draws=1000, seed=trial)

    assert coverage(points) == pytest.approx(0.9, abs=0.05)
    assert coverage(lambda generator, trial: points(generator, trial, error=1)) == pytest.approx(0.77, abs=0.07)
    assert coverage(seeds) == pytest.approx(0.97, abs=0.03)
