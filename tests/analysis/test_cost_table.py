"""Time, money and energy stand beside compute, by a list with a date that anybody can replace."""

import dataclasses

import pytest

from efficiency.analysis.cost_table import cost_table
from efficiency.analysis.runs import read_runs, shared_targets, systems
from efficiency.errors import UserError
from efficiency.published.prices import COLUMNS, prices
from tests.analysis.conftest import saver

HEAD = ','.join(COLUMNS)


def listed(tmp_path, *lines):
    path = tmp_path / 'prices.csv'
    path.write_text('\n'.join([HEAD, *lines]) + '\n')
    return path


def test_every_row_of_ours_has_a_source_and_a_date():
    ours = prices()
    assert 'cpu' in ours
    for price in ours.values():
        assert price.source.startswith('https://')
        assert price.usd_per_hour > 0
        assert price.watts > 0


def test_device_hours_are_priced(tmp_path):
    save = saver(tmp_path / 'runs')
    for seed in range(3):
        # Two seconds an evaluation, three of them to the target: on one device.
        save(f'a-{seed}', model='alexnet', seed=seed, accuracies=(0.1, 0.2, 0.9))
    save('never', model='lenet5', accuracies=(0.1,))
    runs, _ = read_runs(tmp_path / 'runs')
    (target,) = shared_targets(runs)
    found = {system: system.crossings(target) for system in systems(runs)}
    table = cost_table('t', found, prices(listed(tmp_path, 'cpu,a machine,3.6,1000,2026-01-01,https://example.org')))
    rows = {row['system']: row for row in table.rows}
    assert rows['alexnet']['seconds'] == 6
    assert rows['alexnet']['usd'] == pytest.approx(6 / 3600 * 3.6)
    assert rows['alexnet']['kwh'] == pytest.approx(6 / 3600)
    assert rows['lenet5']['seconds_text'] == 'never'
    unknown = cost_table('t', found, {})
    assert unknown.rows[0]['usd'] is None
    assert unknown.text.endswith('Not in the list: cpu.')


@pytest.mark.parametrize(
    ('line', 'word'),
    [
        ('cpu,a,cheap,10,2026-01-01,b', r"line 2: usd_per_hour is 'cheap', and must be a number, 0 or more"),
        ('cpu,a,1,-1,2026-01-01,b', r'line 2: watts is'),
        ('cpu,a,1,nan,2026-01-01,b', r'line 2: watts is'),
        ('cpu,a,1,1,yesterday,b', r"line 2: date is 'yesterday', and must be as 2026-11-30"),
        ('cpu,a,1,1', r'line 2 must have 6 columns'),
    ],
)
def test_what_is_wrong_in_a_list_is_said(tmp_path, line, word):
    with pytest.raises(UserError, match=word):
        prices(listed(tmp_path, line))


def test_what_is_no_list_is_said(tmp_path):
    with pytest.raises(UserError, match='cannot be read as a list of prices: No such file'):
        prices(tmp_path / 'none.csv')
    (tmp_path / 'other.csv').write_text('a,b\n1,2\n')
    with pytest.raises(UserError, match='must have the columns device_kind'):
        prices(tmp_path / 'other.csv')


def test_what_follows_from_a_bound_is_one(tmp_path):
    save = saver(tmp_path / 'runs')
    for seed in range(3):
        save(f'a-{seed}', model='alexnet', seed=seed, accuracies=(0.1, 0.9), target=0.8, stop=True)
    runs, _ = read_runs(tmp_path / 'runs')
    target = dataclasses.replace(runs[0].target, value=0.95)
    found = {system: system.crossings(target) for system in systems(runs)}
    (row,) = cost_table('t', found, prices(listed(tmp_path, 'cpu,a machine,3.6,1000,2026-01-01,https://a.org'))).rows
    assert all(row[f'{key}_text'].endswith(' or more') for key in ('seconds', 'device_hours', 'usd', 'kwh'))
