"""launch/slurm on two nodes: one run over both, what happens to it, and a study as an array."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from efficiency import records
from tests.conftest import ROOT
from tests.launch.slurm import Cluster, missing, wait_until

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

# 250 steps and 8 evaluations, which never reach their target.
RUN = [
    'launch/slurm/train.sh', '--config=configs/lenet5.py', '--config.num_epochs=2.0', '--config.eval_every=0.25',
    '--config.target.value=1.0',
]  # fmt: skip
STUDY = """
def get_study():
    config = 'configs/lenet5.py:mnist5k'
    return {
        'seeds': range(2),
        'overrides': {'num_epochs': 0.1},
        'baseline': 'slow',
        'systems': {
            'slow': {'config': config},
            'fast': {'config': config, 'overrides': {'learning_rate': 0.02}},
        },
    }
"""


@pytest.fixture(scope='module')
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp('slurm'))
    yield cluster
    cluster.close()


def begin(cluster, folder):
    """Submits a run over both nodes, and returns the job's number and what it prints."""
    log = folder / 'job.out'
    return cluster.submit(f'--output={log}', '--time=10', *RUN, f'--workdir={folder / "run"}'), log


def curve(folder):
    """The evaluations of a run's record, but for the seconds."""
    entries = records.read(folder / 'run')['curve']
    return [{key: value for key, value in entry.items() if 'seconds' not in key} for entry in entries]


def is_under_way(folder):
    """Whether a run has come past its first evaluation: it has two checkpoints."""
    return len(list(folder.glob('run/checkpoints/[0-9]*'))) >= 2


@pytest.fixture(scope='module')
def undisturbed(cluster, tmp_path_factory):
    """The folder of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp('undisturbed')
    job, log = begin(cluster, folder)
    assert cluster.wait_for(job, 'COMPLETED', 'FAILED')['ExitCode'] == '0:0', log.read_text()
    return folder


def test_a_run_over_two_nodes(undisturbed):
    record = records.read(undisturbed / 'run')
    assert record['devices']['hosts'] == 2
    assert [program['steps'] for program in record['programs']] == [250]
    # One process alone says how it went.
    assert (undisturbed / 'job.out').read_text().count('lenet5 on mnist5k, exhausted') == 1


def test_a_requeued_run_goes_on_to_the_same_curve(cluster, undisturbed, tmp_path):
    job, log = begin(cluster, tmp_path)
    wait_until(lambda: is_under_way(tmp_path))
    cluster.run('scontrol', 'requeue', job)
    ended = cluster.wait_for(job, 'COMPLETED', 'FAILED')
    assert (ended['ExitCode'], ended['Restarts']) == ('0:0', '1'), log.read_text()
    assert curve(tmp_path) == curve(undisturbed)
    assert len(records.read(tmp_path / 'run')['resumed_from_steps']) == 1


def test_a_run_whose_second_host_is_killed_requeues_itself(cluster, undisturbed, tmp_path):
    job, log = begin(cluster, tmp_path)
    wait_until(lambda: is_under_way(tmp_path))
    os.kill(process_of(job, rank=1), signal.SIGKILL)
    ended = cluster.wait_for(job, 'COMPLETED', 'FAILED')
    assert (ended['ExitCode'], ended['Restarts']) == ('0:0', '1'), log.read_text()
    assert 'train.sh: exit code 137; requeued' in log.read_text()
    assert curve(tmp_path) == curve(undisturbed)


def process_of(job, rank):
    """The number of the process that is one rank of a job's step, None while there is none."""
    wanted = {f'SLURM_JOB_ID={job}'.encode(), f'SLURM_PROCID={rank}'.encode()}
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/environ', 'rb') as environ, open(f'/proc/{pid}/cmdline', 'rb') as command:
                if wanted <= set(environ.read().split(b'\0')) and b'efficiency.main' in command.read().split(b'\0'):
                    return int(pid)
        except OSError:
            continue  # it has ended meanwhile, or is the kernel's
    return None


def test_a_mistake_in_the_command_ends_the_job_at_once(cluster, tmp_path):
    log = tmp_path / 'job.out'
    job = cluster.submit(f'--output={log}', 'launch/slurm/train.sh', '--config=configs/lenet.py')
    ended = cluster.wait_for(job, 'COMPLETED', 'FAILED')
    assert (ended['ExitCode'], ended['Restarts']) == ('2:0', '0'), log.read_text()
    assert 'there is no config file configs/lenet.py' in log.read_text()


def test_a_cancelled_run_stays_cancelled(cluster, tmp_path):
    job, log = begin(cluster, tmp_path)
    wait_until(lambda: process_of(job, rank=0))
    cluster.run('scancel', job)
    cluster.wait_for(job, 'CANCELLED')
    time.sleep(1)
    assert cluster.job(job)['JobState'] == 'CANCELLED'
    assert 'requeued' not in log.read_text()


def test_a_study_as_an_array(cluster, tmp_path):
    study = tmp_path / 'four.py'
    study.write_text(STUDY)
    done = subprocess.run(
        [
            sys.executable, '-m', 'efficiency.study', f'--study={study}', '--engine=slurm', f'--runs={tmp_path}/runs',
            f'--results={tmp_path}/results',
        ],
        cwd=ROOT, env=cluster.env, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = sorted(path.relative_to(tmp_path / 'results') for path in tmp_path.glob('results/**/*.json'))
    assert [str(path) for path in found] == [
        f'four/{system}/seed{seed}.json' for system in ('fast', 'slow') for seed in (0, 1)
    ]
    for path in found:
        record = json.loads((tmp_path / 'results' / path).read_text())
        assert (record['status'], record['study']['name'], record['devices']['hosts']) == ('exhausted', 'four', 1)
