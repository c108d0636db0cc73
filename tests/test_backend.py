"""What a machine lacks, or how jax is told to compute there: one sentence, or it works; by kind."""

import contextlib
import errno
import os
import subprocess
import sys

import pytest

from efficiency import records
from efficiency.data.batches import BatchSpan, RunBatches, TrainBatches
from efficiency.data.pipeline import TrainStream
from efficiency.errors import DataError
from efficiency.tasks.images.data.datasets import load
from tests.conftest import ROOT
from tests.training.several import image_tree

pytestmark = pytest.mark.kind('what a machine lacks')

MAIN = ['efficiency.main', '--config=configs/lenet5.py']


def said(command, env, **options):
    """What a command says, by its exit code and the lines on stdout and stderr."""
    done = subprocess.run(
        [sys.executable, '-m', *command], cwd=ROOT, env=os.environ | env, capture_output=True, check=False, **options
    )
    return done.returncode, done.stdout.decode().splitlines(), done.stderr.decode().splitlines()


@pytest.mark.parametrize(
    ('env', 'says'),
    [
        ({'JAX_PLATFORMS': 'rocm'}, 'JAX_PLATFORMS=rocm: jax finds no such device here'),
        ({'JAX_PLATFORMS': 'cdua'}, 'JAX_PLATFORMS=cdua: jax finds no such device here'),
        ({'JAX_PLATFORMS': 'cdua,rocm'}, 'JAX_PLATFORMS=cdua,rocm: jax finds no such device here'),
        ({'JAX_PLATFORM_NAME': 'cdua'}, 'JAX_PLATFORM_NAME=cdua: jax finds no such device here'),
        ({'JAX_DISABLE_JIT': '1'}, 'JAX_DISABLE_JIT is True; unset it'),
        ({'JAX_DISABLE_JIT': 'perhaps'}, "invalid truth value 'perhaps'"),
        ({'JAX_DEFAULT_PRNG_IMPL': 'rbg'}, "JAX_DEFAULT_PRNG_IMPL is 'rbg'; unset it"),
        ({'JAX_DEFAULT_PRNG_IMPL': 'dice'}, 'Invalid value "dice"'),
        ({'JAX_ENABLE_X64': '1'}, 'JAX_ENABLE_X64 is True; unset it'),
        ({'JAX_NUMPY_DTYPE_PROMOTION': 'strict'}, "JAX_NUMPY_DTYPE_PROMOTION is 'strict'; unset it"),
        ({'JAX_DEBUG_NANS': '1'}, 'JAX_DEBUG_NANS is True; unset it'),
        ({'XLA_FLAGS': '--xla_nothing=1'}, 'Unknown flag in XLA_FLAGS: --xla_nothing=1; mend'),
        ({'XLA_FLAGS': '/nothing'}, 'Could not open file'),
        ({'XLA_FLAGS': '--xla_force_host_platform_device_count=three'}, "Couldn't interpret value three"),
        ({'XLA_FLAGS': '--xla_force_host_platform_device_count=0'}, 'there is no CPU; mend'),
        ({'JAX_TRANSFER_GUARD': 'disallow'}, "JAX_TRANSFER_GUARD is 'disallow'; unset it"),
    ],
    ids=lambda value: ' '.join(f'{name}={text}' for name, text in value.items()) if isinstance(value, dict) else '',
)
def test_a_run_that_would_not_be_what_its_config_says_is_one_sentence(env, says, tmp_path):
    code, out, errors = said([*MAIN, f'--workdir={tmp_path / "run"}'], env)
    assert (code, out, len(errors)) == (2, [], 1), errors
    assert errors[0].startswith('efficiency: ')
    assert says in errors[0]
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('platform', ['cuda', 'tpu'])
def test_an_accelerator_that_is_not_here_is_one_sentence_without_its_library(platform, tmp_path):
    code, _, errors = said([*MAIN, f'--workdir={tmp_path / "run"}'], {'JAX_PLATFORMS': platform})
    if code == 0:
        pytest.skip(f'no accelerator is missing: there is a {platform} here')
    assert (code, len(errors)) == (2, 1), errors
    assert errors[0].startswith(f'efficiency: JAX_PLATFORMS={platform}: jax finds no such device here')


@pytest.mark.parametrize(
    'command',
    [[*MAIN, '--eval_only', '--config.init_from=x'], ['efficiency.count', '--models=lenet5', '--compiled']],
    ids=['eval_only', 'count --compiled'],
)
@pytest.mark.parametrize('env', [{'JAX_PLATFORMS': 'cdua'}, {'JAX_DISABLE_JIT': '1'}], ids=['platform', 'jit'])
def test_other_commands_that_compile_say_the_same(command, env):
    code, out, errors = said(command, env)
    assert (code, out, len(errors)) == (2, [], 1), errors
    assert errors[0].startswith('efficiency: JAX_')


@pytest.mark.parametrize(
    'command',
    [
        ['efficiency.count', '--models=lenet5', '--xla'],
        ['efficiency.report', '--check_submission=results/mnist5k/lenet5/seed0.json'],
        ['efficiency.study', '--study=studies/learning_rate.py', '--list'],
    ],
    ids=['count', 'check_submission', 'study'],
)
def test_what_only_counts_or_reads_is_the_same_whatever_jax_is_told(command):
    strange = {'JAX_PLATFORMS': 'cdua', 'JAX_DISABLE_JIT': '1', 'JAX_DEFAULT_PRNG_IMPL': 'rbg', 'JAX_ENABLE_X64': '1'}
    assert said(command, strange) == said(command, {})


def test_workers_that_cannot_be_given_shared_memory_are_one_sentence(monkeypatch, tmp_path):
    def no_room(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    data = load('two_classes', ('train', 'val'), 32, image_tree(tmp_path / 'tree', 8))
    # As semaphores fail where /dev/shm is full, not writable, or not there.
    monkeypatch.setattr('multiprocessing.synchronize.SemLock.__init__', no_room)
    stream = TrainStream(RunBatches([BatchSpan(0, 0, 8, TrainBatches(data.train, 8, 0, True))]), 0, 2, workers=1)
    with contextlib.closing(stream), pytest.raises(DataError, match=r'/dev/shm.*\(No space left.*--data_workers=0'):
        next(stream)


@pytest.mark.slow
@pytest.mark.parametrize('options', ['size=4k', 'size=200k', 'size=1m', 'ro', 'nr_inodes=1'])
def test_too_little_shared_memory_for_workers_is_one_sentence(options, tmp_path):
    tree = image_tree(tmp_path / 'tree', 16)
    train = [*MAIN[:1], '--config=configs/lenet5.py:two_classes', f'--data_dir={tree}', '--config.target.value=1.0']
    train += ['--config.image_size=128', '--config.batch_size=8', f'--workdir={tmp_path / "run"}', '--data_workers=2']
    mounted = f'mount -t tmpfs -o {options} tmpfs /dev/shm || exit 77; exec "$@"'
    command = ['unshare', '--mount', 'bash', '-c', mounted, 'bash', sys.executable, '-m', *train]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode in (1, 77) and 'efficiency: ' not in done.stderr:
        pytest.skip('/dev/shm can be made small by root alone')
    assert done.returncode == 1, done.stderr
    assert '/dev/shm' in done.stderr.splitlines()[-1]
    assert 'Traceback' not in done.stderr
    assert records.read(tmp_path / 'run')['status'] == 'failed'
