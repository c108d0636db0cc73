"""A level that follows from seeds is itself measured, and says how sure it is."""

import dataclasses
import math
import re

import numpy as np
import pytest

from efficiency import baselines
from efficiency.analysis.baseline_level import level_interval
from efficiency.analysis.contents import network_dates
from efficiency.analysis.factors import factors_over
from efficiency.analysis.measured import measured_section
from efficiency.analysis.runs import read_runs, seeds_of, shared_targets, systems
from efficiency.published import BASELINES_FILE
from efficiency.published.points import networks
from tests.analysis.conftest import RETURN, TOP1, saver
from tests.conftest import ROOT


def test_seeds_that_agree_leave_only_the_error_of_the_examples():
    low, high = level_interval([0.9] * 5, TOP1, 1000)
    error = math.sqrt(0.9 * 0.1 / 1000)
    assert low == pytest.approx(0.9 - 1.96 * error, abs=0.002)
    assert high == pytest.approx(0.9 + 1.96 * error, abs=0.002)
    assert level_interval([0.9] * 5, TOP1, None) == (0.9, 0.9)
    assert level_interval([12.0] * 5, RETURN, 512) == (12.0, 12.0)


def test_it_is_between_seeds_that_were_there():
    finals = [10.0, 11.0, 12.0, 13.0, 14.0]
    low, high = level_interval(finals, RETURN, None)
    assert low == 10.0
    # The fourth best of five draws is 14 only where four or five of them are: in 0.7 % of the cases.
    assert high == 13.0


def test_more_examples_make_a_level_surer():
    widths = [np.ptp(level_interval([0.95, 0.951, 0.952, 0.953, 0.954], TOP1, n)) for n in (100, 1000, 100_000)]
    assert widths[0] > 2 * widths[1] > 2 * widths[2]


def test_a_table_says_its_level_is_measured_where_it_is(tmp_path):
    save = saver(tmp_path)
    for seed in range(5):
        save(f'alexnet-{seed}', model='alexnet', seed=seed, accuracies=(0.3, 0.6, 0.8), target=0.8)
        save(f'vgg-{seed}', model='vgg11', seed=seed, accuracies=(0.85, 0.95), target=0.8)
    runs, _ = read_runs(tmp_path)

    def told(target):
        return [
            text
            for text in measured_section(target, runs, network_dates(networks()), str).text
            if 'The level is' in text
        ]

    (target,) = shared_targets(runs)
    (text,) = told(target)
    # Of ten examples an evaluation is no surer than this.
    assert 'the standard error of an evaluation 0.13' in text
    assert 'does not' not in text
    assert 'do not get in the median' in text
    assert not told(type(target)(target.dataset, target.fingerprint, target.metric, 0.7))


def test_the_results_page_says_what_seeds_of_their_own_choose_and_what_follows(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    before = BASELINES_FILE.read_bytes()
    assert baselines.main(['--runs=results/mnist5k', '--level=results/alexnet_level', '--say_only']) == 0
    assert BASELINES_FILE.read_bytes() == before
    level = float(re.search(r'top1 >= (\S+);', capsys.readouterr().out)[1])
    runs, _ = read_runs('results/mnist5k')
    target = next(dataclasses.replace(target, value=level) for target in runs[0].targets)
    crossings = {system.name: system.crossings(target) for system in systems(runs)}
    factor = factors_over({name: seeds_of(each) for name, each in crossings.items()}, 'alexnet')['shufflenet_v1_x1_0']
    there = seeds_of(crossings['alexnet']).summary.n_reached
    page = ' '.join((ROOT / 'docs' / 'results.md').read_text().split())
    assert there == 4
    assert f'it is {level:g}, while the tables keep 0.954: four of the five billed seeds are there' in page
    assert f'the factor to ShuffleNet v1 is {factor} as at 0.954' in page
