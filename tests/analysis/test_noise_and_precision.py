"""A report tells the noise of gradients where runs measured it, and what a precision costs and is worth."""

import datetime
import json

import pytest

from efficiency import records
from efficiency.analysis.noise_section import noise_scale, noise_sections
from efficiency.analysis.precision_section import precision_sections
from efficiency.analysis.runs import read_runs, shared_targets
from efficiency.published.prices import Peak, peaks
from tests.analysis.conftest import make_record, saver
from tests.conftest import ROOT


def kept(folder, name, square, variance, **content):
    """A record with these estimates at each of its evaluations."""
    record = make_record(**content)
    for point in record['curve']:
        point |= {'gradient_square': square, 'gradient_variance': variance}
    record['final'] = record['curve'][-1]
    records.validate(record)
    (folder / f'{name}.json').write_text(json.dumps(record))


def the_runs(folder):
    runs, left_out = read_runs(folder)
    assert not left_out
    (target,) = shared_targets(runs)
    return runs, target


def test_the_scale_is_the_ratio_of_means_with_an_interval_over_seeds(tmp_path):
    for seed, (square, variance) in enumerate([(1.0, 300.0), (3.0, 500.0), (2.0, 400.0)]):
        kept(tmp_path, seed, square, variance, seed=seed, batch_size=64, microbatches=4)
    runs, target = the_runs(tmp_path)
    scale, (low, high) = noise_scale(runs, target)
    assert scale == 200
    assert 500 / 3 <= low < 200 < high <= 300
    (section,) = noise_sections('t', target, runs)
    assert section.text[0].startswith(f'The simple noise scale to {target}: net in batches of 64: 200 [')
    assert section.tables[0].rows[0]['parts'] == 4


def test_where_noise_hides_the_gradient_that_is_said(tmp_path):
    kept(tmp_path, 'a', -1.0, 300.0, batch_size=64, microbatches=4)
    runs, target = the_runs(tmp_path)
    assert noise_scale(runs, target) == (None, None)
    (section,) = noise_sections('t', target, runs)
    assert 'not known, as noise hides the gradient' in section.text[0]


def test_runs_without_it_have_no_section(tmp_path):
    saver(tmp_path)('a')
    runs, target = the_runs(tmp_path)
    assert noise_sections('t', target, runs) == []


def test_a_precision_is_held_against_float32_and_on_devices(tmp_path):
    save = saver(tmp_path)
    for seed in range(3):
        save(f'full-{seed}', seed=seed, accuracies=(0.1, 0.9))
        save(f'half-{seed}', seed=seed, accuracies=(0.1, 0.1, 0.1, 0.9), precision='bfloat16')
    runs, target = the_runs(tmp_path)
    day = datetime.date(2020, 1, 1)
    listed = [Peak('gpu', 'float32', 10.0, day, 'https://a'), Peak('gpu', 'bfloat16', 80.0, day, 'https://a'),
              Peak('other', 'bfloat16', 80.0, day, 'https://a')]  # fmt: skip
    assert precision_sections('t', target, runs, listed) == []  # of no study
    for run in runs:
        object.__setattr__(run, 'study', 'precisions')
        object.__setattr__(run, 'precision', run.config.get('precision', 'float32'))
    (section,) = precision_sections('t', target, runs, listed)
    by, on = (table.rows for table in section.tables)
    assert [row['precision'] for row in by] == ['float32', 'bfloat16']
    gain = by[1]['gain']
    assert by[0]['gain'] == 1
    # Interpolated between the last evaluation below the target and the first above it: 1.875 epochs against 3.875.
    assert gain == pytest.approx(1.875 / 3.875)
    (row,) = on
    assert (row['device'], row['ratio'], row['effective']) == ('gpu', 8, pytest.approx(8 * gain))


def test_peaks_have_sources():
    for peak in peaks():
        assert peak.tflops > 0
        assert peak.source.startswith('https://')


def on_the_page(text):
    return text in ' '.join((ROOT / 'docs' / 'results.md').read_text().split())


def test_the_results_page_says_what_the_kept_runs_do():
    runs, target = the_runs(ROOT / 'results' / 'noise_mnist5k')
    (section,) = noise_sections('kept', target, runs)
    assert on_the_page(section.text[0])
    runs, target = the_runs(ROOT / 'results' / 'precision_mnist5k')
    (section,) = precision_sections('kept', target, runs, peaks())
    by, on = (table.rows for table in section.tables)
    assert len(by) == 5
    for row in by:
        assert row['reached'] == row['seeds'] == 5
        assert on_the_page(f'| {row["gain_text"]} | {row["train_macs_text"]} | {row["range"]} |')
    (h100,) = [row for row in on if row['precision'] == 'bfloat16' and 'H100' in row['device']]
    assert on_the_page(f'would be {h100["effective_text"]} times')


def test_a_precision_is_held_against_float32_of_the_same_recipe(tmp_path):
    save = saver(tmp_path)
    for seed in range(2):
        save(f'full-{seed}', seed=seed, accuracies=(0.1, 0.9), batch_size=32)
        save(f'half-{seed}', seed=seed, accuracies=(0.1, 0.9), batch_size=32, precision='bfloat16')
        save(f'wide-{seed}', seed=seed, accuracies=(0.1,) * 9 + (0.9,), batch_size=64, precision='bfloat16')
    runs, target = the_runs(tmp_path)
    for run in runs:
        object.__setattr__(run, 'study', 'precisions')
        object.__setattr__(run, 'precision', run.config.get('precision', 'float32'))
    (section,) = precision_sections('t', target, runs, [])
    assert 'batch_size=32' in section.title
    assert [(row['precision'], row['gain'], row['seeds']) for row in section.tables[0].rows] == [
        ('float32', 1, 2), ('bfloat16', 1, 2),
    ]  # fmt: skip
    # Of two recipes, one a precision, nothing is of the precision alone.
    narrow = [run for run in runs if run.precision == 'float32' or run.config['batch_size'] == 64]
    assert precision_sections('t', target, narrow, []) == []
