"""Power laws of synthetic curves whose truth is known: parameters, envelopes, factors, intervals, what is no fit."""

import dataclasses
import re

import numpy as np
import pytest
from scipy import optimize

from efficiency.analysis import scale_section
from efficiency.analysis.document import cell_text
from efficiency.analysis.page import csv_text, markdown
from efficiency.analysis.runs import Target, read_runs
from efficiency.analysis.scale_fit import ScaleFit, bootstrap_fits, factor_over, fit_scale
from efficiency.analysis.scale_section import scale_sections
from efficiency.errors import UserError
from tests.analysis.conftest import BITS
from tests.conftest import ROOT

TRUE = ScaleFit(1.2, 6.0, 4.0, 0.35, 0.4)
SIZES = (1e8, 3e8, 7e8, 1.7e9)


def runs_of(law, noise=0.0, seeds=2, sizes=SIZES, seed=0):
    draw, data = np.random.default_rng(seed), np.linspace(500, 5000, 10)
    found = []
    for size in sizes:
        for _ in range(seeds):
            each = np.full(len(data), size)
            found.append((each, data, law.loss(each, data) * np.exp(noise * draw.normal(size=len(data)))))
    return found


def together(runs):
    return [np.concatenate(each) for each in zip(*runs, strict=True)]


@pytest.mark.parametrize(
    'law', [TRUE, ScaleFit(0.5, 3.0, 8.0, 0.2, 0.7), ScaleFit(1.69, 6.0, 6.0, 0.34, 0.28)], ids=['a', 'b', 'hoffmann']
)
def test_a_power_law_is_found_again_from_its_points(law):
    found = fit_scale(*together(runs_of(law)))
    for name in ('irreducible', 'log_a', 'log_b', 'alpha', 'beta'):
        assert getattr(found, name) == pytest.approx(getattr(law, name), rel=1e-4), name


def test_an_outlier_is_not_followed():
    size, data, loss = together(runs_of(TRUE))
    loss[5] *= 1.5
    assert fit_scale(size, data, loss).exponent == pytest.approx(TRUE.exponent, rel=0.02)


def test_the_envelope_is_the_least_loss_of_so_much_compute():
    for macs in (1e11, 1e13):
        size, data = TRUE.best(macs)
        assert 3 * size * data == pytest.approx(macs)
        best = optimize.minimize_scalar(
            lambda log_size, macs=macs: TRUE.loss(np.exp(log_size), macs / 3 / np.exp(log_size)), bounds=(5, 30)
        )
        assert TRUE.envelope(macs) == pytest.approx(best.fun, rel=1e-8)
        assert np.exp(best.x) == pytest.approx(size, rel=1e-3)
        assert TRUE.macs_to(TRUE.envelope(macs)) == pytest.approx(macs)
    assert np.log(TRUE.best(1e13)[0] / TRUE.best(1e11)[0]) / np.log(100) == pytest.approx(TRUE.size_exponent)
    left = (TRUE.envelope(1e13) - 1.2) / (TRUE.envelope(1e11) - 1.2)
    assert np.log(left) / -np.log(100) == pytest.approx(TRUE.exponent)
    assert np.isinf(TRUE.macs_to([1.2, 1.0])).all()


def test_the_factor_depends_on_compute_where_exponents_differ_and_else_does_not():
    steeper = dataclasses.replace(TRUE, alpha=0.45, beta=0.5)
    macs = np.geomspace(1e11, 1e14, 4)
    assert (np.diff(factor_over(TRUE, steeper, macs)) > 0).all()
    # Twice as good at every size and number of examples is twice the compute at each of both: exponents are the same.
    cheaper = dataclasses.replace(TRUE, log_a=TRUE.log_a - 0.35 * np.log(2))
    factors = factor_over(TRUE, cheaper, macs)
    np.testing.assert_allclose(factors, factors[0])
    np.testing.assert_allclose(factors, 2)
    # Below what the baseline can ever reach it needs more than there is.
    assert np.isinf(factor_over(TRUE, dataclasses.replace(steeper, irreducible=0.5), 1e30))


def test_intervals_hold_the_exponent_about_as_often_as_they_say():
    held = 0
    for seed in range(8):
        _, draws = bootstrap_fits(runs_of(TRUE, noise=0.004, seeds=3, seed=seed), 24)
        low, high = np.quantile([each.exponent for each in draws], [0.025, 0.975])
        held += low <= TRUE.exponent <= high
    assert held >= 6


@pytest.mark.parametrize(
    ('points', 'says'),
    [
        (([1e8] * 8, range(1, 9), [2.0] * 8), 'a power law needs 4 sizes and 6 points, and these are 1 and 8'),
        (([1, 2, 3, 4], [1] * 4, [2] * 4), 'these are 4 and 4'),
        (([1, 2, 3, 4, 5, 0], [1] * 6, [2] * 6), 'must be positive and finite'),
        (([1, 2, 3, 4, 5, 6], [1] * 6, [2] * 5), 'as many of each'),
    ],
)
def test_what_is_no_power_law(points, says):
    with pytest.raises(UserError, match=says):
        fit_scale(*points)
    with pytest.raises(UserError, match='1 draw or more, not 0'):
        bootstrap_fits(runs_of(TRUE), 0)


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(scale_section, '_DRAWS', 20)


def saved_families(save, laws, schedule='constant'):
    for model, law in laws.items():
        for size in SIZES:
            for seed in range(2):
                losses = law.loss(size, 100.0 * np.arange(1, 9))  # an evaluation an epoch of 100 examples
                folder = save(
                    f'{model}-{size:g}-{seed}', model=model, seed=seed, metric=BITS, target=0.1,
                    accuracies=[float(each) for each in losses], schedule=schedule, size=size, warmup_epochs=1.0,
                )  # fmt: skip
    return [
        dataclasses.replace(run, study='scale', forward_dense_macs=run.config['size']) for run in read_runs(folder)[0]
    ]


def check_levels(rows, laws):
    """Each family takes to a level what its law says, at the best of its sizes, between evaluations along a line."""
    data = 100.0 * np.arange(1, 9)
    assert len(rows) == 6
    for row in rows:
        least = {}
        for name, law in laws.items():
            found = [np.interp(-row['level'], -law.loss(size, data), data) for size in SIZES]
            # `save` has it that an epoch takes as many macs in a run of any size.
            there = [each for size, each in zip(SIZES, found, strict=True) if law.loss(size, data[-1]) <= row['level']]
            least[name] = min(there)
        assert row['base_macs'] / row['other_macs'] == pytest.approx(least['lstm'] / least['transformer'], rel=1e-6)
        assert row['factor'] == pytest.approx(row['base_macs'] / row['other_macs'])
        assert [row['factor_low'], row['factor_high']] == pytest.approx([row['factor']] * 2)  # of seeds that are alike


def test_a_family_whose_loss_does_not_fall_with_size_has_no_law_and_no_factor_by_one(save):
    flat = dataclasses.replace(TRUE, log_a=-40.0)
    runs = saved_families(save, {'lstm': flat, 'transformer': TRUE})
    (section,) = scale_sections('t', Target('data', 'f' * 8, BITS, 0.1), runs)
    assert 'No factor of transformer over lstm by the envelopes' in section.text[-1]
    assert ' for lstm (alpha ' in section.text[-1]
    assert section.tables[0].rows[0]['exponent_interval'] == '[at a bound]'
    assert [table.title for table in section.tables] == [
        'Power laws', 'Factor of transformer over lstm, as the runs have it', 'What others found',
    ]  # fmt: skip
    assert not any(series.name.startswith('lstm, envelope') for chart in section.charts for series in chart.series)


def test_a_report_has_the_families_of_a_study(save):
    slow = dataclasses.replace(TRUE, log_b=2.0)  # whose best sizes are among those that were tried
    laws = {'lstm': slow, 'transformer': dataclasses.replace(slow, alpha=0.36, beta=0.42)}
    runs, target = saved_families(save, laws), Target('data', 'f' * 8, BITS, 0.1)
    (section,) = scale_sections('t', target, runs)
    laws_table, levels, factors, others = section.tables
    found = {row['family']: row for row in laws_table.rows}
    for name, law in laws.items():
        assert found[name]['exponent'] == pytest.approx(law.exponent, rel=1e-3)
        assert found[name]['irreducible'] == pytest.approx(1.2, rel=1e-3)
        assert found[name]['to_macs'] == pytest.approx(3 * SIZES[-1] * 800)
        # The first evaluation is within the warm-up.
        assert found[name]['from_macs'] == pytest.approx(3 * SIZES[0] * 200)
    middle = factors.rows[len(factors.rows) // 2]
    expected = factor_over(laws['lstm'], laws['transformer'], middle['macs'])
    assert middle['factor'] == pytest.approx(expected, rel=1e-2)
    assert 'along the data the factor grows with compute' in section.text[-1]
    ends = [found['transformer'][end] for end in ('from_macs', 'to_macs')]
    least, most = factor_over(laws['lstm'], laws['transformer'], np.array(ends))
    told = float(re.search(r'the factor goes as its power (\S+), ', section.text[-1])[1])
    assert told == pytest.approx(np.log(most / least) / np.log(ends[1] / ends[0]), abs=2e-3)
    check_levels(levels.rows, laws)
    assert {row['unit'] for row in others.rows} == {'times', 'months', 'power'}
    for row in factors.rows:
        bests = [laws['transformer'].best(row['macs']), laws['lstm'].best(row['macs'] * row['factor'])]
        inside = all(SIZES[0] <= size <= SIZES[-1] and 200 <= data <= 800 for size, data in bests)
        assert row['where'] == ('within the data' if inside else 'extrapolated')
    # The line of an envelope is broken where what is best for so much compute was not tried.
    for series in section.charts[0].series:
        law = laws[series.name.partition(',')[0]]
        for macs, loss in zip(series.x, series.y, strict=True):
            if 'envelope' in series.name:
                size, data = law.best(macs)
                inside = SIZES[0] <= size <= SIZES[-1] and 200 <= data <= 800
                assert (loss is None) == (inside == ('extrapolated' in series.name))
    assert all(csv_text(table) for table in section.tables)
    assert 'Scale: scale' in markdown('title', [section])
    # Of fewer than four sizes of a family by its name it is said that there is no law, and of others nothing.
    fewer = [run for run in runs if run.forward_dense_macs in SIZES[:3]]
    assert scale_sections('t', target, fewer) == []
    named = [dataclasses.replace(run, system=f'{run.model}-{run.forward_dense_macs:g}') for run in fewer]
    (few,) = scale_sections('t', target, named)
    assert (few.charts, few.tables) == ((), ())
    assert few.text == [
        'No power law is fitted: it takes 4 sizes of a family and 6 evaluations that end a run, and there are lstm at '
        '3, transformer at 3.'
    ]
    assert scale_sections('t', target, [dataclasses.replace(run, study=None) for run in runs]) == []


def test_networks_of_other_options_are_a_family_by_their_systems_names_and_tried_settings_are_none(save):
    laws = {'net': TRUE, 'other': dataclasses.replace(TRUE, log_b=3.0)}
    names = {'net': 'post-norm', 'other': 'pre-norm'}
    runs = [
        dataclasses.replace(
            run, model='transformer', system=f'{names[run.model]}-{SIZES.index(run.forward_dense_macs)}',
            role='compared',
        )
        for run in saved_families(save, laws)
    ]  # fmt: skip
    worse = [
        dataclasses.replace(
            run, role='tuning', system=f'{run.system}-learning_rate=0.1',
            curve={**run.curve, 'bits_per_byte': 2 * run.curve['bits_per_byte']},
        )
        for run in runs
    ]  # fmt: skip
    (section,) = scale_sections('t', Target('data', 'f' * 8, BITS, 0.1), runs + worse)
    rows = section.tables[0].rows
    assert [(row['family'], row['runs']) for row in rows] == [('post-norm', 8), ('pre-norm', 8)]
    for row, law in zip(rows, laws.values(), strict=True):
        assert row['irreducible'] == pytest.approx(law.irreducible, rel=1e-3)


def test_where_the_rate_falls_only_the_end_of_a_run_is_a_point(save):
    runs, target = saved_families(save, {'net': TRUE}, 'cosine'), Target('data', 'f' * 8, BITS, 0.1)
    (section,) = scale_sections('t', target, runs)
    (row,) = section.tables[0].rows
    assert row['family'] == 'net'  # of systems without a hyphen the networks' name
    assert row['from_macs'] == pytest.approx(3 * SIZES[0] * 800)
    assert len(section.charts[0].series[0].x) == 8


def test_what_was_stopped_at_its_target_ended_no_falling_schedule(save):
    runs, target = saved_families(save, {'net': TRUE}, 'cosine'), Target('data', 'f' * 8, BITS, 0.1)
    under_way = [
        dataclasses.replace(run, status='reached', config=run.config | {'num_epochs': 100.0, 'stop_at_target': True})
        for run in runs
    ]
    assert all(run.stopped for run in under_way)
    assert scale_sections('t', target, under_way) == []


def test_of_one_seed_a_size_no_interval_is_made_up(save):
    laws = {'lstm': TRUE, 'transformer': dataclasses.replace(TRUE, alpha=0.36, beta=0.42)}
    runs = [run for run in saved_families(save, laws) if run.seed == 0]
    (section,) = scale_sections('t', Target('data', 'f' * 8, BITS, 0.1), runs)
    laws_table, _, factors, _ = section.tables
    assert {row['exponent_interval'] for row in laws_table.rows} == {'[one seed: not known]'}
    assert {(row['low'], row['high']) for row in factors.rows} == {(None, None)}
    assert 'of one seed a size nothing is known of how sure that is' in section.text[-1]
    assert bootstrap_fits(runs_of(TRUE, seeds=1), 5)[1] == []


def test_the_page_on_language_says_what_the_kept_runs_do():
    runs, left_out = read_runs(ROOT / 'results' / 'language_scale')
    assert (len(runs), left_out) == (16, [])
    page = ' '.join((ROOT / 'docs' / 'language.md').read_text().split())
    (target,) = {dataclasses.replace(target, value=1.8) for run in runs for target in run.targets}
    (section,) = scale_sections('t', target, runs)
    (levels,) = (table for table in section.tables if table.name.startswith('scale-levels-'))
    for row in levels.rows:
        taken = f'{cell_text(row["base_macs"])} | {row["base"]} | {cell_text(row["other_macs"])} | {row["other"]}'
        assert f'| {cell_text(row["level"])} | {row["factor_text"]} | {taken} |' in page
    assert any('the loss does not fall as a power of size' in text for text in section.text)
    macs = sum(float(run.curve['train_macs'][-1]) for run in runs)
    assert f'16 runs, {cell_text(macs)} train macs' in page
