"""A study on two Ray nodes, one of which is lost on the way: no run is lost, and records are those of one machine."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from efficiency import records
from tests.conftest import ROOT

_SEEDS = 2
_SETTINGS = {'num_epochs': 3.0, 'target.value': 1.0}


@pytest.fixture
def namespace():
    """The name of a network namespace with only lo."""
    pytest.importorskip('ray', reason='needs the extra sweep')
    name = f'efficiency-ray-{os.getpid()}'
    made = shutil.which('ip') and subprocess.run(['ip', 'netns', 'add', name], capture_output=True, check=False)
    if not made or made.returncode:
        pytest.skip('network namespaces cannot be made here: it takes ip, of iproute2, and root')
    subprocess.run(['ip', 'netns', 'exec', name, 'ip', 'link', 'set', 'lo', 'up'], check=True)
    yield name
    left = subprocess.run(['ip', 'netns', 'pids', name], capture_output=True, text=True, check=True).stdout.split()
    for pid in left:
        os.kill(int(pid), 9)
    subprocess.run(['ip', 'netns', 'delete', name], check=True)


def without_times(curve):
    return [{key: value for key, value in point.items() if not key.endswith('_seconds')} for point in curve]


def test_a_lost_node_loses_no_run(namespace, tmp_path, run_main):
    study = {'seeds': range(_SEEDS), 'overrides': _SETTINGS, 'systems': {'a': {'config': 'configs/lenet5.py'}}}
    path, runs, results = tmp_path / 'small.py', tmp_path / 'runs', tmp_path / 'results'
    path.write_text(f'def get_study():\n    return {study}\n')
    done = subprocess.run(
        ['ip', 'netns', 'exec', namespace, sys.executable, '-m', 'tests.launch.lose_a_node', path, runs, results],
        cwd=ROOT, env=os.environ | {'RAY_USAGE_STATS_ENABLED': '0'}, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    happened = json.loads(done.stdout.splitlines()[-1])
    assert happened['code'] == 0, happened['errors']
    print(f'the run of the lost node ended {happened["orphan_lived_seconds"]:.1f} s after it')
    # No orphan goes on beside the run that has taken its place, and nothing is left behind.
    assert happened['orphan_lived_seconds'] < 10
    assert not subprocess.run(['ip', 'netns', 'pids', namespace], capture_output=True, check=True).stdout.strip()
    kept = [records.read(results / 'small' / 'a' / f'seed{seed}.json') for seed in range(_SEEDS)]
    assert [record['status'] for record in kept] == ['exhausted'] * _SEEDS
    # The nodes share a disk, so that the lost run went on from its checkpoint; the study's command shared none.
    again = {pathlib.Path(happened['lost']).name: 1}
    assert [len(r['resumed_from_steps']) for r in kept] == [again.get(f'seed{seed}', 0) for seed in range(_SEEDS)]
    args = ['--config=configs/lenet5.py', f'--workdir={tmp_path / "by-hand"}']
    assert run_main(*args, *(f'--config.{key}={value}' for key, value in _SETTINGS.items())).returncode == 0
    by_hand, by_ray = records.read(tmp_path / 'by-hand'), kept[0]
    same = ('config', 'dataset', 'programs', 'evaluation', 'macs_per_example', 'git', 'target', 'xla', 'failure')
    assert {key: by_ray[key] for key in same} == {key: by_hand[key] for key in same}
    assert without_times(by_ray['curve']) == without_times(by_hand['curve'])
