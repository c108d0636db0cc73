"""Whatever runs there are, their section says what can be said of them."""

import datetime
import math

import pytest

from efficiency.analysis.measured import measured_section
from efficiency.analysis.page import csv_text, markdown
from efficiency.analysis.runs import Target, read_runs

TARGET = Target('data', 'f' * 8, 'top1', 0.8)
DATES = {name: datetime.date(year, 1, 1) for name, year in (('old', 2000), ('alexnet', 2012), ('a', 2014), ('b', 2016))}


def section(save, *records, target=TARGET):
    for i, record in enumerate(records):
        folder = save(f'{record.get("model", "net")}-{i}', **record)
    found = measured_section(target, read_runs(folder)[0], DATES, lambda path: path)
    if found:
        # What follows is written, too.
        assert markdown('title', [found])
        assert all(csv_text(table) for table in found.tables)
    return found


def rows(found, name):
    (table,) = [table for table in found.tables if table.name.startswith(name)]
    return table.rows


def runs_of(model, *finals, macs=1000):
    return [
        {'model': model, 'seed': i, 'accuracies': (0.1, final), 'macs_per_epoch': macs}
        for i, final in enumerate(finals)
    ]


@pytest.mark.parametrize(
    'records',
    [
        [{'model': 'alexnet'}],
        [{'model': 'alexnet', 'accuracies': (0.9,)}, {'model': 'a', 'accuracies': (0.95,)}],
        runs_of('alexnet', 0.2) + runs_of('a', 0.3),
        runs_of('alexnet', 0.2) + runs_of('a', 0.9) + runs_of('b', 0.9, macs=100),
        runs_of('nobody', 0.9) + runs_of('nowhere', 0.9),
        runs_of('alexnet', 1.0) + runs_of('a', 1.0),
        runs_of('a', 0.5, 0.9) + runs_of('b', 0.9, 0.5),
        runs_of('old', 0.9) + runs_of('alexnet', 0.9),
    ],
    ids=['one', 'at-once', 'never', 'no-baseline', 'undated', 'perfect', 'two-seeds', 'earlier'],
)
def test_any_runs_can_be_reported_on(save, records):
    found = section(save, *records)
    assert len(rows(found, 'systems-')) == len({record['model'] for record in records})
    assert len(rows(found, 'runs-')) == len(records)


def test_an_exponential_gives_its_doubling_time(save):
    found = section(
        save, *runs_of('alexnet', 0.9, 0.9, 0.9, macs=16_000), *runs_of('a', 0.9, 0.9, 0.9, macs=4000),
        *runs_of('b', 0.9, 0.9, 0.9, macs=1000),
    )  # fmt: skip
    # A fourth in two years, twice.
    by_what = {row['what']: row['months'] for row in rows(found, 'trend-')}
    assert by_what['frontier, least squares'] == pytest.approx(12, rel=1e-3)
    assert by_what['frontier, end to end'] == pytest.approx(12, rel=1e-3)
    assert 'least squares: 12.0 months' in found.text[-1]


def test_what_was_published_before_the_baseline_is_no_part_of_the_trend(save):
    found = section(save, *runs_of('old', 0.9, macs=10), *runs_of('alexnet', 0.9, macs=4000), *runs_of('a', 0.9))
    assert 'not part of the trend: old' in found.text[-1]
    assert 'Frontier since alexnet: alexnet, a.' in found.text[-1]
    assert {row['system']: row['train_factor'] for row in rows(found, 'systems-')} == {'old': 400, 'alexnet': 1, 'a': 4}


def test_a_seed_that_never_gets_there_makes_the_median_of_two_infinite(save):
    found = section(save, *runs_of('alexnet', 0.9), *runs_of('a', 0.9, 0.5))
    row = next(row for row in rows(found, 'systems-') if row['system'] == 'a')
    assert (row['seeds'], row['seeds_reached'], row['train_macs']) == (2, 1, math.inf)
    assert row['train_factor'] is None
    assert '3 seeds a side' in row['against_baseline']


def test_images_that_no_run_is_of_have_no_section(save):
    assert section(save, {'model': 'other', 'accuracies': (0.9,)}, target=Target('x', 'y', 'top1', 0.8)) is None
