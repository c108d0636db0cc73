"""What the pages say of translation is what the kept records say."""

import statistics

import pytest

from efficiency import records
from efficiency.analysis.compare import compare_with_baseline
from efficiency.analysis.document import cell_text
from efficiency.analysis.factors import factors_over
from efficiency.analysis.runs import read_runs, seeds_of, systems
from efficiency.analysis.survival import summary_over_seeds
from tests.conftest import ROOT

LEVEL = 15.5


@pytest.fixture(scope='module')
def kept():
    """Of each system of the table and each tuning candidate its runs, by seed."""
    runs, _ = read_runs(ROOT / 'results' / 'translation_multi30k')
    found = {}
    for run in sorted(runs, key=lambda run: run.seed):
        found.setdefault(run.system, []).append(run)
    return found


@pytest.fixture(scope='module')
def page():
    text = (ROOT / 'docs' / 'translation.md').read_text()
    return ' '.join(text.partition('## As measured')[2].partition('## The paper')[0].split())


def measured(kept):
    return {name: runs for name, runs in kept.items() if not runs[0].is_tuning}


def amounts(kept, level, key='train_macs'):
    """What each run took to a BLEU, by system."""
    seeds = {}
    for name, runs in measured(kept).items():
        (system,) = systems(runs)
        target = runs[0].target
        asked = target.__class__(*target.data, runs[0].metrics['bleu'], level)
        seeds[name] = seeds_of(system.crossings(asked), key)
    return seeds


def ends(runs):
    return [float(run.curve['bleu'][-1]) for run in runs]


def test_each_row_is_that_of_the_records(kept, page):
    for level in (10, 12, 14, 15, LEVEL, 16):
        seeds = amounts(kept, level)
        factors = factors_over(seeds, 'seq2seq')
        row = f'| {level} | {cell_text(summary_over_seeds(seeds["seq2seq"]).median)} |'
        for name in seeds:
            if name != 'seq2seq':
                row += f' {cell_text(summary_over_seeds(seeds[name]).median)} | {factors[name]} |'
        assert row in page, row


def test_the_level_and_the_rates_are_those_of_the_study(kept, page):
    mean = statistics.fmean(ends(kept['seq2seq']))
    assert (mean - 0.5) // 0.5 * 0.5 == LEVEL
    assert f'on average at {mean:.2f}' in page
    for name, runs in measured(kept).items():
        tried = {each[0].config['learning_rate']: ends(each)[0] for each in kept.values() if is_candidate(each, name)}
        assert len(tried) == 4
        best = max(tried, key=tried.get)
        assert {run.config['learning_rate'] for run in runs} == {best}
        said = ', '.join(f'{tried[rate]:.2f}' for rate in sorted(tried))
        finals = ', '.join(f'{end:.2f}' for end in ends(runs))
        tests = [records.read(run.path)['test'] for run in runs]
        greedy, beam = (statistics.fmean(test[key] for test in tests) for key in ('bleu', 'bleu_beam_4'))
        assert f'| `{name}` | {said} | {best} | {finals} | {greedy:.2f} | {beam:.2f} |' in page


def is_candidate(runs, name):
    return runs[0].is_tuning and runs[0].system.startswith(f'{name}-learning_rate=')


def test_what_the_seeds_show_and_what_it_is_made_of(kept, page):
    seeds = amounts(kept, LEVEL)
    factors, found = factors_over(seeds, 'seq2seq'), compare_with_baseline(seeds, 'seq2seq')
    assert {name for name, each in found.items() if each.beats} == {'transformer'}
    assert f'p = {found["transformer"].p:.2g} by Welch' in page
    assert f'not that attention alone does (p = {found["seq2seq_attention"].p:.2g})' in page
    examples = factors_over(amounts(kept, LEVEL, 'examples'), 'seq2seq')['transformer'].value
    whole = factors['transformer'].value
    assert (
        f'Of the {whole:.3g} times, {examples:.3g} are in sentences, {whole / examples:.3g} in macs a sentence' in page
    )
    assert f'{5 * whole:.1f} times' in page


def test_the_bill_is_of_all_runs(kept, page):
    tuning = [run for runs in kept.values() for run in runs if run.is_tuning]
    spent = sum(float(run.curve['train_macs'][-1]) for run in tuning)
    assert f'{len(tuning)} tuning runs, {spent:.3g} train macs'.replace('e+', 'e') in page


def test_readme_begins_with_it(kept):
    factor = factors_over(amounts(kept, LEVEL), 'seq2seq')['transformer']
    readme = ' '.join((ROOT / 'README.md').read_text().split())
    runs = sum(map(len, measured(kept).values()))
    assert f'measured here | **{factor.value:.3g} x** {factor.interval}, to the Transformer (2017) |' in readme
    assert f'{len(measured(kept))} networks, {runs} runs, each at the best of four rates' in readme
