"""The level asked for moves the answer, and what runs do not say is said to be unknown."""

import datetime
import math

import pytest

from efficiency.analysis.curves import sensitivity
from efficiency.errors import UserError
from tests.analysis.conftest import TOP1

CURVES = {
    # Two years apart; the new one is 4 x cheaper at 0.5, 2 x at 0.7, and neither is sure of 0.9.
    'new': ('2014-01-01', [([0.5, 0.7, 0.9], [10, 40, 50]), ([0.5, 0.7, 0.8], [10, 40, 60]), ([0.6, 0.7], [10, 40])]),
    'old': ('2012-01-01', [([0.5, 0.7], [40, 80]), ([0.55, 0.65, 0.7], [40, 60, 80]), ([0.4, 0.9], [50, 99])]),
    'dear': ('2013-01-01', [([0.1, 0.99], [500, 600])]),
}


def test_factor_and_doubling_time_move_with_the_level():
    low, high = sensitivity(CURVES, TOP1, [0.5, 0.7], 'old')
    assert [system.name for system in low.systems] == ['old', 'dear', 'new']
    assert [system.macs.median for system in low.systems] == [40, 600, 10]
    assert [system.seeds.values for system in low.systems] == [(40, 40, 99), (600,), (10, 10, 10)]
    assert [system.factor_to_baseline.value for system in low.systems] == [1, 40 / 600, 4]
    assert [system.factor_to_frontier_end for system in low.systems] == [4, 60, 1]
    assert [system.on_frontier for system in low.systems] == [True, False, True]
    assert low.systems[0].published == datetime.date(2012, 1, 1)
    assert [str(row.factor) for row in (low, high)] == ['4.00 [4.00, 9.90]', '2.00 [2.00, 2.48]']
    assert low.doubling_months == pytest.approx(731 / 30.4375 / 2)
    assert high.doubling_months == pytest.approx(2 * low.doubling_months)
    assert low.note == high.note == ''


def test_a_level_that_the_baseline_does_not_reach_is_said_so():
    (row,) = sensitivity(CURVES, TOP1, [0.9], 'old')
    assert row.note == 'old does not reach 0.9: 1 of 3 seeds do.'
    assert (row.factor.value, row.doubling_months) == (math.inf, None)
    old, dear, new = row.systems
    assert (old.macs.median, old.factor_to_baseline.value) == (math.inf, None)
    assert (old.factor_to_frontier_end, old.on_frontier) == (None, False)
    assert (dear.factor_to_baseline.value, dear.factor_to_frontier_end, dear.on_frontier) == (math.inf, 1, True)
    assert new.seeds.values == (50, math.inf, math.inf)
    assert new.macs.median == math.inf
    (nobody,) = sensitivity(CURVES, TOP1, [1.0], 'old')
    assert (nobody.factor.value, nobody.doubling_months) == (None, None)
    assert not any(system.on_frontier for system in nobody.systems)


def test_what_a_run_that_stopped_at_its_target_would_have_reached_takes_what_it_took_or_more():
    def row(level, name, baseline='old'):
        date, seeds = CURVES[name]
        stopped = CURVES | {name: (date, [(*seed, True) for seed in seeds])}
        return sensitivity(stopped, TOP1, [level], baseline)[0]

    at = row(0.9, 'new')
    new = at.systems[-1]
    # Two of its three seeds were stopped below, after 60 and 40; the third is there after 50, and then 1 in 2 is left.
    assert (new.macs.median, new.macs.is_bound, new.macs.n_censored) == (50, True, 2)
    assert (new.seeds.values, new.factor_to_frontier_end, new.on_frontier) == ((50, 60, 40), None, False)
    assert 'this much or more, as runs were stopped before: new (2 of 3 seeds).' in at.note
    assert str(row(0.9, 'new', 'new').factor) == '0.0833 or more [one seed: not known]'
    # At a level that all its runs met it is known.
    assert row(0.7, 'new').factor.value == 2


def test_a_baseline_off_the_frontier_is_said_so():
    (row,) = sensitivity(CURVES, TOP1, [0.5], 'dear')
    assert row.factor.value == 60
    assert row.note == 'The frontier begins with old, not with dear.'


def test_one_alone_that_leads_from_the_first_never_doubles():
    curves = {'first': ('2012', [([0.5], [1])]), 'later': ('2013', [([0.5], [2])])}
    assert sensitivity(curves, TOP1, [0.5], 'first')[0].doubling_months == math.inf


@pytest.mark.parametrize(
    ('curve', 'says'),
    [
        (([0.5], [1, 2]), 'later, seed 0 has 1 values for 2 macs'),
        (([0.5, 0.6], [2, 2]), 'do not rise'),
        (([0.5, 0.6], [0, 2]), 'do not rise'),
        (([math.nan], [2]), 'not finite'),
        (([0.5], [math.inf]), 'not finite'),
        (([None], ['x']), 'no number'),
    ],
)
def test_a_curve_that_is_none_says_why(curve, says):
    with pytest.raises(UserError, match=says):
        sensitivity({'later': ('2013', [curve])}, TOP1, [0.5], 'later')


def test_other_mistakes_say_what_they_are():
    with pytest.raises(UserError, match="baseline 'x' is none of the systems: new, old, dear"):
        sensitivity(CURVES, TOP1, [0.5], 'x')
    with pytest.raises(UserError, match='later has no curves'):
        sensitivity({'later': ('2013', [])}, TOP1, [0.5], 'later')
    with pytest.raises(UserError, match='dates'):
        sensitivity({'later': ('soon', [([0.5], [1])])}, TOP1, [0.5], 'later')
