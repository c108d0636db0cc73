"""The commands that the pages show are taken, and do what the pages say, as far as one machine and minutes allow."""

import fnmatch
import json
import re
import shlex
import subprocess
import sys

import pytest

from efficiency import baselines, count, published, report, study
from efficiency.engines import ENGINES
from efficiency.studies.definition import read_study
from efficiency.tasks.images.networks import list_models
from tests.commands import is_taken_by_the_main_command
from tests.conftest import ROOT
from tests.docs.pages import PAGES, commands, programs

COMMANDS = sorted({command for page in PAGES for command in commands(page)})
# What the pages leave to the reader to fill in.
FILLED_IN = {
    'RUNS': 'results/learning_rate',
    'FILE': 'results/mnist5k/lenet5/seed0.json',
    'DATA': 'data',
    'FOLDER': 'flowers',
}


def shown(module, within=''):
    """The arguments of a module's commands, in which `within` stands."""
    found = []
    for command in COMMANDS:
        words = shlex.split(command.removesuffix(' &'))
        if f'python -m {module}' in command and words[0] in ('python', 'RAY_ADDRESS=head:6379'):
            arguments = words[words.index(module) + 1 :]
            found.append([re.sub(r'(?<==)[A-Z]+$', lambda match: FILLED_IN[match[0]], each) for each in arguments])
    return [pytest.param(each, id=' '.join(each)) for each in found if within in ' '.join(each)]


def test_every_command_is_of_a_kind_that_is_tried():
    # Here; the two that make an environment by CI; the weights' beside its program; what installs by CI, too; what
    # shows logs where these are written.
    kinds = r'(RAY_ADDRESS=\S+ )?python -m (efficiency\.(main|count|report|study|baselines|play)|benchmarks\.\w+)( |$)'
    others = r'python3 -m venv \.venv && |python -c "import torch|pip install |tensorboard --logdir |wandb sync '
    assert [command for command in COMMANDS if not re.match(f'{kinds}|{others}', command)] == []
    assert all(programs(ROOT / 'docs' / name) for name in ('networks.md', 'counting.md'))


@pytest.mark.parametrize('arguments', shown('efficiency.main'))
def test_the_main_command_takes_its_flags(arguments):
    is_taken_by_the_main_command(arguments)


@pytest.mark.parametrize('arguments', shown('efficiency.count', '--config') + shown('efficiency.count', 'resnet'))
def test_count_counts(arguments, capsys):
    assert count.main(arguments) == 0
    out = capsys.readouterr().out
    if '--format=json' in arguments:
        pattern = arguments[0].removeprefix('--models=')
        assert [row['model'] for row in json.loads(out)] == fnmatch.filter(list_models(), pattern)
    elif '--by_layer' in arguments:
        # 53 convolutions and a linear layer (He et al., 2015, table 1, and the four projections).
        layers = [line.split() for line in out.splitlines()[1:-1]]
        macs = [int(layer[3].replace(',', '')) for layer in layers]
        assert sum(each > 0 for each in macs) == 53 + 1
        assert sum(macs) == 4_089_184_256
    else:
        assert re.search(r'^alexnet .* 714,188,480 ', out, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.crosscheck
@pytest.mark.parametrize('arguments', shown('efficiency.count', '--against'))
def test_count_explains_what_others_count(arguments, capsys):
    pytest.importorskip('thop', reason='needs the extra crosscheck')
    assert count.main([*arguments, '--format=json']) == 0
    assert {row['model'] for row in json.loads(capsys.readouterr().out)} == set(
        fnmatch.filter(list_models(), '*net_v2*')
    )


@pytest.mark.parametrize('arguments', shown('efficiency.study'))
def test_a_study_that_is_shown_lists_its_runs(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    engines = [each.partition('=')[2] for each in arguments if each.startswith('--engine=')]
    assert set(engines) <= set(ENGINES)
    here = [each for each in arguments if not each.startswith('--engine')]
    assert study.main([*here, '--list', f'--runs={tmp_path}']) == 0
    table = capsys.readouterr().out.split('\n\n')[0].splitlines()[1:]
    assert [line for line in table if 'of other code' in line] == []
    listed = {line.split()[0] for line in table}
    (only,) = [each.partition('=')[2] for each in here if each.startswith('--only=')] or ['*']
    # A system that is to be tuned has runs of its own once its setting is chosen.
    found = read_study(here[0].partition('=')[2])
    systems = [*found.fixed, *found.tuned]
    runs = {(system.name, f'{system.name}/seed{seed}') for system in systems for seed in system.seeds}
    assert listed == {run for system, run in runs if fnmatch.fnmatch(system, only) or fnmatch.fnmatch(run, only)}


@pytest.mark.slow
@pytest.mark.parametrize('arguments', shown('efficiency.report'))
def test_a_report_is_made(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert report.main([each.replace('--out=', f'--out={tmp_path}/') for each in arguments]) == 0
    out = capsys.readouterr().out
    if '--out=report' in arguments:
        assert f'{tmp_path}/report/index.html: ' in out
        page = (tmp_path / 'report' / 'report.md').read_text()
        assert ('## Measured: ' in page) == any(each.startswith('--runs=') for each in arguments)
    else:
        assert ': nothing is wrong with it\n' in out


@pytest.mark.parametrize('arguments', shown('efficiency.baselines'))
def test_the_level_is_found_again(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(baselines, 'BASELINES_FILE', tmp_path / 'baselines.csv')
    baselines.main(arguments)
    said_only = '--say_only' in arguments
    level = 0.953 if any(each.startswith('--level') for each in arguments) else 0.954
    assert f'AlexNet-level is top1 >= {level}; 4 of 5 seeds reached it' in capsys.readouterr().out
    assert (tmp_path / 'baselines.csv').exists() != said_only
    if not said_only:
        assert (tmp_path / 'baselines.csv').read_text() == published.BASELINES_FILE.read_text()


def test_the_benchmarks_that_are_named_take_their_flags():
    named = [
        command for page in PAGES for command in re.findall(r'python -m\s+(benchmarks\.[^`\n]+)', page.read_text())
    ]
    modules = {command.split()[0] for command in named}
    assert len(modules) > 5
    for module in sorted(modules):
        flags = {flag for command in named for flag in re.findall(r' (--\w+)', command) if command.split()[0] == module}
        assert (ROOT / f'{module.replace(".", "/")}.py').is_file()
        if flags:
            told = subprocess.run(
                [sys.executable, '-m', module, '--help'], cwd=ROOT, capture_output=True, text=True, check=True
            )
            assert flags - {'--config'} <= set(re.findall(r'--\w+', told.stdout)), module


def test_the_tests_that_are_named_are_there():
    for page in PAGES:
        for command in re.findall(r'python -m pytest ([^`\n]+)', page.read_text()):
            for marker in re.findall(r'-m "?(?:not )?(\w+)', command):
                assert f'"{marker}: ' in (ROOT / 'pyproject.toml').read_text()
