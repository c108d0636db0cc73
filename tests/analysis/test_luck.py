"""What a factor would be with other seeds, other images and other moments of looking, on curves made by hand."""

import dataclasses

import pytest

from efficiency.analysis.factors import factors_over
from efficiency.analysis.luck import luck_table
from efficiency.analysis.measured_tables import over_baseline, seeds_by_rule
from efficiency.analysis.runs import read_runs, shared_targets, systems
from tests.analysis.conftest import saver


@pytest.fixture
def row(tmp_path):
    """The row of a system whose two seeds cross 0.8 at the second evaluation, a baseline's at the sixth."""
    save = saver(tmp_path)
    for seed in range(2):
        save(f'a-{seed}', model='alexnet', seed=seed, accuracies=(0.1, 0.2, 0.3, 0.4, 0.75, 0.85, 0.7, 0.9))
        save(f'b-{seed}', model='lenet5', seed=seed, accuracies=(0.6, 0.81, 0.79, 0.9))
    runs, _ = read_runs(tmp_path)

    def of(num_eval):
        some = [dataclasses.replace(run, num_eval=num_eval) for run in runs]
        (target,) = shared_targets(some)
        order = systems(some)
        baseline = next(system for system in order if system.name == 'alexnet')
        found = {system: system.crossings(target) for system in order}
        factors = {rule: factors_over(seeds, baseline) for rule, seeds in seeds_by_rule(target, order).items()}
        table = luck_table('t', target, order, baseline, over_baseline(found, baseline), factors)
        assert [each['system'] for each in table.rows] == ['lenet5']
        return table.rows[0]

    return of


def test_looking_half_as_often_moves_a_crossing(row):
    # At 6 of 1,000 macs over at 2: 3. The odd evaluations are at 1, 3, 5, 7, 8 and 1, 3, 4: 8 over 4; the even ones at
    # 2, 4, 6, 8 and 2, 4: 6 over 2.
    assert row(None)['cadence'] == '2.00 to 3.00'


def test_other_rules_move_it_as_well(row):
    # Interpolated: 5.5 over 1.95; two in a row: neither has them, which leaves that end open.
    assert row(None)['rule'] == '2.82 to 3.00, one end not known'


def test_fewer_images_leave_the_level_less_sure(row):
    assert row(None)['examples'] == '3.00 to 3.00'
    assert row(10**8)['examples'] == '3.00 to 3.00'
    # Of 100 images a standard error is 0.04: at 0.8784 it is 8 over 4, at 0.7216 5 over 2.
    assert row(100)['examples'] == '2.00 to 3.00'


def test_seeds_that_agree_leave_no_doubt(row):
    assert row(None)['seeds'] == '3.00 to 3.00'
