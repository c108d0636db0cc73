"""A factor's interval holds what it should, whatever became of the seeds."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efficiency.analysis.factors import Factor, exact_factor, factor_with_interval, factors_over
from efficiency.analysis.survival import Seeds, as_seeds
from efficiency.errors import UserError

EACH = st.tuples(st.integers(1, 30).map(float), st.booleans()) | st.just((math.inf, False))
SEEDS = st.lists(EACH, min_size=1, max_size=6).map(lambda each: Seeds(*zip(*each, strict=True)))
STOPPED = Seeds((2.0, 3.0, 4.0), (True,) * 3)
NEVER = [math.inf] * 3


def test_with_three_seeds_a_side_the_interval_is_of_the_seeds_farthest_apart():
    # One resample in four has the least of three seeds as its median, and so one pair in sixteen both ends.
    factor = factor_with_interval([10, 20, 40], [1, 2, 3])
    assert (factor.value, factor.low, factor.high) == (10, pytest.approx(10 / 3), pytest.approx(40))
    assert str(factor) == '10.0 [3.33, 40.0]'


def test_a_seed_of_five_that_never_gets_there_leaves_no_upper_end():
    # Three or more of five draws are that seed in 6 % of the resamples.
    factor = factor_with_interval([7.9, 8, 10.2, 11, math.inf], [0.354, 0.506, 0.506])
    assert str(factor) == '20.2 [15.6, unbounded)'
    assert str(factor.inverse).endswith('[0, 0.0641]')


@pytest.mark.parametrize(
    ('a', 'b', 'text'),
    [
        ([10.0], [1, 2, 3], '5.00 [one seed: not known]'),
        (STOPPED, [1, 1, 1], '3.00 or more [2.00, unbounded)'),
        ([6, 6, 6], STOPPED, '2.00 or less [0, 3.00]'),
        (STOPPED, STOPPED, 'not known [0, unbounded)'),
        (STOPPED, NEVER, 'not known [0, unbounded)'),
        (NEVER, [1, 2, 3], 'infinite [infinite]'),
        ([1, 2, 3], NEVER, '0 [0, 0]'),
        (NEVER, NEVER, '-'),
        (Seeds((2.0,), (True,)), [math.inf], 'not known'),
    ],
)
def test_what_is_written_of_a_factor(a, b, text):
    assert str(factor_with_interval(a, b)) == text


@settings(deadline=None)
@given(SEEDS, SEEDS)
def test_sides_that_are_exchanged_give_the_inverse(a, b):
    there, back = factor_with_interval(a, b), factor_with_interval(b, a).inverse
    assert (there.bound, there.interval) == (back.bound, back.interval)
    for ours, theirs in ((there.value, back.value), (there.low, back.low), (there.high, back.high)):
        assert ours == (theirs if theirs is None else pytest.approx(theirs))
    if there.value is not None and there.low is not None and not there.bound:
        assert there.low <= there.value * (1 + 1e-9)
        assert there.value <= there.high * (1 + 1e-9)


def covered(n, m, scatters=(0.2, 0.2), draws=250, stopped=0.0):
    """In how many of 100 draws of lognormal seeds the interval holds the true factor, 1."""
    generator = np.random.default_rng(n + m)

    def side(n, scatter):
        takes, stops = np.exp(scatter * generator.normal(size=(2, n)))
        is_stopped = (generator.random(n) < stopped) & (takes > stops)
        return Seeds(tuple(np.where(is_stopped, stops, takes)), tuple(is_stopped))

    factors = [factor_with_interval(side(n, scatters[0]), side(m, scatters[1])) for _ in range(draws)]
    return 100 * np.mean([factor.low <= 1 <= factor.high for factor in factors])


def test_intervals_hold_the_true_factor_as_often_as_is_said():
    assert covered(2, 2) == pytest.approx(67, abs=6)
    assert covered(3, 3) == pytest.approx(90, abs=4)
    # The median of one side's 3 seeds lies between the least and the greatest but in 2 of 8 cases.
    assert covered(3, 3, (1e-6, 1), draws=1000) == pytest.approx(75, abs=4)
    assert covered(5, 5) == pytest.approx(96, abs=3)
    assert covered(10, 10) == pytest.approx(95, abs=4)
    assert covered(10, 10, stopped=0.5) >= 92


def test_the_baselines_own_factor_is_one_whatever_its_seeds():
    seeds = {name: as_seeds(each) for name, each in {'a': [2, 4, 8], 'b': [1, 2, 4], 'c': NEVER}.items()}
    factors = factors_over(seeds, 'a')
    assert str(factors['a']) == '1.00 [1.00, 1.00]'
    assert factors['b'].value == 2
    assert str(factors['c']) == '0 [0, 0]'
    assert str(factors_over(seeds, 'c')['c']) == '-'


def test_what_is_counted_is_the_same_for_every_seed():
    assert exact_factor(6, 4) == Factor(1.5, '', 1.5, 1.5)


@pytest.mark.parametrize(
    ('arguments', 'says'),
    [
        (([], [1]), 'a has no seeds'),
        (([1], [0]), 'b has compute that is not positive'),
        (([1], Seeds((0.0,), (False,))), 'positive'),
        (([1], [1], 1.0), 'level of an interval'),
        (([1], [1], 0.9, 0), '1 draw'),
    ],
)
def test_mistakes_say_what_they_are(arguments, says):
    with pytest.raises(UserError, match=says):
        factor_with_interval(*arguments)
