"""What the pages say of MinAtar is what the kept records say."""

import re

import pytest

from efficiency.analysis.compare import compare_with_baseline
from efficiency.analysis.document import cell_text
from efficiency.analysis.factors import factor_with_interval, factors_over
from efficiency.analysis.runs import read_runs, seeds_of, systems
from efficiency.analysis.survival import summary_over_seeds
from efficiency.metrics import Metric
from tests.conftest import ROOT

_RETURN = Metric('return', 'points', True, 0)
LEVEL = 7.7


@pytest.fixture(scope='module')
def kept():
    """Of each system of the table its runs."""
    runs, _ = read_runs(ROOT / 'results' / 'minatar')
    return {run.system: [each for each in runs if each.system == run.system] for run in runs}


@pytest.fixture(scope='module')
def page():
    text = (ROOT / 'docs' / 'games.md').read_text()
    return ' '.join(text.partition('## MinAtar, as measured')[2].split())


def amounts(kept, level):
    """What each run took to a return, by system; the factor over DQN."""
    seeds = {}
    for name in kept:
        (system,) = systems(kept[name])
        target = kept[name][0].target
        seeds[name] = seeds_of(system.crossings(target.__class__(*target.data, _RETURN, level)))
    return seeds, factors_over(seeds, 'dqn')


def test_each_row_is_that_of_the_records(kept, page):
    for level in (5, 6, 7, LEVEL, 8.4):
        seeds, factors = amounts(kept, level)
        macs = {name: cell_text(summary_over_seeds(each).median) for name, each in seeds.items()}
        row = f'| {level} | {macs["dqn"]} | {macs["ppo"]} | {factors["ppo"]} | {macs["pqn"]} | {factors["pqn"]} |'
        assert row in page, row


def test_the_level_is_what_all_seeds_of_dqn_end_at(kept, page):
    ends = {name: [float(run.curve['return'][-1]) for run in kept[name]] for name in ('dqn', 'ppo', 'pqn')}
    assert int(min(ends['dqn']) * 10) / 10 == LEVEL
    assert all(f'{end:.2f}' in page for each in ends.values() for end in each)
    # By the mean of what they end at.
    seeds, factors = amounts(kept, int(sum(ends['dqn']) / 3 * 10) / 10)
    spent = min(run.curve['train_macs'][-1] for run in kept['dqn'])
    least = spent / summary_over_seeds(seeds['pqn']).median
    assert f'after {spent:.3g} macs, and PQN takes at least {least:.3g} times less'.replace('e+', 'e') in page
    assert f'anything in {factors["pqn"].interval}, and no difference is shown' in page
    assert not any(found.beats for found in compare_with_baseline(seeds, 'dqn').values())


def test_what_the_seeds_show_and_what_it_is_made_of(kept, page):
    seeds, factors = amounts(kept, LEVEL)
    found = compare_with_baseline(seeds, 'dqn')
    assert f'p = {found["pqn"].p:.1g} and {found["ppo"].p:.1g} at 7.7' in page
    assert {name for name, each in found.items() if each.beats} == {'ppo', 'pqn'}
    frames = {name: sorted(run.crossing(_RETURN, LEVEL).examples for run in kept[name])[1] for name in ('dqn', 'pqn')}
    of_frames = frames['dqn'] / frames['pqn']
    assert f'{of_frames:.3g} is in frames, {factors["pqn"].value / of_frames:.3g} in macs a frame' in page


def test_what_dqns_later_steps_come_to(kept, page):
    def took(name, level):
        (system,) = systems(kept[name])
        target = kept[name][0].target
        return seeds_of(system.crossings(target.__class__(*target.data, _RETURN, level)))

    assert all(run.config['double'] for run in kept['n_step_dueling'])
    for name in ('dqn_every_4_frames', 'n_step_dueling'):
        ends = ['{:.2f}'.format(run.curve['return'][-1]) for run in kept[name]]
        (spent,) = {cell_text(float(run.curve['train_macs'][-1])) for run in kept[name]}
        assert f'{", ".join(ends[:2])} and {ends[2]} for {spent}' in page
        assert max(map(float, ends)) < LEVEL
    every, n_step, at_5 = (
        factor_with_interval(took('dqn', level), took(name, level))
        for name, level in (('dqn_every_4_frames', 3), ('n_step_dueling', 3), ('n_step_dueling', 5))
    )
    assert f'({every} times less), the second {n_step} times less, to one of 5 still {at_5}:' in page


def test_readme_begins_with_it(kept):
    _, factors = amounts(kept, LEVEL)
    factor, interval = re.match(r'(\S+) (.*)', str(factors['pqn'])).groups()
    runs = sum(map(len, kept.values()))
    readme = ' '.join((ROOT / 'README.md').read_text().split())
    assert f'measured here | **{factor} x** {interval}, to PQN (2024) |' in readme
    assert f'{len(kept)} ways to learn, {runs} runs' in readme
