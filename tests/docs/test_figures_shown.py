"""The tables and figures on the pages are what the commands beside them give."""

import csv
import pathlib
import re
import tomllib

import pytest

from benchmarks.train_step import markdown as train_steps
from efficiency import records
from efficiency.count import count_network
from efficiency.study import main as study_command
from efficiency.summary import summary
from efficiency.tables import render
from efficiency.tasks.images.networks import list_models
from tests.conftest import ROOT
from tests.docs.pages import README

NETWORKS = (ROOT / 'docs' / 'networks.md').read_text()
# Counted at both sizes within a second or two.
QUICK = ('alexnet', 'lenet5', 'mobilenet_v1', 'squeezenet1_1', 'vgg11')


@pytest.mark.parametrize(
    'name', [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in list_models()]
)
def test_the_tables_of_networks_are_counted(name):
    native, small = count_network(name), count_network(name, image_size=28, num_classes=10)
    for row in (native, small):
        heading, _, line = render([row], 'markdown').splitlines()
        assert heading in NETWORKS
        assert line in NETWORKS


def test_every_network_has_both_rows():
    rows = re.findall(r'^\| (\w+) \| images \| \d{4}-', NETWORKS, re.MULTILINE)
    assert sorted(rows) == sorted(2 * list_models())


def measured(name):
    """The rows of a benchmark on each machine that it ran on."""
    for path in sorted((ROOT / 'benchmarks' / 'results').glob(f'{name}-*.csv')):
        with open(path, newline='', encoding='utf-8') as file:
            yield list(csv.DictReader(file))


def test_the_tables_of_train_steps_are_the_measured_ones():
    tables = list(measured('train_step-torch-32px'))
    for rows in tables:
        assert train_steps(rows) in (ROOT / 'docs' / 'speed.md').read_text()
    ratios = [float(row['ratio']) for rows in tables for row in rows]
    assert f'takes {min(ratios):.2f} to {max(ratios):.2f} times as long as torch' in README.read_text()


def test_what_counting_takes_beside_its_trace_is_what_was_measured():
    (rows,) = measured('count_trace')
    ratios = [float(row['ratio']) for row in rows]
    assert f'{min(ratios):.2f} to {max(ratios):.2f} times as long for eight' in (ROOT / 'docs/counting.md').read_text()
    assert len(rows) == 8


def test_the_table_of_language_steps_is_the_measured_one():
    (rows,) = measured('train_step-torch-256tokens')
    assert train_steps(rows) in (ROOT / 'docs' / 'speed.md').read_text()


def test_the_first_run_that_readme_shows_is_the_committed_one_of_that_seed():
    path = ROOT / 'results' / 'mnist5k' / 'shufflenet_v1_x1_0' / 'seed0.json'
    lines = summary(records.read(path), pathlib.Path('runs')).splitlines()
    # Up to its target; the committed one was trained on.
    until = next(i for i, line in enumerate(lines) if line.lstrip().startswith('efficiency factor'))
    assert '\n'.join(lines[: until + 1]) in README.read_text()


def test_the_extras_that_are_asked_for_are_provided():
    extras = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']['optional-dependencies']
    # What names them otherwise, pip before 23.3 passes over.
    assert all(re.fullmatch('[a-z0-9]+(-[a-z0-9]+)*', extra) for extra in extras)
    folders = ('benchmarks', 'configs', 'docs', 'efficiency', 'tests')
    pages = [README, *(path for folder in folders for path in (ROOT / folder).rglob('*.[mp][dy]'))]
    asked = [match for page in pages for match in re.findall(r'pip install.*?"\.\[([^]]*)\]"', page.read_text())]
    assert set(','.join(asked).split(',')) <= set(extras)
    assert len(asked) > 10


def test_the_outcome_of_the_study_shown_is_what_its_records_say(tmp_path, capsys):
    command = [f'--study={ROOT / "studies" / "learning_rate.py"}', f'--results={ROOT / "results"}']
    assert study_command([*command, f'--runs={tmp_path}']) == 0
    assert f'```text\n{capsys.readouterr().out}```' in (ROOT / 'docs' / 'studies.md').read_text()
