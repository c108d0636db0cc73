"""The command that counts: JSON and nothing else, exact, and a row for every network asked for."""

import json
import subprocess
import sys

import pytest

from efficiency import count
from tests.conftest import ROOT


def run(*args):
    return subprocess.run(
        [sys.executable, '-m', 'efficiency.count', *args], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_json_is_all_there_is_on_stdout_and_exact():
    done = run('--models=shufflenet_v1_x1_0', '--format=json')
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert list(row) == list(count.COLUMNS)
    assert (row['params'], row['image_size'], row['published']) == (1_865_728, 224, '2017-07-03')
    assert row['forward_dense_macs'] == 137_460_672
    assert row['forward_real_macs'] < row['forward_dense_macs']
    # Forward and two gradients, but for the images' own.
    first_layer = 112 * 112 * 24 * 27
    assert row['train_dense_macs'] == 3 * row['forward_dense_macs'] - first_layer
    assert row['train_over_forward'] == row['train_dense_macs'] / row['forward_dense_macs']


def test_a_network_that_does_not_exist_at_a_size_keeps_its_row():
    done = run('--models=alexnet', '--image_size=4', '--format=json')
    assert done.returncode == 0
    (row,) = json.loads(done.stdout)
    assert row['params'] is row['train_dense_macs'] is None
    assert '15 is the smallest that fits' in row['reason']


@pytest.mark.parametrize(
    ('args', 'says'),
    [
        (['--models=alexnt'], 'the nearest are alexnet'),
        (['--image_size=0'], '--image_size is 0'),
        (['--models=x*'], "no model is named 'x*'"),
    ],
)
def test_mistakes_are_one_sentence(args, says):
    done = run(*args)
    assert done.returncode == 2
    assert done.stdout == ''
    assert says in done.stderr
    assert 'Traceback' not in done.stderr


def test_the_table_is_for_reading():
    done = run('--models=alexnet')
    assert done.returncode == 0
    heading, row = done.stdout.splitlines()
    assert heading.split()[0] == 'model'
    assert '61,100,840' in row
