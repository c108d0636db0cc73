"""The trade of steps against examples is found where it is known, and a report of a study over batch sizes says it."""

import numpy as np
import pytest

from efficiency.analysis.batch_section import batch_sections
from efficiency.analysis.critical_batch import bootstrap_batches, fit_batches
from efficiency.analysis.runs import read_runs, shared_targets
from efficiency.errors import UserError
from tests.analysis.conftest import saver
from tests.conftest import ROOT

BATCHES = (8, 16, 32, 64, 128, 256)


def test_a_hyperbola_is_found_to_the_digit():
    # S = 100 (1 + 40 / B) and E = B S, by McCandlish et al.'s equation.
    examples = [b * 100 * (1 + 40 / b) for b in BATCHES]
    fit = fit_batches(BATCHES, examples)
    assert (fit.examples, fit.steps, fit.critical) == pytest.approx((4000, 100, 40), rel=1e-6)
    steps = np.array(examples) / BATCHES
    np.testing.assert_allclose((steps / fit.steps - 1) * (np.array(examples) / fit.examples - 1), 1, rtol=1e-5)


def test_one_wild_point_moves_it_little():
    examples = [4000 + 100 * b for b in BATCHES]
    examples[3] *= 20
    assert fit_batches(BATCHES, examples).critical == pytest.approx(40, rel=0.3)


def test_intervals_hold_the_truth_as_often_as_they_say():
    random, held = np.random.default_rng(1), 0
    for draw in range(30):
        seeds = {b: ((4000 + 100 * b) * np.exp(random.normal(0, 0.15, 5))).tolist() for b in BATCHES}
        _, ends = bootstrap_batches(seeds, draws=40, seed=draw)
        held += ends['critical'][0] <= 40 <= ends['critical'][1]
    # Of 95 % intervals by resampling five seeds; those of the bootstrap are known to be a little narrow.
    assert 23 <= held <= 30
    assert bootstrap_batches({b: [4000 + 100 * b] for b in BATCHES})[1] is None


@pytest.mark.parametrize(
    ('batches', 'examples', 'word'),
    [
        ((8, 16, 32), (1, 2, 3), 'these are 3'),
        ((8, 8, 16, 32), (1, 2, 3, 4), 'these are 3'),
        ((8, 16, 32, 64), (1, 2, 3), '4 batch sizes for 3'),
        ((8, 16, 32, 64), (1, 2, 3, 0), 'must be positive'),
        ((8, 16, 32, 64), (1, 2, 3, np.inf), 'must be positive'),
    ],
)
def test_what_is_no_set_of_batches_is_said(batches, examples, word):
    with pytest.raises(UserError, match=word):
        fit_batches(batches, examples)


def test_a_report_has_it_for_each_study_over_batches(tmp_path, monkeypatch):
    save = saver(tmp_path)
    for batch in (10, 20, 50, 100):
        for seed in range(2):
            # Records of 100 examples an evaluation: so many of them to the target.
            evaluations = round((400 + 10 * batch) / 100)
            accuracies = (0.1,) * (evaluations - 1) + (0.9,)
            save(f'b{batch}-{seed}', model='lenet5', seed=seed, batch_size=batch, accuracies=accuracies)
    runs, _ = read_runs(tmp_path)
    (target,) = shared_targets(runs)
    assert batch_sections('t', target, runs) == []  # of no study
    for run in runs:
        object.__setattr__(run, 'study', 'batches')
    (section,) = batch_sections('t', target, runs)
    rows = {row['batch']: row for row in section.tables[0].rows}
    assert [rows[batch]['seeds'] for batch in (10, 20, 50, 100)] == [2] * 4
    assert section.text[0].startswith('The critical batch is ')
    assert {series.name for series in section.charts[0].series} == {'fit', 'least examples', 'fewest steps', 'seeds'}


def test_the_results_page_says_what_the_kept_runs_do():
    runs, _ = read_runs(ROOT / 'results' / 'batch_mnist5k')
    (target,) = shared_targets(runs)
    (section,) = batch_sections('kept', target, runs)
    assert section.text[0] in ' '.join((ROOT / 'docs' / 'results.md').read_text().split())


def test_rates_that_were_all_kept_are_studies_of_their_own(tmp_path):
    save = saver(tmp_path)
    for rate, slower in ((0.1, 1), (0.01, 3)):
        for batch in (10, 20, 50, 100):
            evaluations = slower * round((400 + 10 * batch) / 100)
            accuracies = (0.1,) * (evaluations - 1) + (0.9,)
            save(f'r{rate}-b{batch}', model='lenet5', batch_size=batch, learning_rate=rate, accuracies=accuracies)
    runs, _ = read_runs(tmp_path)
    (target,) = shared_targets(runs)
    for run in runs:
        object.__setattr__(run, 'study', 'batches')
    sections = batch_sections('t', target, runs)
    assert [section.title.partition(',')[0] for section in sections] == [
        'Batches: lenet5 (learning_rate=0.01)', 'Batches: lenet5 (learning_rate=0.1)',
    ]  # fmt: skip
    slow, fast = ({row['batch']: row['examples'] for row in section.tables[0].rows} for section in sections)
    assert all(slow[batch] > 2 * fast[batch] for batch in fast)


def test_a_size_of_two_recipes_among_sizes_at_their_own_rates_is_left_out_and_said_to_be(tmp_path):
    save = saver(tmp_path)
    for batch in (10, 20, 50, 100, 200):
        accuracies = (0.1,) * round((400 + 10 * batch) / 100 - 1) + (0.9,)
        save(f'b{batch}', model='lenet5', batch_size=batch, learning_rate=batch / 1000, accuracies=accuracies)
    save('again', model='lenet5', batch_size=10, learning_rate=0.5, accuracies=(0.1, 0.9))
    runs, _ = read_runs(tmp_path)
    (target,) = shared_targets(runs)
    for run in runs:
        object.__setattr__(run, 'study', 'batches')
    (section,) = batch_sections('t', target, runs)
    assert section.title.startswith('Batches: lenet5 (without batches of 10, of several recipes), ')
    assert [row['batch'] for row in section.tables[0].rows] == [20, 50, 100, 200]
