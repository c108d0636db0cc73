"""Factors multiply to what they are factors of, and a budget buys what curves say."""

import datetime
import math

import pytest

from efficiency.analysis import decompose as d
from efficiency.analysis.runs import as_run
from efficiency.errors import UserError
from tests.analysis.conftest import TOP1, make_record


def test_the_papers_effective_compute():
    growth = d.effective_compute(hardware=8, spending=37_500, algorithms=25)
    assert growth.compute == 300_000
    assert growth.effective == 7.5e6
    with pytest.raises(UserError, match='factor of spending'):
        d.effective_compute(8, 0, 25)


def test_effective_compute_over_a_period():
    start, end = datetime.date(2012, 6, 1), datetime.date(2018, 6, 1)
    growth = d.effective_compute_over(start, end, hardware_months=24, spending_months=4.74, algorithms_months=math.inf)
    assert growth.hardware == pytest.approx(8, rel=1e-3)
    assert growth.spending == pytest.approx(37_500, rel=0.02)
    assert growth.algorithms == 1
    # Periods that follow one another multiply.
    middle = datetime.date(2015, 3, 3)
    parts = [d.effective_compute_over(*ends, 24, 4.74, 16) for ends in ((start, middle), (middle, end))]
    whole = d.effective_compute_over(start, end, 24, 4.74, 16)
    assert parts[0].effective * parts[1].effective == pytest.approx(whole.effective)
    assert d.effective_compute_over(start, start, 24, 4.74, 16).effective == 1
    with pytest.raises(UserError, match='ends before it begins'):
        d.effective_compute_over(end, start, 24, 4.74, 16)
    for months in (0, -3, math.nan):
        with pytest.raises(UserError, match='doubling time of algorithms is positive'):
            d.effective_compute_over(start, end, 24, 4.74, months)


CANDIDATES = {
    'steady': [([0.5, 0.8, 0.7], [10, 20, 30], [1, 2, 3], False), ([0.5, 0.6, 0.9], [10, 20, 30], [1, 2, 3], False)],
    'short': [([0.75], [5], [1], False)],
    'dear': [([0.99], [1000], [1], False)],
}


def test_a_budget_buys_the_best_accuracy_within_it():
    rows = d.within_budget(CANDIDATES, TOP1, 25)
    assert [row.name for row in rows] == ['short', 'steady', 'dear']
    short, steady, dear = rows
    assert (short.level, short.epochs, short.macs, short.seeds, short.seeds_ended) == (0.75, 1, 5, 1, 1)
    assert (steady.level, steady.epochs, steady.macs, steady.seeds_ended) == (pytest.approx(0.7), 2, 20, 0)
    assert (dear.level, dear.epochs, dear.macs) == (None, None, None)
    # The best so far, not the last: the first seed stays at its 0.8.
    more = d.within_budget(CANDIDATES, TOP1, 30)
    assert [row.name for row in more] == ['steady', 'short', 'dear']
    assert (more[0].level, more[0].epochs, more[0].seeds_ended) == (pytest.approx(0.85), 2.5, 2)
    assert d.within_budget(CANDIDATES, TOP1, 10)[1].level == 0.5


def test_half_of_the_seeds_have_to_say_something():
    seeds = [([0.5], [10], [1], False), ([0.6], [100], [1], False)]
    assert d.within_budget({'a': seeds}, TOP1, 50)[0].level is None
    assert d.within_budget({'a': [*seeds, ([0.4], [20], [2], False)]}, TOP1, 50)[0].level == 0.4


def test_equal_levels_are_ordered_by_compute():
    rows = d.within_budget({'a': [([0.5], [10], [1], False)], 'b': [([0.5], [5], [1], False)]}, TOP1, 50)
    assert [row.name for row in rows] == ['b', 'a']


def test_a_run_that_was_stopped_within_the_budget_might_have_got_further():
    def level(*seeds, budget=50):
        (row,) = d.within_budget(
            {'a': [([0.2, last], [10, 20], [1, 2], stopped) for last, stopped in seeds]}, TOP1, budget
        )
        return row.level, row.level_is_bound

    assert level((0.7, True)) == (0.7, True)
    assert level((0.7, True), (0.6, False), (0.8, False)) == (0.8, False)
    assert level((0.7, True), (0.5, False), (0.6, False)) == (0.6, False)
    # A budget that is spent before the run was stopped is all that it could use.
    assert level((0.7, True), budget=15) == (0.2, False)


def side(*runs):
    """Runs as (accuracies, macs an epoch, changes of the record), and what each took to 0.8."""
    found = [
        as_run(make_record(seed=i, accuracies=curve, macs_per_epoch=macs) | changes, 'run.json')
        for i, (curve, macs, changes) in enumerate(runs)
    ]
    return [(run, run.crossing(TOP1, 0.8)) for run in found]


def test_a_factor_between_systems_is_split_into_causes_with_intervals():
    slow = side(((0.1, 0.1, 0.9), 1000, {}), ((0.1, 0.9), 1000, {}), ((0.1, 0.1, 0.1, 0.9), 1000, {}))
    fast = side(((0.9,), 500, {}), ((0.1, 0.9), 500, {}), ((0.9,), 500, {}))
    there, back = d.split_factor(slow, fast), d.split_factor(fast, slow)
    assert str(there.examples) == '3.00 [1.00, 4.00]'
    assert str(there.macs_per_example) == '2.00 [2.00, 2.00]'
    assert str(there.train_macs) == '6.00 [2.00, 8.00]'
    # 2 seconds an epoch on machines of one peak: half the macs in the same time use half of it.
    assert there.seconds.value == there.examples.value
    assert (there.hardware.value, there.utilisation.value) == (1, 0.5)
    for field in ('examples', 'macs_per_example', 'train_macs', 'seconds', 'hardware', 'utilisation'):
        assert str(getattr(back, field).inverse) == str(getattr(there, field))


def test_seconds_are_split_only_where_every_run_has_them_and_one_that_never_gets_there_is_counted():
    slow = side(((0.1, 0.9), 1000, {'throughput': {'examples_per_second': 1.0, 'train_dense_macs_per_second': 1.0}}))
    never = side(((0.1, 0.1), 500, {}))
    split = d.split_factor(slow, never)
    assert (split.seconds, split.hardware, split.utilisation) == (None, None, None)
    assert str(split.train_macs) == '0 [one seed: not known]'
    assert str(split.macs_per_example) == '2.00 [2.00, 2.00]'


@pytest.mark.parametrize(
    ('candidates', 'budget', 'says'),
    [
        ({}, 0, 'positive number of macs'),
        ({'a': []}, 1, 'a has no curves'),
        ({'a': [([0.5], [1], [], False)]}, 1, '0 epochs for 1 macs'),
        ({'a': [([0.5], [1, 2], [1, 2], False)]}, 1, '1 values for 2 macs'),
    ],
)
def test_what_buys_nothing_says_why(candidates, budget, says):
    with pytest.raises(UserError, match=says):
        d.within_budget(candidates, TOP1, budget)
