"""Tuning is billed and marked, and is part of nothing else."""

import csv
import json

import pytest

from efficiency import records, report
from tests.analysis.conftest import make_record


def kept(folder, system, role, seed, accuracies, macs, **config):
    """A record of 10 steps an evaluation as a study keeps it."""
    record = make_record(seed=seed, accuracies=accuracies, macs_per_epoch=macs, **config)
    record['study'] = {'name': 'rates', 'system': system, 'role': role}
    records.validate(record)
    path = folder / system / f'seed{seed}.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))


def table(out, name):
    (path,) = out.glob(f'tables/{name}')
    with open(path, newline='') as file:
        return list(csv.DictReader(file))


@pytest.fixture
def out(tmp_path):
    """The report on a baseline, a system under a chosen rate, and the runs that it was chosen by."""
    runs = tmp_path / 'runs'
    kept(runs, 'tuned-0.2', 'tuning', 2, (0.9,), 100, learning_rate=0.2)
    kept(runs, 'tuned-0.3', 'tuning', 0, (0.1, 0.2, 0.3), 100, learning_rate=0.3)
    kept(runs, 'tuned-0.1', 'tuning', 0, (0.85,), 100, learning_rate=0.1)
    kept(runs, 'plain', 'baseline', 0, (0.1, 0.9), 1000, learning_rate=0.1)
    kept(runs, 'tuned', 'compared', 0, (0.9, 0.95), 400, learning_rate=0.2)
    out = tmp_path / 'out'
    assert report.main([f'--runs={runs}', f'--out={out}']) == 0
    return out


def test_factors_are_over_the_studys_baseline_and_know_of_no_tuning(out):
    rows = {row['system']: row for row in table(out, 'systems-*')}
    assert {name: (row['seeds'], row['train_factor']) for name, row in rows.items()} == {
        'net (learning_rate=0.1)': ('1', '1.0'),
        'net (learning_rate=0.2)': ('1', '5.0'),
    }
    assert len(table(out, 'runs-*')) == 2


def test_the_bill_is_of_all_steps_and_evaluations_tuning_apart(out):
    rows = {row['what']: row for row in table(out, 'bill.csv')}
    # Two epochs of 1,000 macs and two of 400; 100 macs of evaluation each.
    assert (rows['systems']['runs'], rows['systems']['train_dense_macs']) == ('2', '2800')
    assert rows['systems']['evaluation_dense_macs'] == '200'
    assert (rows['tuning']['runs'], rows['tuning']['train_dense_macs']) == ('3', '500')
    assert (rows['all']['runs'], rows['all']['train_dense_macs']) == ('5', '3300')
    days = (3300 + 500) / (1e12 * 86400)
    assert float(rows['all']['tfs_days_macs']) == pytest.approx(days)


def test_tuning_runs_are_marked(out):
    marked = [(row['study'], row['system'], row['seed']) for row in table(out, 'tuning.csv')]
    assert marked == [('rates', 'tuned-0.1', '0'), ('rates', 'tuned-0.2', '2'), ('rates', 'tuned-0.3', '0')]
    assert '3 runs were tuning' in (out / 'report.md').read_text()
    assert '0 files left out' in (out / 'report.md').read_text()


def test_a_folder_of_nothing_but_tuning_is_a_bill(tmp_path):
    kept(tmp_path / 'runs', 'a', 'tuning', 0, (0.9,), 100)
    assert report.main([f'--runs={tmp_path / "runs"}', f'--out={tmp_path / "out"}']) == 0
    assert [row['what'] for row in table(tmp_path / 'out', 'bill.csv')] == ['tuning']
    assert not list(tmp_path.glob('out/tables/systems-*'))
