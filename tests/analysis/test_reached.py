"""Shares that are there within so much compute, by hand and by their definitions."""

import dataclasses
import math
import pathlib

import numpy as np
import pytest

from efficiency.analysis.reached import performance_profile, profile_section, reached_over_compute, reached_shares
from efficiency.analysis.runs import read_runs, shared_targets
from efficiency.analysis.survival import Seeds
from tests.analysis.conftest import saver


def test_without_stopped_seeds_it_is_their_distribution():
    assert reached_shares([4.0, 2.0, math.inf, 2.0]) == ([2.0, 4.0], [0.5, 0.75])


def test_stopped_seeds_count_until_they_were_stopped():
    # Kaplan and Meier's product by hand: 4/5; then the seed stopped at 3 is no more at risk, so 2/3 and 1/2 of it.
    seeds = Seeds((2.0, 3.0, 4.0, 5.0, 6.0), (False, True, False, False, True))
    places, shares = reached_shares(seeds)
    assert places == [2.0, 4.0, 5.0, 6.0]
    np.testing.assert_allclose(shares, [1 / 5, 1 - 4 / 5 * 2 / 3, 1 - 4 / 5 * 1 / 3, 1 - 4 / 5 * 1 / 3])


def test_a_seed_that_is_stopped_where_another_gets_there_was_still_on_its_way():
    assert reached_shares(Seeds((2.0, 2.0), (False, True)))[1] == [0.5]


def test_a_line_ends_where_a_stopped_seed_leaves_it_unknown():
    seeds = {
        'all': Seeds((1.0, 2.0, 4.0), (False,) * 3),
        'stopped': Seeds((1.0, 2.0, 3.0), (False, False, True)),
        'never': Seeds((math.inf,) * 3, (False,) * 3),
        'one': Seeds((1.0,), (False,)),
    }
    chart = reached_over_compute('r', 'R', seeds, 'Shares.')
    ends = {series.name: (series.x[-1], series.y[-1]) for series in chart.series}
    assert ends == {'all': (6.0, 1.0), 'stopped': (3.0, pytest.approx(2 / 3))}
    assert chart.text == (
        'Shares. Not drawn, as no seed is known to get there: never. With fewer than 3 seeds, and so without a line: '
        'one.'
    )
    assert reached_over_compute('r', 'R', {'one': seeds['one']}, '') is None


def test_a_profile_is_that_of_dolan_and_more():
    medians = {
        'p': {'a': 1.0, 'b': 2.0, 'c': math.inf},
        'q': {'a': 30.0, 'b': 10.0, 'c': 10.0},
        'r': {'a': math.inf, 'b': 5.0, 'c': 20.0},
        's': dict.fromkeys('abc', math.inf),
    }
    assert performance_profile(medians) == {
        'a': ([1.0, 3.0], [0.25, 0.5]),
        'b': ([1.0, 2.0], [0.5, 0.75]),
        'c': ([1.0, 4.0], [0.25, 0.5]),
    }


def test_a_report_over_two_data_sets_has_the_profile_of_what_both_have(tmp_path):
    save = saver(tmp_path)
    for seed, data in enumerate(('one', 'two')):
        for model, macs in (('alexnet', 1000), ('lenet5', 500 if data == 'one' else 3000)):
            save(f'{data}-{model}', model=model, seed=seed, accuracies=(0.9,), macs_per_epoch=macs)
    save('one-vgg11', model='vgg11', accuracies=(0.9,))
    runs, _ = read_runs(tmp_path)
    runs = [
        dataclasses.replace(run, target=dataclasses.replace(run.target, dataset=pathlib.Path(run.path).parent.name[:3]))
        for run in runs
    ]
    section = profile_section(shared_targets(runs), runs)
    rows = {row['system']: row for row in section.tables[0].rows}
    assert set(rows) == {'alexnet', 'lenet5'}
    assert (rows['alexnet']['best_on'], rows['lenet5']['best_on']) == (1, 1)
    assert sorted(value for row in rows.values() for key, value in row.items() if 'one' in key or 'two' in key) == [
        1.0, 1.0, 2.0, 3.0,
    ]  # fmt: skip
    one_set = [run for run in runs if run.target.dataset == 'one']
    assert profile_section(shared_targets(one_set), one_set) is None


def test_two_data_sets_of_one_name_are_two(tmp_path):
    save = saver(tmp_path)
    for data in ('one', 'two'):
        for model, macs in (('alexnet', 1000), ('lenet5', 500 if data == 'one' else 3000)):
            save(f'{data}-{model}', model=model, seed=int(data == 'two'), accuracies=(0.9,), macs_per_epoch=macs)
    runs, _ = read_runs(tmp_path)
    runs = [
        dataclasses.replace(
            run, target=dataclasses.replace(run.target, fingerprint=pathlib.Path(run.path).parent.name[:3])
        )
        for run in runs
    ]
    section = profile_section(shared_targets(runs), runs)
    assert section.text == ['2 data sets, 2 systems on all of them.']
    assert [row['best_on'] for row in section.tables[0].rows] == [1, 1]
