"""Factors multiply to what they are factors of, and a budget buys what curves say."""

import datetime
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efficiency.analysis import decompose as d
from efficiency.errors import UserError

AMOUNTS = st.floats(1e-3, 1e30)
COSTS = st.builds(d.Cost, examples=AMOUNTS, macs_per_example=AMOUNTS, seconds=AMOUNTS, peak_macs_per_second=AMOUNTS)


@given(COSTS, COSTS)
def test_products_are_exact(a, b):
    split = d.decompose(a, b)
    assert split.factor == pytest.approx(split.examples_factor * split.macs_per_example_factor, rel=1e-14)
    product = split.factor * split.hardware_factor * split.utilisation_factor
    assert split.seconds_factor == pytest.approx(product, rel=1e-14)
    assert d.decompose(b, a).factor == pytest.approx(1 / split.factor, rel=1e-14)


@pytest.mark.parametrize(
    ('epochs', 'giga', 'examples_factor', 'macs_factor', 'factor'),
    [(8, 2.00, 11.25, 0.385, 4.3), (11, 0.57, 8.18, 1.351, 11), (24, 0.14, 3.75, 5.5, 21), (4, 0.39, 22.5, 1.974, 44)],
    ids=['GoogLeNet', 'MobileNet v1', 'ShuffleNet v1', 'EfficientNet-b0'],
)
def test_the_papers_table_1(epochs, giga, examples_factor, macs_factor, factor):
    alexnet = d.Cost(examples=90 * 1.28e6, macs_per_example=3 * 0.77e9)
    split = d.decompose(alexnet, d.Cost(examples=epochs * 1.28e6, macs_per_example=3 * giga * 1e9))
    assert split.examples_factor == pytest.approx(examples_factor, rel=1e-3)
    assert split.macs_per_example_factor == pytest.approx(macs_factor, rel=1e-3)
    assert float(f'{split.factor:.2g}') == factor
    assert (split.seconds_factor, split.hardware_factor, split.utilisation_factor) == (None, None, None)


def test_hardware_and_utilisation():
    slow = d.Cost(examples=100, macs_per_example=10, seconds=100, peak_macs_per_second=20)
    fast = d.Cost(examples=50, macs_per_example=10, seconds=5, peak_macs_per_second=400)
    assert (slow.utilisation, fast.utilisation) == (0.5, 0.25)
    split = d.decompose(slow, fast)
    assert (split.seconds_factor, split.factor, split.hardware_factor, split.utilisation_factor) == (20, 2, 20, 0.5)
    assert d.decompose(slow, d.Cost(examples=50, macs_per_example=10, seconds=5)).seconds_factor is None


def test_two_of_three_make_a_cost_and_three_have_to_agree():
    for given_ in ({'examples': 4, 'macs_per_example': 5}, {'examples': 4, 'total_macs': 20}):
        cost = d.Cost(**given_)
        assert (cost.examples, cost.macs_per_example, cost.total_macs) == (4, 5, 20)
    assert d.Cost(macs_per_example=5, total_macs=20).examples == 4
    assert d.Cost(4, 5, 20).total_macs == 20
    with pytest.raises(UserError, match='4 examples of 5 macs are 20 macs, not 21'):
        d.Cost(4, 5, 21)
    with pytest.raises(UserError, match='needs two of'):
        d.Cost(total_macs=20)
    for wrong in (0, -1, math.inf, math.nan):
        with pytest.raises(UserError, match='examples of a cost is positive'):
            d.Cost(wrong, 5)


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
    'steady': [([0.5, 0.8, 0.7], [10, 20, 30], [1, 2, 3]), ([0.5, 0.6, 0.9], [10, 20, 30], [1, 2, 3])],
    'short': [([0.75], [5], [1])],
    'dear': [([0.99], [1000], [1])],
}


def test_a_budget_buys_the_best_accuracy_within_it():
    rows = d.within_budget(CANDIDATES, 25)
    assert [row.name for row in rows] == ['short', 'steady', 'dear']
    short, steady, dear = rows
    assert (short.level, short.epochs, short.macs, short.seeds, short.seeds_ended) == (0.75, 1, 5, 1, 1)
    assert (steady.level, steady.epochs, steady.macs, steady.seeds_ended) == (pytest.approx(0.7), 2, 20, 0)
    assert (dear.level, dear.epochs, dear.macs) == (None, None, None)
    # The best so far, not the last: the first seed stays at its 0.8.
    more = d.within_budget(CANDIDATES, 30)
    assert [row.name for row in more] == ['steady', 'short', 'dear']
    assert (more[0].level, more[0].epochs, more[0].seeds_ended) == (pytest.approx(0.85), 2.5, 2)
    assert d.within_budget(CANDIDATES, 10)[1].level == 0.5


def test_half_of_the_seeds_have_to_say_something():
    seeds = [([0.5], [10], [1]), ([0.6], [100], [1])]
    assert d.within_budget({'a': seeds}, 50)[0].level is None
    assert d.within_budget({'a': [*seeds, ([0.4], [20], [2])]}, 50)[0].level == 0.4


def test_equal_levels_are_ordered_by_compute():
    rows = d.within_budget({'a': [([0.5], [10], [1])], 'b': [([0.5], [5], [1])]}, 50)
    assert [row.name for row in rows] == ['b', 'a']


@pytest.mark.parametrize(
    ('candidates', 'budget', 'says'),
    [
        ({}, 0, 'positive number of macs'),
        ({'a': []}, 1, 'a has no curves'),
        ({'a': [([0.5], [1], [])]}, 1, '0 epochs for 1 macs'),
        ({'a': [([0.5], [1, 2], [1, 2])]}, 1, '1 accuracies for 2 macs'),
    ],
)
def test_what_buys_nothing_says_why(candidates, budget, says):
    with pytest.raises(UserError, match=says):
        d.within_budget(candidates, budget)
