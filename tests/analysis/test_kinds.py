"""A report says of runs of any metric what it says of accuracies: one folder of all kinds, each target apart."""

import csv
import json
import math
import os

import numpy as np
import pytest

from efficiency import report
from efficiency.analysis.axes import axis_of
from efficiency.analysis.decompose import within_budget
from efficiency.analysis.pair import pair_section
from efficiency.analysis.plots import factor_over_level, level_over_compute
from efficiency.analysis.runs import read_runs, shared_targets
from efficiency.errors import UserError
from efficiency.metrics import OF_CLASSES
from efficiency.studies.choice import best_median_final, lowest_median_compute
from tests.analysis.conftest import BITS, BLEU, MSE, RETURN, TOP1, TOP5, make_record, saver

# Values an epoch of a slow system and of one that is there in half the epochs, and the target between.
CURVES = {
    BLEU: ([5.0, 20.0, 25.0, 27.0, 28.0, 29.0], [18.0, 26.0, 28.0], 27.3),
    BITS: ([4.0, 2.0, 1.6, 1.3, 1.2, 1.15], [2.2, 1.4, 1.1], 1.25),
    RETURN: ([-900.0, -500.0, -300.0, -200.0, -140.0, -120.0], [-600.0, -180.0, 20.0], -150.0),
    MSE: ([10.0, 1.0, 0.1, 0.01, 3e-3, 2e-3], [0.5, 0.02, 0.0], 5e-3),
    TOP1: ([0.1, 0.5, 0.7, 0.8, 0.9, 0.95], [0.6, 0.8, 0.96], 0.85),
}
SLOW, FAST = 'slow', 'fast'
DATES = {SLOW: '2012-06-01', FAST: '2015-12-10'}


def record_of(metric, model, seed, values, target, **more):
    record = make_record(model=model, seed=seed, accuracies=values, target=target, metric=metric, **more)
    record['dataset']['name'] = f'data of {metric.name}'
    record['published'] = DATES.get(model)
    return record


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    runs = tmp_path_factory.mktemp('runs')
    for metric, (slow, fast, target) in CURVES.items():
        for model, values in ((SLOW, slow), (FAST, fast)):
            for seed in range(3):
                (runs / f'{metric.name}-{model}-{seed}.json').write_text(
                    json.dumps(record_of(metric, model, seed, values, target))
                )
    return runs


@pytest.fixture(scope='module')
def out(folder, tmp_path_factory):
    made = tmp_path_factory.mktemp('report')
    assert report.main([f'--runs={folder}', f'--out={made}', '--budget_macs=2000', '--target=bleu:27.3',
                        '--target=bits_per_byte:1.25', '--target=return:-150', '--target=mse:0.005',
                        '--target=top1:0.85']) == 0  # fmt: skip
    return made


def table(out, name):
    (path,) = out.glob(f'tables/{name}')
    with open(path, newline='') as file:
        return list(csv.DictReader(file))


def test_without_a_question_each_target_is_reported_apart(folder):
    runs, left_out = read_runs(folder)
    assert not left_out
    assert {(target.metric, target.value) for target in shared_targets(runs)} == {
        (metric, target) for metric, (*_, target) in CURVES.items()
    }


@pytest.mark.parametrize('metric', CURVES, ids=lambda metric: metric.name)
def test_each_has_its_section_with_the_factor_by_hand(out, metric):
    rows = {row['system']: row for row in table(out, f'systems-data_of_{metric.name}-*')}
    # There in the fifth epoch, and in the third.
    assert [float(rows[name]['train_macs']) for name in (SLOW, FAST)] == [5000, 3000]
    assert float(rows[FAST]['train_factor']) == pytest.approx(5 / 3)
    assert [float(rows[name]['final']) for name in (SLOW, FAST)] == [CURVES[metric][i][-1] for i in (0, 1)]
    target = CURVES[metric][2]
    levels = [float(row['level']) for row in table(out, f'sensitivity-data_of_{metric.name}-*')]
    assert target in levels
    assert len(levels) > 5
    assert all(metric.is_level(level) for level in levels)
    page = (out / 'report.md').read_text().replace('\\', '')
    assert f'Measured: {metric.goal(target)} on data of {metric.name}' in page
    assert f'final {metric.noun}' in page
    side = 'at or above the level' if metric.rises else 'at or below the level'
    assert side in page


def test_a_budget_buys_the_best_by_the_metrics_direction(out):
    tables = [table(out, f'budget-{i}.csv') for i in range(len(CURVES))]
    found = [[(row['system'], float(row['level'])) for row in rows] for rows in tables]
    assert [[name for name, _ in rows] for rows in found] == [[FAST, SLOW]] * len(CURVES)
    by_name = sorted(CURVES, key=lambda metric: f'data of {metric.name}')
    assert [[level for _, level in rows] for rows in found] == [
        [CURVES[metric][1][1], CURVES[metric][0][1]] for metric in by_name
    ]


def test_every_figure_is_drawn(out):
    names = {path.name for path in out.glob('figures/*.png')}
    for metric in CURVES:
        assert any(name.startswith(f'{metric.noun}-over-compute-data_of_{metric.name}') for name in names)
        assert any(name.startswith(f'sensitivity-data_of_{metric.name}') for name in names)


def test_axes_are_of_errors_where_accuracies_are_squeezed_and_never_of_what_is_negative():
    def drawn(metric, values, target):
        epochs = np.array([1.0, 2.0, 3.0])
        curve = {'train_macs': epochs, 'epochs': epochs, metric.name: np.array(values, float)}
        return level_over_compute('c', 'C', metric, {'net': curve}, target, 'Text.')

    shares = drawn(TOP1, [0.5, 0.9, 1.0], 0.99)
    assert (shares.log_y, shares.percent_y, shares.y_label) == (True, True, 'top1 error, 1 - top1')
    assert shares.series[0].y == [0.5, pytest.approx(0.1), None]
    assert shares.series[1].y == [pytest.approx(0.01)] * 2
    assert shares.series[0].hover[1].startswith('net\n0.9000 top1 after 2 epochs')
    assert shares.text == 'Text. A line is broken where the axis has no place for its value, 1.'
    returns = drawn(RETURN, [-900, -150, 20], -150)
    assert (returns.log_y, returns.percent_y, returns.y_label) == (False, False, 'return')
    assert [series.y for series in returns.series] == [[-900, -150, 20], [-150, -150]]
    bits = drawn(BITS, [4, 2, 1], 1.2)
    assert (bits.log_y, bits.percent_y, bits.y_label) == (True, False, 'bits_per_byte, bits per byte')
    # A share that is 1 nearly everywhere has no error to draw.
    assert not drawn(TOP5, [0.99, 1.0, 1.0], 1.0).log_y
    assert axis_of(BLEU, [1, 99]).is_log is False
    assert not factor_over_level('f', 'F', TOP1, [], 0.9, '').series


def test_budgets_of_falling_and_negative_metrics_by_hand():
    def level(metric, *seeds, budget=25):
        (row,) = within_budget(
            {'a': [(values, [10, 20, 30], [1, 2, 3], stop) for values, stop in seeds]}, metric, budget
        )
        return row.level, row.level_is_bound

    assert level(BITS, ([3.0, 1.5, 1.0], False)) == (1.5, False)
    assert level(BITS, ([1.5, 3.0, 1.0], False)) == (1.5, False)  # the best, not the last
    assert level(BITS, ([3.0, 2.0, 1.0], False), ([3.0, 1.0, 0.5], False)) == (1.5, False)
    assert level(RETURN, ([-300.0, -200.0, 0.0], False), ([-300.0, -100.0, 0.0], False)) == (-150, False)
    # Stopped at 1.0 with budget left: that or less.
    assert level(BITS, ([3.0, 2.0, 1.0], True), budget=50) == (1.0, True)
    assert level(BITS, ([3.0, 2.0, 1.0], True), ([3, 2, 1.2], False), ([3, 2, 0.9], False), budget=50) == (0.9, False)
    rows = within_budget({name: [([value], [10], [1], False)] for name, value in (('a', 2.0), ('b', 1.0))}, BITS, 50)
    assert [row.name for row in rows] == ['b', 'a']
    # A seed without an evaluation so early is worse than any, of negative values too.
    seeds = [([-5.0], [10], [1], False), ([-7.0], [10], [1], False), ([-1.0], [99], [1], False)]
    assert within_budget({'a': seeds}, RETURN, 50)[0].level == -7


def test_a_pair_of_records_is_compared_at_the_harder_target_of_its_own_metric(folder, tmp_path):
    for metric, (slow, fast, target) in CURVES.items():
        easier = target - 0.1 * abs(target) if metric.rises else target * 1.1
        paths = []
        for model, values, goal in ((SLOW, slow, easier), (FAST, fast, target)):
            paths.append(tmp_path / f'{metric.name}-{model}.json')
            paths[-1].write_text(json.dumps(record_of(metric, model, 0, values, goal)))
        for sides in (paths, paths[::-1]):
            section = pair_section([os.fspath(path) for path in sides], [], [])
            assert f'both to {metric.goal(target)} on data of {metric.name}' in section.text[0]
        section = pair_section([os.fspath(path) for path in paths], [], [f'{metric.name}:{target}'])
        assert section.tables[0].rows[0]['factor'] == pytest.approx(5 / 3)
        with pytest.raises(UserError, match='there is no metric other'):
            pair_section([os.fspath(path) for path in paths], [], ['other:1'])


def test_two_that_were_evaluated_by_nothing_in_common_are_not_compared(tmp_path):
    for metric, model in ((BLEU, 'a'), (BITS, 'b')):
        record = record_of(metric, model, 0, *CURVES[metric][1:])
        record['dataset']['name'] = 'data'
        (tmp_path / f'{model}.json').write_text(json.dumps(record))
    with pytest.raises(UserError, match='evaluated by no metric that is the same for both'):
        pair_section([os.fspath(tmp_path / f'{model}.json') for model in 'ab'], [], [])


def test_of_one_recipe_and_seed_to_two_targets_the_longer_run_stands_for_both(tmp_path):
    save = saver(tmp_path / 'runs')
    for seed in range(2):
        save(f'b-short-{seed}', model='a', seed=seed, accuracies=(0.5, 0.7), target=0.6, stop=True)
        save(f'a-long-{seed}', model='a', seed=seed, accuracies=(0.5, 0.7, 0.9), target=0.8, stop=True)
    save('c-long', model='b', accuracies=(0.5, 0.7, 0.9), target=0.8, stop=True)
    folder = save('d-short', model='b', accuracies=(0.5, 0.7), target=0.6, stop=True)
    runs, left_out = read_runs(folder)
    assert [(run.model, run.seed, len(run.curve['epochs'])) for run in runs] == [('a', 0, 3), ('a', 1, 3), ('b', 0, 3)]
    assert all('-short' in entry.path for entry in left_out)
    assert all('is of the same recipe and seed as' in entry.reason for entry in left_out)
    assert len(left_out) == 3
    # What the shorter were trained to is asked of the longer.
    assert [target.value for target in shared_targets(runs)] == [0.6, 0.8]


def test_one_name_for_two_metrics_on_one_data_set_is_left_out_with_its_reason(tmp_path):
    percent = type(BLEU)('bleu', 'share', True, 0, 1)
    for name, metric, values, target in (('a', BLEU, (20.0, 30.0), 25), ('b', percent, (0.2, 0.3), 0.25)):
        (tmp_path / f'{name}.json').write_text(json.dumps(make_record(name, 0, values, 1000, target, metric=metric)))
    runs, left_out = read_runs(tmp_path)
    assert [run.model for run in runs] == ['a']
    assert f'has another metric named bleu than {tmp_path / "a.json"}, in its unit' in left_out[0].reason


def test_a_run_whose_values_are_not_finite_is_left_out_with_its_reason(tmp_path):
    for i, value in enumerate((math.nan, math.inf, -math.inf)):
        record = record_of(BITS, 'a', i, [2.0, 1.0], 1.5)
        record['curve'][0]['bits_per_byte'] = value
        (tmp_path / f'{i}.json').write_text(json.dumps(record))
    runs, left_out = read_runs(tmp_path)
    assert not runs
    assert all('curve[0].bits_per_byte is' in entry.reason for entry in left_out)


def test_a_study_chooses_by_the_metrics_direction_and_never_a_run_that_failed():
    def never(metric, *finals):
        target = 0 if metric is BITS else 1e6
        return [
            make_record(seed=i, accuracies=(final,), target=target, metric=metric) for i, final in enumerate(finals)
        ]

    for metric, better, worse in ((BITS, 1.0, 2.0), (RETURN, -100.0, -200.0), (RETURN, 5.0, -5.0)):
        failed = [record | {'status': 'failed'} for record in never(metric, better)]
        for rule in (lowest_median_compute, best_median_final):
            assert rule({'worse': never(metric, worse), 'better': never(metric, better)}) == 'better'
            assert rule({'failed': failed, 'worse': never(metric, worse)}) == 'worse'
        # The one that is there first need not end best.
        early = [make_record(seed=0, accuracies=(worse, worse), target=worse, metric=metric)]
        late = [make_record(seed=0, accuracies=(worse, better), target=worse, metric=metric)]
        assert best_median_final({'early': early, 'late': late}) == 'late'
    assert OF_CLASSES['top1'] is TOP1
