"""An entry from outside the package: checked from its own config, seed by seed, and shown where it would stand."""

import json
import shutil
import subprocess
import sys

import pytest

from efficiency.analysis.submission import check, files_of
from efficiency.errors import UserError
from tests.conftest import ROOT

ENTRY = ROOT / 'results' / 'submissions' / 'two_convolutions'


def checked(folder, *arguments):
    """What the command says of a folder; in a process of its own, as a config file registers its network for good."""
    command = [sys.executable, '-m', 'efficiency.report', f'--check_submission={folder}', *arguments]
    return subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)


def test_an_entry_is_checked_from_its_own_config_and_shown_in_its_table():
    done = checked(ENTRY, f'--config={ENTRY / "config.py"}', '--runs=results/mnist5k')
    assert done.returncode == 0, done.stderr
    assert 'nothing is wrong with it' in done.stdout
    (line,) = (line for line in done.stdout.splitlines() if 'this one' in line)
    rank, system, *_ = line.split()
    assert (rank, system) == ('1', 'two_convolutions')
    assert 'top1 >= 0.954 on mnist5k' in done.stdout
    # Every system of ours is there, the one that never got there last and without a rank.
    assert done.stdout.splitlines()[-1].split()[:2] == ['-', 'squeezenet1_1']


def test_without_its_config_nothing_vouches_for_its_macs():
    done = checked(ENTRY)
    assert done.returncode == 1
    assert done.stderr.count('is no network of ours') == len(list(ENTRY.glob('*.json')))
    assert 'pass the config file that registers it by --config' in done.stderr


def test_a_record_of_another_recipe_or_of_less_macs_is_said(tmp_path):
    folder = tmp_path / 'entry'
    shutil.copytree(ENTRY, folder)
    first, second, *_ = sorted(folder.glob('*.json'))
    record = json.loads(first.read_text())
    record['config']['learning_rate'] = 0.01
    first.write_text(json.dumps(record))
    record = json.loads(second.read_text())
    record['evaluation']['dense_macs'] //= 2
    second.write_text(json.dumps(record))
    done = checked(folder, f'--config={folder / "config.py"}')
    assert done.returncode == 1
    assert f'{first.name}: config.learning_rate is 0.01, and the config file has 0.05' in done.stderr
    assert f'{second.name}: evaluation.dense_macs is' in done.stderr
    assert 'config.learning_rate of seed 1 is another than that of seed 0' in done.stderr


def test_seeds_are_each_there_once(tmp_path):
    for name in ('a', 'b'):
        shutil.copy(ROOT / 'results' / 'mnist5k' / 'lenet5' / 'seed0.json', tmp_path / f'{name}.json')
    assert check(tmp_path) == [f'{tmp_path}: seed 0 is there 2 times']
    with pytest.raises(UserError, match='a submission of several seeds is a folder of run records'):
        files_of(ROOT / 'docs')


def test_a_submission_on_other_data_has_no_table():
    done = checked(ROOT / 'results' / 'mnist5k' / 'lenet5', f'--runs={ENTRY.parent.parent.parent / "docs"}')
    assert done.returncode == 2
    assert done.stderr.count('\n') == 1


def test_a_submission_whose_copies_are_among_the_runs_counts_once(tmp_path):
    shutil.copytree(ROOT / 'results' / 'mnist5k' / 'lenet5', tmp_path / 'mine')
    done = checked(tmp_path / 'mine', '--runs=results/mnist5k')
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if 'this one' in line)
    assert line.split()[:2] == ['1', 'lenet5']
    seeds = len(list((tmp_path / 'mine').glob('*.json')))
    assert line.split()[-4:-2] == [str(seeds)] * 2
