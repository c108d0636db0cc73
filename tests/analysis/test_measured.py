"""Whatever runs there are, their section says what can be said of them."""

import datetime
import json
import math

import pytest

from efficiency.analysis.measured import measured_section
from efficiency.analysis.page import csv_text, markdown
from efficiency.analysis.runs import Target, read_runs
from tests.analysis.conftest import TOP1

TARGET = Target('data', 'f' * 8, TOP1, 0.8)
DATES = {name: datetime.date(year, 1, 1) for name, year in (('old', 2000), ('alexnet', 2012), ('a', 2014), ('b', 2016))}


def section(save, *records, target=TARGET):
    for i, record in enumerate(records):
        folder = save(f'{record.get("model", "net")}-{i}', **record)
    found = measured_section(
        target, read_runs(folder)[0], {('images', name): day for name, day in DATES.items()}, lambda path: path
    )
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
    assert (row['train_factor'], row['train_factor_text']) == (0, '0 [one seed: not known]')
    assert '3 seeds a side' in row['against_baseline']


def cell(found, name, system, key):
    return next(row[key] for row in rows(found, name) if row['system'] == system)


def test_of_runs_that_were_stopped_below_the_target_none_is_left_out(save):
    # Ten runs that stop where they meet 0.75: three overshoot 0.8, as those of chance do.
    stopped = [
        {'model': 'a', 'seed': i, 'accuracies': (*[0.1] * epochs, last), 'target': 0.75, 'stop': True}
        for i, (epochs, last) in enumerate(
            [
                (1, 0.9),
                (2, 0.76),
                (3, 0.78),
                (3, 0.85),
                (4, 0.77),
                (5, 0.76),
                (5, 0.79),
                (6, 0.76),
                (8, 0.82),
                (9, 0.76),
            ]
        )
    ]
    found = section(
        save, *stopped, *runs_of('alexnet', 0.9, 0.9, 0.9), {'model': 'b', 'accuracies': (0.1, 0.76), 'target': 0.75,
        'stop': True},
    )  # fmt: skip
    assert (cell(found, 'systems-', 'a', 'seeds'), cell(found, 'systems-', 'a', 'seeds_censored')) == (10, 7)
    # 9/10 are left at 2,000, x 7/8 at 4,000, x 1/2 at 9,000: 0.39. Of the three that overshot it is 4,000.
    assert cell(found, 'systems-', 'a', 'train_macs_text') == '9,000'
    assert cell(found, 'systems-', 'a', 'train_factor_text').startswith('0.222 [')
    assert cell(found, 'systems-', 'b', 'train_macs_text') == '2,000 or more'
    assert cell(found, 'systems-', 'b', 'train_macs_bound') == 'or more'
    assert cell(found, 'systems-', 'b', 'train_factor_text') == '1.00 or less [one seed: not known]'
    assert len(rows(found, 'runs-')) == 14
    assert any('8 of the 14 runs were stopped' in text for text in found.methods)
    dated = next(chart for chart in found.charts if chart.name.startswith('compute-over-date'))
    assert [(s.name, s.hollow) for s in dated.series if 'b' in s.labels] == [('this much or more', True)]


def test_the_mean_of_what_seeds_end_at_is_held_against_the_target(save):
    found = section(
        save, *runs_of('alexnet', 0.85, 0.9, 0.95), *runs_of('a', 0.5),
        *[{'model': 'b', 'seed': i, 'accuracies': (0.1, 0.9), 'stop': True} for i in range(3)],
    )  # fmt: skip
    said = {
        name: [cell(found, 'systems-', name, key) for key in ('final_reached', 'final_mean', 'final_p')]
        for name in ('alexnet', 'a', 'b')
    }
    # t = 0.1 / (0.05 / sqrt(3)) with two degrees of freedom, whose upper tail is 1/2 - t / (2 sqrt(2 + t^2)).
    assert said['alexnet'] == [3, pytest.approx(0.9), pytest.approx(0.5 - 12**0.5 / (2 * 14**0.5))]
    assert said['a'] == [0, 0.5, None]
    assert said['b'] == [None, None, None]  # stopped where they met it


def test_factors_are_there_by_each_rule_of_what_counts_as_reaching_the_target(save):
    found = section(
        save, *[{'model': 'alexnet', 'seed': i, 'accuracies': (0.6, 0.9, 0.7, 0.9, 0.9)} for i in range(3)],
        *[{'model': 'a', 'seed': i, 'accuracies': (0.6, 1.0), 'stop': True} for i in range(3)],
    )  # fmt: skip
    said = [cell(found, 'rules-', 'a', f'{rule}_factor_text') for rule in ('first', 'interpolated', 'two_in_a_row')]
    # 2 over 2 epochs, 1 2/3 over 1 1/2, and 4 over 2 or more.
    assert said == ['1.00 [1.00, 1.00]', '1.11 [1.11, 1.11]', '2.00 or less [0, 2.00]']
    assert cell(found, 'rules-', 'a', 'two_in_a_row_censored') == 3


def test_tests_against_the_baseline_are_corrected_and_the_page_says_so(save):
    found = section(
        save, *runs_of('alexnet', *[0.9] * 4), *runs_of('a', *[0.9] * 4, macs=10), *runs_of('b', *[0.9] * 4, macs=20)
    )
    assert any("corrected for their number by Holm's method" in text for text in found.methods)
    assert cell(found, 'systems-', 'a', 'against_baseline').endswith("after Holm's correction for 2 comparisons).")
    assert cell(found, 'systems-', 'alexnet', 'against_baseline') is None


def test_what_comes_first_says_the_factor_who_against_whom_and_what_would_change_it(save):
    found = section(
        save, *runs_of('old', 0.9, macs=10), *runs_of('alexnet', 0.9, 0.9, 0.2, macs=16_000),
        *runs_of('a', 0.9, macs=4000), *runs_of('b', 0.9, 0.9, 0.9, macs=1000),
    )  # fmt: skip
    (answer,) = found.answers
    # What is older than the baseline is no progress since it, cheap as it may be.
    assert answer.startswith(
        'Measured: 16.0 [16.0, unbounded) x less compute to top1 >= 0.8 on data with b (2016) than'
    )
    assert 'with alexnet (2012), doubling every 12.0 months [' in answer
    assert '4 systems, 8 runs. What would change it: more seeds of the 2 systems with one; ' in answer
    assert 'more seeds of alexnet, of which 1 of 3 did not get there' in answer


def test_what_comes_first_does_not_make_a_gain_of_none(save):
    (answer,) = section(save, *runs_of('alexnet', 0.9), *runs_of('a', 0.9, macs=4000)).answers
    assert answer.startswith('Measured: nothing later takes less compute to top1 >= 0.8 on data than alexnet (2012),')


def test_what_comes_first_gives_no_number_that_is_not_known(save):
    found = section(save, *runs_of('alexnet', 0.2, macs=3000), *runs_of('a', 0.3))
    assert found.answers[0].startswith('Measured: of 2 systems, 2 runs none is known to reach top1 >= 0.8 on data in')


def test_a_baseline_that_was_given_too_little_is_no_infinite_gain(save):
    # It had spent 2 x 3,000 macs, the other took 2 x 1,000.
    found = section(save, *runs_of('alexnet', 0.2, macs=3000), *runs_of('a', 0.9))
    assert found.answers[0].startswith('Measured: at least 3 x less compute to top1 >= 0.8 on data with a (2014) than')
    assert (
        'What would change it: 3 seeds or more of a and of alexnet, without which nothing is tested; '
        in found.answers[0]
    )


def test_a_baseline_that_was_given_less_than_the_others_took_leaves_no_factor(save):
    found = section(save, *runs_of('alexnet', 0.2, macs=500), *runs_of('a', 0.9))
    assert found.answers[0].startswith(
        'Measured: a (2014) takes 2e+03 macs to top1 >= 0.8 on data, and no factor is known over alexnet (2012), which '
        'was not there in the median after 1e+03 macs, '
    )


def test_two_recipes_of_one_network_have_each_its_own_day(save):
    for i, (macs, day, rate) in enumerate(((4000, '2014-01-01', 0.1), (1000, '2016-01-01', 0.2))):
        for seed in range(2):
            folder = save(
                f'net-{i}-{seed}', model='net', seed=seed, accuracies=(0.1, 0.9), macs_per_epoch=macs, rate=rate
            )
            file = folder / f'net-{i}-{seed}' / 'run.json'
            file.write_text(json.dumps(json.loads(file.read_text()) | {'published': day}))
    found = measured_section(TARGET, read_runs(folder)[0], {}, lambda path: path)
    assert [str(row['published']) for row in rows(found, 'systems-')] == ['2016-01-01', '2014-01-01']
    assert 'doubling every 12.0 months between the two points of the frontier' in found.answers[0]


def test_sizes_of_one_network_are_no_history(save):
    for size, macs in ((1, 4000), (2, 1000)):
        for seed in range(2):
            folder = save(
                f'net-{size}-{seed}', model='net', seed=seed, accuracies=(0.1, 0.9), macs_per_epoch=macs, size=size
            )
    found = measured_section(TARGET, read_runs(folder)[0], {('images', 'net'): DATES['a']}, lambda path: path)
    assert found.answers[0].startswith(
        'Measured: net (size=2) takes the least compute to top1 >= 0.8 on data, 4 x less than net (size=1); all are of '
        'one date, which says nothing of progress; 2 systems, 4 runs.'
    )


def stopped(model, final, macs, target):
    """Seeds that were stopped at a target of their own, below what they are asked for."""
    return [record | {'target': target, 'stop': True} for record in runs_of(model, final, final, final, macs=macs)]


def test_what_was_stopped_before_the_target_is_not_said_to_be_there(save):
    cheap = stopped('a', 0.6, 10, 0.6)
    (answer,) = section(save, *cheap, *runs_of('alexnet', 0.9, macs=4000), *runs_of('b', 0.9, macs=1000)).answers
    assert answer.startswith('Measured: 4.00 [one seed: not known] x less compute to top1 >= 0.8 on data with b (2016)')


def test_where_all_were_stopped_before_none_is_known_to_be_there(save):
    (answer,) = section(save, *stopped('a', 0.6, 10, 0.6)).answers
    assert answer.startswith('Measured: of 1 system, 3 runs none is known to reach top1 >= 0.8 on data in the median.')
    assert 'a trained on, of which 3 of 3 seeds were stopped before' in answer
    assert 'did not get there' not in answer


def test_a_baseline_that_was_stopped_before_leaves_a_factor_or_more(save):
    (answer,) = section(save, *stopped('alexnet', 0.6, 4000, 0.6), *runs_of('b', 0.9, 0.9, 0.9, macs=1000)).answers
    assert answer.startswith('Measured: 4.00 or more [')
    assert 'alexnet trained on, of which 3 of 3 seeds were stopped before' in answer


def test_a_baseline_that_was_stopped_early_leaves_open_which_takes_less(save):
    (answer,) = section(save, *stopped('alexnet', 0.6, 200, 0.6), *runs_of('b', 0.9, 0.9, 0.9, macs=2000)).answers
    assert answer.startswith('Measured: b (2016) takes 4e+03 macs to top1 >= 0.8 on data, and no factor is known over ')


def test_what_has_no_date_takes_what_it_takes(save):
    (answer,) = section(save, *runs_of('alexnet', 0.9, macs=4000), *runs_of('mynet', 0.9, macs=1000)).answers
    assert answer.startswith(
        'Measured: 4.00 [one seed: not known] x less compute to top1 >= 0.8 on data with mynet than'
    )
