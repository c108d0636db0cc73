"""Two of a kind are compared at one level, whichever is named first, and what cannot be compared is one sentence."""

import json
import math
import os
import statistics

import pytest

from efficiency.analysis.pair import pair_section
from efficiency.analysis.runs import read_runs
from efficiency.errors import UserError
from efficiency.published.points import points
from tests.analysis.conftest import make_record
from tests.conftest import ROOT

RESULTS = ROOT / 'results' / 'mnist5k'


def compared(a, b, folder=None, *levels):
    """The rows of the last level's table by their cause, and the section's text."""
    runs = read_runs(folder)[0] if folder else []
    section = pair_section((str(a), str(b)), runs, [f'top1:{level}' for level in levels])
    rows = {row['cause'].split(':')[0].split(' (')[0]: row for row in section.tables[-1].rows}
    return rows, ' '.join(section.text)


def refused(a, b, folder=None, *levels):
    with pytest.raises(UserError) as error:
        compared(a, b, folder, *levels)
    assert '\n' not in str(error.value)
    return str(error.value)


@pytest.fixture
def runs(save):
    """Two systems of three and of five seeds, an evaluation an epoch of 100 examples."""
    for seed in range(3):
        save(f'old-{seed}', model='old', seed=seed, accuracies=(0.1, 0.5, 0.7, 0.8 + seed / 20, 0.95), target=0.8)
    for seed in range(5):
        curve = (0.5, 0.85) if seed < 3 else (0.5, 0.6, 0.85)
        folder = save(
            f'new-{seed}', model='new', seed=seed, accuracies=curve, macs_per_epoch=500, target=0.8, stop=True
        )
    return folder


def test_systems_are_compared_by_their_medians_with_intervals_and_exchanged_sides_are_the_inverse(runs):
    there, text = compared('old', 'new', runs)
    back, _ = compared('new', 'old', runs)
    # By hand: 4 epochs of 1000 against the median of 2, 2, 2, 3, 3 epochs of 500.
    assert there['examples']['factor'] == 4 / 2
    assert there['macs an example']['factor'] == 1000 / 500
    assert there['both']['factor'] == 4000 / 1000
    assert (there['both']['factor_low'], there['both']['factor_high']) == (4000 / 1500, 4000 / 1000)
    assert there.keys() == back.keys()
    assert len(there) == 6
    for cause, row in there.items():
        other = back[cause]
        assert row['factor'] == pytest.approx(1 / other['factor'])
        assert row['factor_low'] == pytest.approx(1 / other['factor_high'])
        assert row['factor_high'] == pytest.approx(1 / other['factor_low'])
    assert 'old (3 seeds) against new (5 seeds), both to top1 >= 0.8 on data' in text


def test_the_committed_systems_are_those_of_the_measured_table():
    rows, _ = compared('alexnet', 'lenet5', RESULTS)

    def median(name):
        macs = []
        for path in (RESULTS / name).glob('*.json'):
            curve = json.loads(path.read_text())['curve']
            macs.append(next((p['train_macs'] for p in curve if p['top1'] >= 0.954), math.inf))
        return statistics.median(macs)

    assert rows['both']['factor'] == pytest.approx(median('alexnet') / median('lenet5'))


def test_the_level_asked_for_is_that_of_both(runs):
    rows, text = compared('old', 'new', runs, 0.5)
    assert rows['examples']['factor'] == 2
    assert 'both to top1 >= 0.5 on data' in text
    # Records need no folder of runs, and levels may be several.
    rows, text = compared(runs / 'old-0', runs / 'new-0', None, 0.5, 0.7)
    assert rows['examples']['factor'] == 3 / 2
    assert 'both to top1 >= 0.5 on data' in text
    assert 'both to top1 >= 0.7 on data' in text


def test_runs_that_were_stopped_before_the_level_are_a_bound_and_are_said(runs):
    there, text = compared('old', 'new', runs, 0.95)
    back, _ = compared('new', 'old', runs, 0.95)
    assert there['both']['factor_bound'] == 'or less'
    assert back['both']['factor_bound'] == 'or more'
    assert 'they take what they spent or more: 5 of 5 runs of new' in text
    record, text = compared(runs / 'old-0', runs / 'new-0', None, 0.95)
    assert record['examples']['factor'] == 5 / 2
    assert '1 of 1 run of new, seed 0' in text
    assert record['both']['factor_text'] == '5.00 or less [one seed: not known]'


def test_without_a_level_it_is_the_highest_that_either_was_trained_to(save):
    save('a', model='a', accuracies=(0.6, 0.9), target=0.8)
    folder = save('b', model='b', accuracies=(0.6, 0.7, 0.9), target=0.5)
    for pair in (('a', 'b'), ('b', 'a')):
        assert 'both to top1 >= 0.8' in compared(*(folder / name for name in pair))[1]


def test_a_run_and_a_point_of_the_ledger_are_compared_by_what_the_ledger_counts(save, tmp_path):
    point = next(point for point in points() if point.id == 'hb2020-table3-alexnet')
    record = make_record(model='net', accuracies=(0.5, 0.9))
    record['dataset']['name'] = 'imagenet2012'
    for each in (*record['curve'], record['first_crossing'], record['interpolated_crossing']):
        each['paper_macs'] = 30 * each['examples']
        if 'top5' in each:
            each['top5'] = each['top1']
    record['final'] = record['curve'][-1]
    record['target'] = record['config']['target'] = {'metric': 'top5', 'value': 0.791}
    path = tmp_path / 'net.json'
    path.write_text(json.dumps(record))
    rows, text = compared(point.id, path)
    assert rows['examples']['factor'] == pytest.approx(90 * 1.28e6 / 200)
    assert rows['macs an example']['factor'] == pytest.approx(3 * point.macs_per_example / 30, rel=1e-6)
    assert '3 x forward dense macs x examples' in text
    assert 'the ledger says nothing' in refused(point.id, path, None, 0.5)
    other = save('other', model='other') / 'other'
    assert 'is of imagenet-top5-79.1 and other, seed 0 of data' in refused(point.id, other)


def test_what_cannot_be_compared_is_one_sentence(runs, save, tmp_path):
    assert 'the nearest are old' in refused('olld', 'new', runs)
    assert 'no system of the runs' in refused('new', tmp_path / 'absent.json', runs)
    assert 'does not reach top1 >= 0.99' in refused('new', 'old', runs, 0.99)
    os.mkfifo(tmp_path / 'pipe.json')
    assert 'no regular file' in refused(tmp_path / 'pipe.json', 'old', runs)
    (tmp_path / 'list.json').write_text('[]')
    assert 'not a run record' in refused(tmp_path / 'list.json', 'old', runs)
    (tmp_path / 'running.json').write_text(json.dumps(make_record() | {'status': 'running'}))
    assert 'its status is running' in refused(tmp_path / 'running.json', 'old', runs)
    save('five', model='five', target=0.9)
    six = make_record(model='six')
    six['target'] = six['config']['target'] = {'metric': 'top5', 'value': 0.9}
    six['first_crossing'] = {key: six['curve'][0][key] for key in six['first_crossing']}
    (tmp_path / 'six.json').write_text(json.dumps(six))
    assert 'say which with --target' in refused(runs / 'five', tmp_path / 'six.json')


def test_a_name_that_is_on_several_data_sets_is_asked_about_unless_the_other_side_tells(runs, save):
    for name in ('old', 'new'):
        record = make_record(model=name)
        record['dataset']['fingerprint'] = 'e' * 8
        (runs / f'other-{name}.json').write_text(json.dumps(record))
    assert 'pass --runs of one of them' in refused('old', 'new', runs)
    _, text = compared('old', runs / 'new-0', runs)
    assert 'old (3 seeds) against' in text
