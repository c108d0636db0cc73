"""Gains of parts against systems whose compute is known: independent ones, ones that need each other, missing ones."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

from efficiency.analysis.document import Section
from efficiency.analysis.gains import by_parts, gains, shapley
from efficiency.analysis.gains_section import gains_sections
from efficiency.analysis.page import csv_text, markdown
from efficiency.analysis.runs import Target, read_runs
from efficiency.analysis.survival import Seeds, as_seeds
from efficiency.errors import UserError
from tests.analysis.conftest import BITS

TRUE = {'a': 2.0, 'b': 1.5, 'c': 0.8}


def systems(compute, names='abc', scatter=(1.0,)):
    """Seeds of every combination of parts, of which `compute` says what each takes."""
    found = {}
    for n in range(len(names) + 1):
        for some in itertools.combinations(names, n):
            values = tuple(compute(frozenset(some)) * each for each in scatter)
            found[frozenset(some)] = Seeds(values, (False,) * len(values))
    return found


def independent(parts):
    return 1e12 / math.prod(TRUE[part] for part in parts)


def test_of_parts_that_do_not_interact_all_gains_are_the_true_ones():
    found = gains('plain', systems(independent, scatter=(0.9, 1.0, 1.1)))
    assert [part.name for part in found.parts] == ['a', 'b', 'c']
    for part in found.parts:
        for factor in (part.alone, part.beside, part.shapley):
            assert factor.value == pytest.approx(TRUE[part.name])
            assert factor.low < TRUE[part.name] < factor.high
    assert found.whole.value == pytest.approx(2.4)
    for of in ('alone', 'beside', 'shapley'):
        assert found.product(of) == pytest.approx(2.4)
        assert found.sum(of) == pytest.approx(1 + 1 + 0.5 - 0.2)


def test_two_parts_that_are_worth_something_together_alone_share_it():
    def compute(parts):
        return 1e12 / (4 if {'a', 'b'} <= parts else 1) / (3 if 'c' in parts else 1)

    whole = gains('plain', systems(compute))
    found = {part.name: part for part in whole.parts}
    assert [found[name].alone.value for name in 'abc'] == pytest.approx([1, 1, 3])
    assert [found[name].beside.value for name in 'abc'] == pytest.approx([4, 4, 3])
    assert [found[name].shapley.value for name in 'abc'] == pytest.approx([2, 2, 3])
    assert whole.whole.value == pytest.approx(12)
    assert (whole.product('alone'), whole.product('beside')) == pytest.approx((3, 48))
    # Of one seed there is no interval.
    assert found['a'].shapley.low is found['a'].alone.low is None


def test_shapley_is_the_mean_over_all_orders_and_multiplies_to_the_whole():
    draw = np.random.default_rng(3)
    logs = {frozenset(some): draw.normal() for n in range(5) for some in itertools.combinations('abcd', n)}
    found = shapley('abcd', systems(lambda parts: math.exp(logs[parts]), 'abcd'))
    orders = list(itertools.permutations('abcd'))
    for name in 'abcd':
        saved = [
            logs[frozenset(order[: order.index(name)])] - logs[frozenset(order[: order.index(name) + 1])]
            for order in orders
        ]
        assert math.log(found[name].value) == pytest.approx(np.mean(saved))
    whole = math.exp(logs[frozenset()] - logs[frozenset('abcd')])
    assert math.prod(factor.value for factor in found.values()) == pytest.approx(whole)


def test_intervals_of_shapley_hold_the_truth_about_as_often_as_they_say():
    draw, held = np.random.default_rng(0), 0
    for _ in range(60):
        noisy = {
            some: Seeds(tuple(seeds.values[0] * np.exp(0.2 * draw.normal(size=5))), (False,) * 5)
            for some, seeds in systems(independent).items()
        }
        value = shapley('abc', noisy, draws=200)['a']
        held += value.low < TRUE['a'] < value.high
    assert 50 <= held <= 60


def test_what_was_not_run_or_never_gets_there_is_not_told():
    some = systems(independent)
    del some[frozenset('ab')]
    found = {part.name: part for part in gains('plain', some).parts}
    assert found['a'].shapley is None
    assert found['c'].beside is None  # without which the whole is a and b
    assert found['a'].alone.value == found['a'].beside.value == pytest.approx(2)
    never = systems(lambda parts: math.inf if parts == frozenset('b') else independent(parts))
    found = gains('plain', never)
    assert found.parts[1].alone.value == 0
    assert {part.shapley.value for part in found.parts} == {None}
    assert found.product('shapley') is None
    assert gains('plain', {frozenset(): some[frozenset()], frozenset('a'): some[frozenset('a')]}).whole.value == 2


def test_names_say_which_parts_a_system_has():
    found = by_parts(['plain', 'plain+a', 'plain+b+a', 'other', 'old+x', 'old'])
    assert found == {
        'plain': {frozenset(): 'plain', frozenset('a'): 'plain+a', frozenset('ab'): 'plain+b+a'},
        'old': {frozenset(): 'old', frozenset('x'): 'old+x'},
    }
    with pytest.raises(UserError, match=r'the systems p\+a\+b and p\+b\+a have the same parts'):
        by_parts(['p+a+b', 'p+b+a'])
    with pytest.raises(UserError, match=r'the system p\+a\+a has a part twice'):
        by_parts(['p+a+a'])
    with pytest.raises(UserError, match='no system of plain has parts'):
        gains('plain', {frozenset(): Seeds((1.0,), (False,))})


def saved(save, study='options', **epochs):
    """Runs of a study, two seeds a system: bits a byte fall by one an epoch, from 4, of so many macs each."""
    for system, macs in epochs.items():
        for seed in range(2):
            folder = save(
                f'{system}-{seed}', model='net', seed=seed, metric=BITS, target=2.5, accuracies=(4.0, 3.0, 2.0),
                macs_per_epoch=macs, parts=system,
            )  # fmt: skip
    return folder


def test_a_report_has_the_gains_of_a_study_whose_names_say_them(save):
    folder = saved(save, **{'plain': 1200, 'plain+a': 600, 'plain+b': 1200, 'plain+a+b': 300})
    runs = [_of_study(run) for run in read_runs(folder)[0]]
    target = Target('data', 'f' * 8, BITS, 2.5)
    (section,) = gains_sections('t', target, runs)
    assert isinstance(section, Section)
    (table,) = section.tables
    rows = {row['part']: row for row in table.rows}
    assert [rows[part]['alone'] for part in 'ab'] == pytest.approx([2, 1])
    assert [rows[part]['beside'] for part in 'ab'] == pytest.approx([4, 2])
    assert rows['a']['shapley'] == pytest.approx(math.sqrt(8))
    assert rows['all together']['alone'] == pytest.approx(4)
    assert rows['all, as the product of these']['alone'] == pytest.approx(2)
    assert rows['all, as their sum']['beside'] == pytest.approx(5)
    assert 'Together they are worth 4.00, more than the 2.00 of each alone' in section.text[-1]
    assert 'plain' in csv_text(table) or 'shapley' in csv_text(table)
    assert 'Gains: options' in markdown('title', [section])
    # Without a study, or of names without parts, there is nothing to tell.
    assert gains_sections('t', target, read_runs(folder)[0]) == []
    assert gains_sections('t', target, [run for run in runs if run.system == 'plain']) == []


def test_names_that_say_no_parts_cost_a_report_nothing_else(save):
    folder = saved(save, **{'plain': 1200, 'plain+a': 600, 'plain+a+a': 300})
    runs = [_of_study(run) for run in read_runs(folder)[0]]
    whole = [dataclasses.replace(run, study='whole') for run in runs if run.system != 'plain+a+a']
    refused, told = gains_sections('t', Target('data', 'f' * 8, BITS, 2.5), runs + whole)
    assert refused.text == ['None are given: the system plain+a+a has a part twice.']
    assert (refused.tables, len(told.tables)) == ((), 1)


def _of_study(run):
    return dataclasses.replace(run, study='options', system=run.config['parts'])


def test_one_part_is_worth_what_it_is_worth(save):
    folder = saved(save, **{'plain': 1200, 'plain+a': 600})
    runs = [_of_study(run) for run in read_runs(folder)[0]]
    (section,) = gains_sections('t', Target('data', 'f' * 8, BITS, 2.5), runs)
    assert section.text[-1] == '2 systems of 2 that one part can make: a.'


def test_parts_that_lose_more_than_all_have_no_sum():
    took = {(): 1.0, ('a',): 5.0, ('b',): 5.0, ('a', 'b'): 30.0}
    found = gains('plain', {frozenset(parts): as_seeds([value]) for parts, value in took.items()})
    assert found.product('alone') == pytest.approx(0.04)
    assert found.sum('alone') is None
