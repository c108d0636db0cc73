"""A submission is accepted whole, or everything that is wrong with it is said."""

import csv
import json

import pytest

from efficiency import report
from efficiency.analysis.submission import check
from efficiency.errors import UserError
from efficiency.published.points import POINT_COLUMNS, POINTS_FILE
from tests.conftest import ROOT

RECORD = ROOT / 'results' / 'mnist5k' / 'lenet5' / 'seed0.json'


def changed(tmp_path, **content):
    path = tmp_path / 'run.json'
    path.write_text(json.dumps(json.loads(RECORD.read_text()) | content))
    return path


def test_a_record_of_ours_is_accepted():
    assert check(RECORD) == []


@pytest.mark.parametrize(
    ('key', 'word'),
    [('paper_macs', 'forward dense macs'), ('train_macs', 'steps x'), ('examples', 'examples')],
)
def test_compute_that_is_not_macs_times_examples_is_said(tmp_path, key, word):
    record = json.loads(RECORD.read_text())
    for point in (*record['curve'], record['final'], record['first_crossing']):
        point[key] = point[key] // 2
    path = tmp_path / 'run.json'
    path.write_text(json.dumps(record))
    assert any(word in problem for problem in check(path))


def test_a_record_that_missed_its_target_or_has_no_code_is_said(tmp_path):
    target = {'metric': 'top1', 'value': 0.99}
    path = changed(
        tmp_path, target=target, status='exhausted', first_crossing=None, interpolated_crossing=None, git=None
    )
    assert [problem.split(': ')[1].split(',')[0] for problem in check(path)] == [
        'no evaluation meets the target',
        'git does not name the code that ran; commit it and run again',
    ]


def test_a_file_that_is_no_record_is_said(tmp_path):
    path = tmp_path / 'x.json'
    path.write_text('{"schema_version": 1}')
    assert 'missing' in check(path)[0]
    with pytest.raises(UserError, match='no file'):
        check(tmp_path / 'absent.json')


def rows(tmp_path, **change):
    """A row of the ledger under another name, changed."""
    with open(POINTS_FILE, newline='') as file:
        row = next(row for row in csv.DictReader(file) if row['id'] == 'hb2020-table3-resnet50')
    path = tmp_path / 'rows.csv'
    with open(path, 'w', newline='') as file:
        writer = csv.DictWriter(file, POINT_COLUMNS)
        writer.writeheader()
        writer.writerow(row | {'id': 'mine'} | change)
    return path


def test_a_row_is_accepted(tmp_path, capsys):
    path = rows(tmp_path)
    assert check(path) == []
    assert report.main([f'--check_submission={path}']) == 0
    assert 'nothing is wrong' in capsys.readouterr().out


@pytest.mark.parametrize(
    'change',
    [
        {'source': ''},
        {'epochs': ''},
        {'epochs': '80'},
        {'macs_convention': 'flops'},
        {'printed_convention': ''},
        {'target': 'imagenet-top5-79'},
        {'dense_macs': '', 'tfs_days_macs': '', 'basis': 'none', 'note': 'unknown'},
        {'id': 'hb2020-table3-resnet50'},
        {'macs_per_example': '3.86e9', 'dense_macs': '1.186e17', 'tfs_days_macs': '1.373'},
        {'published': '10/12/2015'},
    ],
    ids='-'.join,
)
def test_a_row_that_lacks_something_is_said(tmp_path, capsys, change):
    path = rows(tmp_path, **change)
    problems = check(path)
    column = next(iter(change))
    assert any(f'column {column}' in problem for problem in problems) or column == 'epochs'
    assert report.main([f'--check_submission={path}']) == 1
    assert capsys.readouterr().err.count('efficiency: ') == len(problems) > 0
