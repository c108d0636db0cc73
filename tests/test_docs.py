"""What the pages in docs say is what the commands beside it give."""

import csv
import itertools
import re
import tomllib

import pytest

from benchmarks.train_step import markdown as train_steps
from efficiency.count import count_network
from efficiency.models import list_models
from efficiency.studies.definition import read_study
from efficiency.study import main as study_command
from efficiency.tables import render
from tests.conftest import ROOT

PAGE = (ROOT / 'docs' / 'networks.md').read_text()
# Counted at both sizes within a second or two.
QUICK = ('alexnet', 'lenet5', 'mobilenet_v1', 'squeezenet1_1', 'vgg11')


@pytest.mark.parametrize(
    'name', [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in list_models()]
)
def test_the_tables_of_networks_are_counted(name):
    native, small = count_network(name), count_network(name, image_size=28, num_classes=10)
    for row in (native, small):
        heading, _, line = render([row], 'markdown').splitlines()
        assert heading in PAGE
        assert line in PAGE


def test_every_network_has_both_rows():
    rows = re.findall(r'^\| (\w+) \| \d{4}-', PAGE, re.MULTILINE)
    assert sorted(rows) == sorted(2 * list_models())


def test_the_table_of_train_steps_is_the_measured_one():
    (path,) = (ROOT / 'benchmarks' / 'results').glob('train_step-torch-32px-*.csv')
    with open(path, newline='', encoding='utf-8') as file:
        assert train_steps(csv.DictReader(file)) in (ROOT / 'README.md').read_text()


def test_the_extras_that_are_asked_for_are_provided():
    extras = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']['optional-dependencies']
    # What names them otherwise, pip before 23.3 passes over.
    assert all(re.fullmatch('[a-z0-9]+(-[a-z0-9]+)*', extra) for extra in extras)
    folders = ('benchmarks', 'configs', 'docs', 'efficiency', 'tests')
    pages = itertools.chain(ROOT.glob('*.md'), *((ROOT / folder).rglob('*.[mp][dy]') for folder in folders))
    asked = [match for page in pages for match in re.findall(r'pip install.*?"\.\[([^]]*)\]"', page.read_text())]
    assert set(','.join(asked).split(',')) <= set(extras)
    assert len(asked) > 10


COUNTING = (ROOT / 'docs' / 'counting.md').read_text()
# What follows a heading shares its names, as a reader has run what stands above.
SECTIONS = re.split(r'^\*\*|^#+ ', COUNTING, flags=re.MULTILINE)
PROGRAMS = ['\n'.join(blocks) for text in SECTIONS if (blocks := re.findall(r'```python\n(.*?)```', text, re.DOTALL))]


def test_the_studies_shown_are_studies(tmp_path):
    shown = re.findall(r'```python\n(.*?)```', (ROOT / 'docs' / 'studies.md').read_text(), re.DOTALL)
    runs = []
    for program in shown:
        (tmp_path / 'shown.py').write_text(program)
        study = read_study(str(tmp_path / 'shown.py'))
        runs.append((sum(len(system.seeds) for system in study.fixed), len(study.tuned)))
    assert runs == [(3 + 3 + 5, 0), (3 + 3 * 3, 1)]


def test_the_outcome_of_the_study_shown_is_what_its_records_say(tmp_path, capsys):
    command = [f'--study={ROOT / "studies" / "learning_rate.py"}', f'--results={ROOT / "results"}']
    assert study_command([*command, f'--runs={tmp_path}']) == 0
    assert f'```text\n{capsys.readouterr().out}```' in (ROOT / 'docs' / 'studies.md').read_text()


@pytest.mark.parametrize('program', [program for program in PROGRAMS if 'torch' not in program])
def test_the_programs_on_counting_hold(program):
    exec(compile(program, 'docs/counting.md', 'exec'), {})


@pytest.mark.crosscheck
@pytest.mark.parametrize('program', [program for program in PROGRAMS if 'torch' in program])
def test_the_programs_on_other_frameworks_hold(program):
    for module in ('torch', 'fvcore', 'thop'):
        pytest.importorskip(module, reason='needs the extra crosscheck')
    exec(compile(program, 'docs/counting.md', 'exec'), {})
