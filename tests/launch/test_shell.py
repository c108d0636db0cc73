"""The scripts below launch and the container file: linted, and run against a gcloud that notes how it was called."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT

SCRIPTS = sorted((ROOT / 'launch').rglob('*.sh'))
TPU = 'launch/tpu_vm/tpu.sh'
ACTIONS = [
    ('create',), ('install',), ('run', 'ls'), ('start', '--config=configs/lenet5.py'), ('follow',), ('stop',),
    ('fetch',), ('send',), ('delete',),
]  # fmt: skip


def test_shellcheck_finds_nothing():
    if not shutil.which('shellcheck'):
        pytest.skip('shellcheck is not installed')
    done = subprocess.run(
        ['shellcheck', *SCRIPTS, ROOT / '.ci' / 'run'], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_linter_of_container_files_finds_nothing():
    hadolint = shutil.which('hadolint', path=f'{os.path.dirname(sys.executable)}:{os.environ["PATH"]}')
    if not hadolint:
        pytest.skip('hadolint is not installed')
    done = subprocess.run(
        [hadolint, ROOT / 'launch' / 'Dockerfile'], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture
def host(tmp_path):
    """A folder with the commands of `tools`, of which `calls` reads what they were called with.

    The gcloud among them runs what it is to run on the hosts here, in the folder `home`, and copies files to it.
    """
    (tmp_path / 'tools').mkdir()
    (tmp_path / 'home').mkdir()
    write_down = f'#!/bin/bash\n(printf "%s\\0" "${{0##*/}}" "$@"; echo) >> {tmp_path}/calls\n'
    states = f'tail -n 1 {tmp_path}/states; sed -i "\\$d" {tmp_path}/states'
    on_the_host = f'cd {tmp_path}/home && bash -c "${{word#--command=}}"'
    tools = {
        'sudo': '',
        'python3': '',
        'gcloud': f"""
            case "$*" in
              *describe*) {states} ;;
              *" scp "*) for word; do if [ -f "$word" ]; then cp "$word" {tmp_path}/home; fi; done ;;
              *" ssh "*) for word; do case $word in --command=*) {on_the_host} ;; esac; done ;;
            esac
        """,
    }
    for name, body in tools.items():
        path = tmp_path / 'tools' / name
        path.write_text(write_down + body)
        path.chmod(0o755)
    (tmp_path / 'states').write_text('ACTIVE\nPROVISIONING\nWAITING_FOR_RESOURCES\n')
    return tmp_path


@pytest.mark.parametrize(
    ('code', 'restarts', 'requeued'),
    [
        (0, 0, False), (2, 0, False), (1, 0, True), (1, 2, True), (1, 3, False), (137, 2, True), (137, 3, False),
        (143, 0, True), (143, 30, True),
    ],
)  # fmt: skip
def test_when_a_job_of_slurm_requeues_itself(tmp_path, code, restarts, requeued):
    for name, body in (('srun', f'exit {code}'), ('scontrol', 'echo "$@" > called'), ('sleep', '')):
        (tmp_path / name).write_text(f'#!/bin/bash\n{body}\n')
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ['bash', ROOT / 'launch' / 'slurm' / 'train.sh', '--config=configs/lenet5.py'],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        env={'PATH': f'{tmp_path}:/usr/bin:/bin', 'SLURM_JOB_ID': '7', 'SLURM_RESTART_COUNT': str(restarts)},
    )  # fmt: skip
    assert done.returncode == code
    called = tmp_path / 'called'
    assert (called.read_text() if called.exists() else '') == ('requeue 7\n' if requeued else '')


def tpu(host, *arguments, **env):
    return subprocess.run(
        [TPU, *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        env=os.environ | {
            'PATH': f'{host}/tools:{os.environ["PATH"]}', 'TPU': 'slice', 'ZONE': 'us-central2-b', 'TYPE': 'v4-32',
            'POLL_SECONDS': '0',
        } | env,
    )  # fmt: skip


def calls(host, tool):
    lines = [line.split('\0') for line in (host / 'calls').read_text().split('\0\n')]
    return [arguments for name, *arguments in lines if name == tool]


def test_create_waits_until_the_slice_is_there(host):
    done = tpu(host, 'create', SPOT='1')
    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines()] == ['WAITING_FOR_RESOURCES', 'PROVISIONING', 'ACTIVE']
    request, *polls = calls(host, 'gcloud')
    assert request[2:5] == ['queued-resources', 'create', 'slice']
    assert {'--accelerator-type=v4-32', '--runtime-version=tpu-ubuntu2204-base', '--spot'} <= set(request)
    assert len(polls) == 3


def test_create_says_that_a_request_failed(host):
    (host / 'states').write_text('FAILED\nACCEPTED\n')
    done = tpu(host, 'create')
    assert (done.returncode, done.stderr) == (2, 'tpu.sh: the request for slice is FAILED; delete it, and ask again\n')


@pytest.mark.parametrize(
    ('kind', 'version'),
    [('v5litepod-16', 'v2-alpha-tpuv5-lite'), ('v5p-32', 'v2-alpha-tpuv5'), ('v6e-16', 'v2-alpha-tpuv6e')],
)
def test_each_kind_of_slice_has_its_own_image(host, kind, version):
    assert tpu(host, 'create', TYPE=kind).returncode == 0
    assert f'--runtime-version={version}' in calls(host, 'gcloud')[0]


def test_install_brings_this_commit_with_its_history(host):
    done = tpu(host, 'install')
    assert done.returncode == 0, done.stderr
    ours, theirs = (
        subprocess.run(['git', 'rev-list', 'HEAD'], cwd=folder, capture_output=True, text=True, check=True).stdout
        for folder in (ROOT, host / 'home' / 'efficiency')
    )
    assert ours == theirs
    assert calls(host, 'python3')[-1][-3:] == ['constraints.txt', '-e', '.[tpu]']
    assert tpu(host, 'install').returncode == 0  # over what an earlier one left


def test_start_hands_the_flags_on_as_they_are(host):
    flags = ['--config=configs/lenet5.py', '--config.train_split=train[:90%]', "--workdir=runs/it's mine"]
    (host / 'home' / 'efficiency').mkdir()
    done = tpu(host, 'start', *flags)
    assert done.returncode == 0, done.stderr
    (call,) = calls(host, 'sudo')
    assert call[0] == 'systemd-run'
    python = f'{host}/home/efficiency/.venv/bin/python'
    assert call[call.index(python) :] == [python, '-m', 'efficiency.main', '--wait_for_hosts=600', *flags]


@pytest.mark.parametrize(
    ('arguments', 'env', 'sentence'),
    [
        (['create'], {'TYPE': 'tpu7x-16'}, "TYPE is 'tpu7x-16'; it must be a slice of v2 to v6e"),
        (['creat'], {}, "there is no command 'creat'"),
        (['start'], {}, 'start needs the flags of python -m efficiency.main'),
        ([], {}, 'usage: TPU=NAME ZONE=ZONE'),
        (['create'], {'TPU': ''}, 'usage: TPU=NAME ZONE=ZONE'),
    ],
)
def test_a_mistake_is_said_in_one_sentence(host, arguments, env, sentence):
    done = tpu(host, *arguments, **env)
    assert done.returncode == 2
    assert done.stderr.startswith(f'tpu.sh: {sentence}')
    assert not (host / 'calls').exists()


def refused(host, call):
    """What gcloud's parser says of a call with one flag too many: it names what it does not know, and does nothing.

    It runs where there is no network, so that it could not do anything.
    """
    gcloud = shutil.which('gcloud')
    if not gcloud:
        pytest.skip('gcloud is not installed')
    done = subprocess.run(
        ['unshare', '--map-root-user', '--net', gcloud, *call, '--no-such-flag'],
        env=os.environ | {'CLOUDSDK_CONFIG': str(host / 'config')},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    return ' '.join(done.stderr.split())


@pytest.mark.slow
@pytest.mark.gcloud
@pytest.mark.parametrize('arguments', ACTIONS, ids=lambda arguments: arguments[0])
def test_gcloud_knows_every_flag(host, arguments):
    assert tpu(host, *arguments, SPOT='1').returncode == 0
    for call in {tuple(call) for call in calls(host, 'gcloud')}:
        assert 'unrecognized arguments: --no-such-flag' in refused(host, call)


@pytest.mark.slow
@pytest.mark.gcloud
def test_gcloud_would_say_so_of_a_misspelt_flag(host):
    assert tpu(host, 'create', SPOT='1').returncode == 0
    call = [word.replace('--spot', '--spott') for word in calls(host, 'gcloud')[0]]
    assert "unrecognized arguments: --spott (did you mean '--spot'?) --no-such-flag" in refused(host, call)
