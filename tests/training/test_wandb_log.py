"""Runs in Weights & Biases, offline, read back by W&B's own reader of its files."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from efficiency import records
from tests.conftest import ROOT
from tests.main_process import start_main
from tests.training.test_run import wait_for_checkpoint, workdir_of

pytest.importorskip('wandb', reason='needs the extra wandb')


@pytest.fixture(autouse=True)
def nobody_logged_in(monkeypatch, tmp_path):
    """A user who has never told W&B anything."""
    for name in [name for name in os.environ if name.startswith('WANDB')]:
        monkeypatch.delenv(name)
    monkeypatch.setenv('XDG_CACHE_HOME', os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache'))
    monkeypatch.setenv('HOME', str(tmp_path))


@pytest.fixture
def args(short_run):
    """Of a run whose first steps are soon compiled."""
    return ['--config=configs/lenet5.py', *short_run[1:], '--log=wandb']


def kept(workdir):
    """The records of the one run that is there, by their type."""
    (folder,) = workdir.glob('wandb/offline-run-*')
    command = [sys.executable, '-m', 'wandb', 'leet', 'inspect', '--json', str(folder)]
    lines = subprocess.run(command, capture_output=True, check=True).stdout.splitlines()
    found = {}
    for line in map(json.loads, lines):
        found.setdefault(line['type'], []).append(line[line['type']])
    return found


def points(workdir):
    """The curve as W&B has it; its own keys, which begin with _, apart."""
    rows = [row['item'] for row in kept(workdir)['history']]
    assert [row['_step'] for row in rows] == [row['step'] for row in rows]
    return [{name: value for name, value in row.items() if not name.startswith('_')} for row in rows]


def services_of(pid):
    """The processes of W&B that serve a process, which they are told by its number."""
    found = []
    for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
        with contextlib.suppress(OSError):  # of a process that has ended meanwhile
            words = path.read_bytes().split(b'\0')
            if words[0].endswith(b'wandb-core') and str(pid).encode() in words:
                found.append(int(path.parent.name))
    return found


def test_a_run_is_kept_offline_where_nobody_is_logged_in(args, run_main, tmp_path):
    here = tmp_path / 'here'
    here.mkdir()
    args = [arg.replace('configs/', f'{ROOT}/configs/') for arg in args]
    done = run_main(*args, cwd=here)
    assert (done.returncode, 'wandb' in (done.stdout + done.stderr).lower()) == (0, False), done.stderr
    assert list(here.iterdir()) == []
    workdir = workdir_of(args)
    record, found = records.read(workdir), kept(workdir)
    assert points(workdir) == record['curve']
    assert len(record['curve']) == 4
    (run,) = found['run']
    config = {key: value for key, value in run['config']['update'].items() if not key.startswith('_')}
    assert config == record['config']
    assert (run['project'], run['display_name']) == ('efficiency', f'{run["run_group"]}-s0')
    assert found['metric'] == [
        {'glob_name': '*', 'options': {'defined': True, 'step_sync': True}, 'step_metric': 'train_macs'}
    ]
    assert [end['exit_code'] for end in found['exit']] == [0]


def test_a_killed_run_goes_on_as_the_same_run_with_each_point_once(args, run_main):
    workdir = workdir_of(args)
    process = start_main(args)
    wait_for_checkpoint(workdir, process)
    process.kill()
    process.communicate()
    (before,) = workdir.glob('wandb/offline-run-*')
    done = run_main(*args)
    assert done.returncode == 0, done.stderr
    assert records.read(workdir)['resumed_from_steps']
    (after,) = workdir.glob('wandb/offline-run-*')
    assert after != before
    identity = (workdir / 'wandb' / 'id').read_text()
    assert [run['run_id'] for run in kept(workdir)['run']] == [identity]
    assert before.name.endswith(f'-{identity}')
    assert points(workdir) == records.read(workdir)['curve']


def test_a_run_that_fails_has_failed_there_too(args, run_main):
    done = run_main(*args, '--config.learning_rate=1e30', '--config.gradient_clip_norm=0.0')
    assert done.returncode == 1, done.stderr
    assert [end['exit_code'] for end in kept(workdir_of(args))['exit']] == [1]


def test_a_run_outlives_its_log(args, tmp_path):
    """W&B's process is killed after the first evaluation."""
    args[2] = '--config.num_epochs=0.8'  # long enough to be caught in it
    process = start_main(args)
    wait_for_checkpoint(workdir_of(args), process)
    (service,) = services_of(process.pid)
    os.kill(service, signal.SIGKILL)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert errors.decode().count('the run goes on without its log wandb, which failed: ') == 1
    assert b'Traceback' not in errors
    record = records.read(workdir_of(args))
    assert (record['status'], len(record['curve'])) == ('exhausted', 20)


@pytest.mark.parametrize(
    ('env', 'says'),
    [
        ({'WANDB_MODE': 'online'}, 'nobody is logged in to Weights & Biases'),
        ({'WANDB_API_KEY': 'short'}, 'Weights & Biases does not begin: AuthenticationError: WANDB_API_KEY invalid'),
        ({'WANDB_MODE': 'offlin'}, 'Weights & Biases does not begin: ValidationError: 1 validation error'),
    ],
)
def test_what_keeps_it_from_beginning_is_one_sentence_before_the_run_begins(args, run_main, env, says):
    done = run_main(*args, env=env)
    assert done.returncode == 2, done.stderr
    (sentence,) = done.stderr.splitlines()
    assert says in sentence
    assert not (workdir_of(args) / 'run.json').exists()
