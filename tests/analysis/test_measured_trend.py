"""The trend of measured runs says whether there is one, beside the doubling time of its frontier."""

import datetime
import math

import pytest

from efficiency.analysis.measured_trend import trend
from efficiency.analysis.runs import System
from efficiency.analysis.survival import Seeds, as_seeds

YEARS = dict(zip('abcdefgh', range(2012, 2020), strict=True))
DATES = {name: datetime.date(year, 1, 1) for name, year in YEARS.items()}


def said(**macs):
    """What is said of systems of these seeds, the first of which is the baseline: the text, and rows by their name."""
    systems = [System(name, name, ()) for name in macs]
    seeds = {system: as_seeds(macs[system.name]) for system in systems}
    text, table, _, methods = trend('t', systems, seeds, systems[0], DATES)
    text = [*methods, *text]
    return ' '.join(text), {row['what']: row for row in table.rows} if table else {}


def test_progress_is_shown_by_all_points_beside_the_frontier():
    text, rows = said(**{name: [2.0**-i, 1.05 * 2.0**-i] for i, name in enumerate('abcdefgh')})
    assert 'Doubling time along it, least squares: 12.0 months. With the dates shuffled over the 8 points' in text
    assert 'the points show progress. They are the two of this target.' in text
    assert 'A frontier falls by construction' in text
    regression = rows['all 8 points, regression']
    assert (regression['months'], regression['interval']) == (pytest.approx(12, rel=1e-3), '12.0 to 12.0 months')
    assert regression['p'] == pytest.approx(2 / math.factorial(8))
    assert regression['corrected_p'] == pytest.approx(4 / math.factorial(8))
    assert rows['frontier, least squares']['p'] == rows['frontier, least squares']['corrected_p'] < 1
    assert rows['all points without a, regression']['months'] == pytest.approx(12, rel=1e-3)
    # The frontier's other lines and intervals carry no p-value of their own.
    assert rows['frontier, end to end']['p'] is None


def test_no_progress_is_not_excluded_where_one_cheap_point_makes_the_frontier():
    text, rows = said(a=[4], b=[9], c=[1], d=[8], e=[5], f=[7])
    assert 'Frontier since a: a, c.' in text
    assert text.endswith('no progress is not excluded. They are the two of this target.')
    assert rows['all 6 points, regression']['interval'].endswith('or falling; no progress is not excluded')
    assert rows['all 6 points, over points, seeds and dates']['interval'].endswith('no progress is not excluded')


def test_points_that_never_reach_the_level_are_left_out_and_said_to_be():
    stopped = Seeds((3.0, 3.0), (True, True))
    text, rows = said(a=[8], b=[math.inf], c=[2], d=[1], e=stopped)
    assert 'all 3 points (left out, as they never reach the level or are not known to: 2)' in text
    assert 'no 3 points of such dates could exclude it' in text
    assert 'all 3 points, regression' in rows


def test_two_points_make_a_trend_that_excludes_nothing():
    text, rows = said(a=[4], b=[1])
    assert 'Any two points make a trend: no progress is not excluded.' in text
    assert not any('regression' in what for what in rows)


@pytest.mark.parametrize(
    'baseline', [[math.inf], [4, math.inf], Seeds((4.0,), (True,))], ids=['never', 'half', 'stopped']
)
def test_without_a_baseline_that_reaches_the_level_there_is_no_trend_since_a_later_point(baseline):
    text, rows = said(a=baseline, b=[4], c=[2], d=[1])
    assert text.startswith('No trend can be given: it takes a baseline that reaches the target')
    assert not rows


def test_a_baseline_that_some_draws_lose_leaves_the_interval_over_seeds_without_a_bound():
    _, rows = said(a=[4, 4, math.inf], b=[3, 3, 3], c=[2, 2, 2], d=[1, 1, 1])
    assert ' months (2' in rows['frontier, over resampled seeds']['interval']
    assert 'without bound' in rows['all 4 points, over points, seeds and dates']['interval']
