"""The speed-run on mnist5k: its recipe and its parts, and the records that are kept of it, as its page tells them."""

import json
import math
import re
import statistics

import pytest

from configs.speedrun import mnist5k, mnist5k_parts
from efficiency import records
from efficiency.analysis.document import cell_text
from efficiency.analysis.factors import factor_with_interval
from efficiency.analysis.gains import by_parts, gains
from efficiency.analysis.mean_test import mean_test
from efficiency.analysis.runs import System, read_runs, seeds_of
from efficiency.analysis.survival import as_seeds
from efficiency.metrics import OF_CLASSES
from efficiency.studies.definition import read_study
from tests.conftest import ROOT

PAGE = (ROOT / 'docs' / 'speedrun.md').read_text()
LEVEL = 0.954


def kept(study, system):
    """The records of a system's seeds."""
    paths = sorted((ROOT / 'results' / study / system).glob('seed*.json'))
    return [records.read(path) for path in paths]


def test_all_parts_together_are_the_recipe_but_for_its_length():
    whole = mnist5k_parts.get_config('+'.join(mnist5k_parts.PARTS)).to_dict()
    recipe = mnist5k.get_config().to_dict()
    assert {key for key in recipe if whole[key] != recipe[key]} == {'num_epochs', 'eval_every'}


def test_none_of_the_parts_is_the_recipe_of_all_networks():
    plain = mnist5k_parts.get_config().to_dict()
    assert plain['optimizer'].pop('groups') == ()
    common = mnist5k_parts.common.paper_recipe('whitened_tiny', 'mnist5k', learning_rate=0.1).to_dict()
    differing = {key for key in plain if plain[key] != common[key]}
    assert differing == {'num_epochs', 'eval_every', 'stop_at_target', 'model'}
    with pytest.raises(ValueError, match='muons'):
        mnist5k_parts.get_config('muons')


@pytest.mark.parametrize('name', ['speedrun_mnist5k', 'speedrun_mnist5k_ablations'])
def test_every_record_is_of_its_study_and_none_is_missing(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    study = read_study(f'studies/{name}.py')
    planned = {run.name: run for system in study.fixed for run in system.runs()}
    for tuned in study.tuned:  # under the setting that was chosen
        settled = [json.loads(json.dumps(each.settled)) for each in tuned.candidates]
        for seed in tuned.seeds:
            found = records.read(ROOT / 'results' / name / tuned.name / f'seed{seed}.json')
            assert {key: found['config'][key] for key in found['config'] if key != 'seed'} in settled
    found = {}
    for path in (ROOT / 'results' / name).glob('*/*.json'):
        found[f'{path.parent.name}/{path.stem}'] = record = records.read(path)
        assert record['study']['name'] == name
        assert records.is_finished(record)
    names = {f'{tuned.name}/seed{seed}' for tuned in study.tuned for seed in tuned.seeds}
    assert found.keys() == planned.keys() | names
    for run, record in found.items():
        if run in planned:
            assert record['config'] == json.loads(json.dumps(planned[run].config)), run
            assert record['study']['role'] == planned[run].system.role


def test_the_page_says_what_the_records_say():
    runs, lenet = kept('speedrun_mnist5k', 'speedrun'), kept('speedrun_mnist5k', 'lenet5')
    finals = [run['final']['top1'] for run in runs]
    found = mean_test(finals, OF_CLASSES['top1'], LEVEL)
    assert found.n >= 5
    assert found.p < 0.01
    assert found.reached >= 0.8 * found.n
    (macs,) = {run['final']['train_macs'] for run in runs}
    assert macs == records.spent(runs[0])[0]
    factor = statistics.median(run['first_crossing']['train_macs'] for run in lenet) / macs
    assert factor > 5
    said = (
        f'{found.reached} of {found.n} seeds',
        f'mean of {100 * found.mean:.2f} %',
        f'p = {found.p:.1g}',
        f'{macs:.3g}'.replace('e+0', 'e'),
        f'{factor:.1f} times less',
    )
    for text in said:
        assert text in PAGE, text
    everything = [records.read(path) for path in (ROOT / 'results' / 'speedrun_mnist5k').rglob('*.json')]
    tuning = [record for record in everything if record['study']['role'] == 'tuning']
    spent = sum(records.spent(record)[0] for record in tuning)
    assert f'{len(tuning)} tuning runs' in PAGE
    assert f'{spent / macs:.0f} times' in PAGE
    command = 'python -m efficiency.study --study=studies/speedrun_mnist5k.py --changed_code'
    assert re.search(f'^    {command}$', PAGE, re.MULTILINE)


def test_the_page_has_what_the_parts_are_worth():
    runs, _ = read_runs(ROOT / 'results' / 'speedrun_mnist5k_ablations')
    systems = {}
    for run in runs:
        systems.setdefault(run.system, []).append(run)
    seeds = {
        parts: seeds_of(System(name, '', systems[name]).crossings(runs[0].target, 'interpolated'))
        for parts, name in by_parts(systems)['plain'].items()
    }
    found = gains('plain', seeds)
    assert {part.name for part in found.parts} == set(mnist5k_parts.PARTS)
    for part in found.parts:
        assert f'| `{part.name}` | {part.alone} | {part.beside} |' in PAGE
    assert f'| all together | {found.whole} | |' in PAGE
    assert f'{found.whole.value / found.product("alone"):.1f} times the product' in PAGE


def cifar10(role):
    """The records of the speed-run on CIFAR-10 that are in that role."""
    found = [records.read(path) for path in (ROOT / 'results' / 'speedrun_cifar10').glob('*/*.json')]
    assert {record['study']['role'] for record in found} == {'tuning', 'baseline'}
    return [record for record in found if record['study']['role'] == role]


def test_the_page_has_the_best_of_the_search_on_cifar10():
    found = cifar10('tuning')
    spent = sum(record['final']['train_macs'] for record in found)
    assert f'{len(found)} tuning runs of one seed each, {cell_text(float(spent))} train macs' in PAGE
    best = {}
    for record in sorted(found, key=lambda record: record['final']['top1']):
        best[cell_text(float(record['final']['train_macs']))] = record
    lines = re.findall(r'^\| (\S+e\d+) \| ([\d.]+) % \| (\d+), ([\d.]+), ([\d.]+) \|$', PAGE, re.MULTILINE)
    assert {macs for macs, *_ in lines} >= {'6.61e11', '1.30e12', '2.60e12'}
    assert 'all with shifts and alternating flips' in PAGE
    for macs, *said in lines:
        config, top1 = best[macs]['config'], best[macs]['final']['top1']
        assert config['augmentation'] == 'shift_alternating_flip'
        settings = config['model']['width'], config['num_epochs'], config['learning_rate']
        assert [f'{100 * top1:.2f}', *(f'{value:g}' for value in settings)] == said


def test_the_pages_have_the_factors_to_what_all_seeds_of_alexnet_get_to_on_cifar10():
    runs, tuning = cifar10('baseline'), cifar10('tuning')
    alexnet = [records.read(path) for path in sorted((ROOT / 'results' / 'cifar10' / 'alexnet').glob('*.json'))]
    assert [record['seed'] for record in alexnet] == [0, 1, 2]
    finals = [record['final']['top1'] for record in alexnet]

    def crossings(level):
        target = {'metric': 'top1', 'value': level}
        return [records.first_crossing(record['curve'], target, OF_CLASSES) for record in alexnet]

    def of_seeds(key, at, form=cell_text, between=', '):
        return between.join(form(float(each[key])) for each in at)

    level = math.floor(1000 * min(finals) + 1e-9) / 1000
    found = mean_test([run['final']['top1'] for run in runs], OF_CLASSES['top1'], level)
    assert (found.n, found.reached) == (5, 5)
    assert found.p < 0.01
    (macs,) = {run['final']['train_macs'] for run in runs}
    (longer,) = {
        run['final']['train_macs'] for run in tuning if cell_text(float(run['final']['train_macs'])) == '6.61e11'
    }
    spent = sum(records.spent(record)[0] for record in tuning)
    at = crossings(level)
    took = [each['train_macs'] for each in at]
    factor = factor_with_interval(as_seeds(took), as_seeds([run['final']['train_macs'] for run in runs]))
    assert factor.low > 200
    epochs, each, median = of_seeds('epochs', at, '{:.0f}'.format), of_seeds('train_macs', at), sorted(took)[1]
    said = (
        ' and '.join(', '.join(f'{100 * final:.2f} %' for final in finals).rsplit(', ', 1)),
        f'first after {" and ".join(epochs.rsplit(", ", 1))} epochs, {" and ".join(each.rsplit(", ", 1))} train macs',
        f'mean of {100 * found.mean:.2f} %, p = {found.p:.1g} | {cell_text(float(macs))} | {factor} |',
        f"takes {factor.value:.0f} times less than AlexNet's median to {100 * level:.1f} %",
        f"are {median / longer:.0f} times less than AlexNet's median",
        f'With the search below on the bill it is {median / (spent + macs):.2g} times less',
        f'{spent / macs:.0f} times what one run',
        f'3 of 3 | {", ".join(f"{100 * final:.2f} %" for final in finals)} | {cell_text(float(median))} | 1 |',
    )
    page = ' '.join(PAGE.split())
    for text in said:
        assert text in page, text
    readme = ' '.join((ROOT / 'README.md').read_text().split())
    assert (
        f'[{factor} times less](docs/speedrun.md) than AlexNet on CIFAR-10, {median / (spent + macs):.2g} with'
        in readme
    )
    page = (ROOT / 'docs' / 'results.md').read_text()
    assert f'[{factor.value:.0f} times less](speedrun.md#cifar-10), with an interval of [{factor.low:.0f}' in page
    for top1 in (0.5, 0.6, 0.65, 0.7, level):
        at = crossings(top1)
        line = f'| {100 * top1:g} % | {of_seeds("epochs", at, "{:.0f}".format)} | {of_seeds("train_macs", at)} |'
        assert line in page
