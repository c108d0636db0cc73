"""What a factor would be with other seeds, other images and other moments of looking, on curves made by hand."""

import dataclasses

import pytest

from efficiency.analysis.factors import factors_over
from efficiency.analysis.luck import luck
from efficiency.analysis.measured_tables import over_baseline, seeds_by_rule
from efficiency.analysis.runs import read_runs, shared_targets, systems
from tests.analysis.conftest import saver
from tests.conftest import ROOT


def found_in(runs):
    (target,) = shared_targets(runs)
    order = systems(runs)
    baseline = next(system for system in order if system.name == 'alexnet')
    found = {system: system.crossings(target) for system in order}
    factors = {rule: factors_over(seeds, baseline) for rule, seeds in seeds_by_rule(target, order).items()}
    return luck('t', target, order, baseline, over_baseline(found, baseline), factors)


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
        table, chart = found_in(some)
        assert [each['system'] for each in table.rows] == ['lenet5']
        return table.rows[0] | {'drawn': {series.name: list(series.y) for series in chart.series}}

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


def test_the_figure_has_what_the_worst_of_each_cause_would_leave(row):
    drawn = row(100)['drawn']
    assert drawn['other seeds'] == [1]
    assert drawn['as many other examples'] == drawn['every second evaluation'] == [pytest.approx(2 / 3)]
    # Interpolated it is 5.5 over 1.95; that the third rule leaves no end says nothing of this one.
    assert drawn['what counts as reaching it'] == [pytest.approx(5.5 / 1.95 / 3, rel=0.01)]
    assert drawn['no factor left'][-1] == pytest.approx(1 / 3)


def test_the_page_about_it_has_what_the_kept_records_say():
    runs, _ = read_runs(ROOT / 'results' / 'mnist5k')
    table, _ = found_in([run for run in runs if run.target.value == 0.954 or run.model == 'alexnet'])
    page = (ROOT / 'docs' / 'luck.md').read_text()
    keys = ('system', 'factor_text', 'seeds', 'examples', 'cadence', 'rule')
    assert len(table.rows) == 16
    for found in table.rows:
        assert f'| {" | ".join(found[key] or "-" for key in keys)} |' in page
