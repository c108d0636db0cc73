"""What a run can meet: killed at any moment, a full disk, a damaged file. It goes on as if it had met nothing."""

import json
import random
import shutil
import subprocess
import sys
import time

import pytest

from efficiency import records
from efficiency.training.run import steps_of
from tests import small
from tests.conftest import ROOT
from tests.main_process import start_main
from tests.training.patches import SLOW_STEPS, with_patch
from tests.training.several import image_tree
from tests.training.test_run import assert_same_run, wait_for_checkpoint, workdir_of


def on_photographs(config, tfds_dir):
    """Arguments, but for the workdir, of a run on photographs that workers decode: 16 steps and 4 evaluations."""
    return [
        f'{config}:imagenet_sample', f'--data_dir={tfds_dir}', '--config.image_size=32',
        '--config.batch_size=50', '--config.num_epochs=3.2', '--config.eval_every=0.8', '--data_workers=2',
    ]  # fmt: skip


def run_whole(args, workdir):
    """That run, uninterrupted."""
    process = start_main([*args, f'--workdir={workdir}'])
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert b'Traceback' not in errors
    # Where libraries are heard, as the one that gives shared memory back.
    assert 'leaked' not in (workdir / 'run.log').read_text()
    return workdir


@pytest.fixture(scope='module')
def streamed(tfds_dir):
    return on_photographs(small.CONFIG, tfds_dir)


@pytest.fixture(scope='module')
def whole(streamed, tmp_path_factory):
    return run_whole(streamed, tmp_path_factory.mktemp('whole') / 'run')


@pytest.fixture(scope='module')
def streamed_shufflenet(tfds_dir):
    """One whose checkpoints are megabytes, and whose compiling and steps take seconds."""
    return on_photographs('--config=configs/shufflenet.py', tfds_dir)


@pytest.fixture(scope='module')
def whole_shufflenet(streamed_shufflenet, tmp_path_factory):
    return run_whole(streamed_shufflenet, tmp_path_factory.mktemp('whole') / 'run')


def test_photographs_are_trained_and_evaluated_on(whole):
    record = records.read(whole)
    assert [point['step'] for point in record['curve']] == [4, 8, 12, 16]
    assert record['config']['augmentation'] == 'resized_crop_flip'
    assert record['dataset']['num_eval'] == 250
    assert record['evaluation']['examples'] == 4 * 250


def test_a_record_that_does_not_decode_is_named_and_once_mended_the_run_goes_on(tmp_path, run_main):
    image_tree(tmp_path / 'tree', 50)
    # The first is among the 64 of 100 that the data set's fingerprint is taken of, the other is not.
    broken = [tmp_path / 'tree' / 'train' / 'class0' / name for name in ('00.jpg', '02.jpg')]
    whole = broken[1].read_bytes()
    for path in broken:
        path.write_bytes(whole[:-40])
    args = [
        f'{small.CONFIG}:two_classes', f'--data_dir={tmp_path / "tree"}', '--config.target.value=1.0',
        f'--workdir={tmp_path / "run"}', '--config.image_size=32', '--config.batch_size=8', '--config.num_epochs=1.0',
        '--data_workers=1',
    ]  # fmt: skip
    done = run_main(*args)
    assert done.returncode == 1
    says = records.read(tmp_path / 'run')['failure']
    assert done.stderr.splitlines()[-1] == f'efficiency: {says}'
    assert any(says.startswith(f'{path} cannot be read: ') for path in broken)
    assert 'Traceback' not in done.stderr
    for path in broken:  # by another image than it was
        path.write_bytes(whole)
    other = tmp_path / 'tree' / 'val' / 'class1' / '49.jpg'
    content = other.read_bytes()
    other.write_bytes(whole)
    done = run_main(*args)
    assert done.returncode == 2
    assert 'holds a run on other data' in done.stderr
    other.write_bytes(content)
    done = run_main(*args)
    assert done.returncode == 0, done.stderr
    assert records.read(tmp_path / 'run')['status'] in ('exhausted', 'reached')


@pytest.fixture(scope='module')
def interrupted(whole, streamed, tmp_path_factory):
    """A run of the same config that was killed after its second checkpoint or a later one."""
    folder = tmp_path_factory.mktemp('interrupted')
    workdir = folder / 'run'
    process = start_main([*streamed, f'--workdir={workdir}'], with_patch(folder / 'site', SLOW_STEPS))
    wait_for_checkpoint(workdir, process, after=4)
    process.kill()
    process.communicate()
    return workdir


def test_a_run_on_photographs_is_resumed_exactly_with_any_number_of_workers(
    interrupted, whole, streamed, tmp_path, run_main
):
    shutil.copytree(interrupted, tmp_path / 'run')
    done = run_main(*streamed, f'--workdir={tmp_path / "run"}', '--data_workers=0')
    assert done.returncode == 0, done.stderr
    assert_same_run(whole, tmp_path / 'run')


def test_a_damaged_newest_checkpoint_is_said_and_the_one_before_gone_on_from(
    interrupted, whole, streamed, tmp_path, run_main
):
    shutil.copytree(interrupted, tmp_path / 'run')
    *_, before, newest = sorted((tmp_path / 'run' / 'checkpoints').glob('[0-9]*'), key=lambda path: int(path.name))
    state = newest / 'state.safetensors'
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 1
    state.write_bytes(content)
    done = run_main(*streamed, f'--workdir={tmp_path / "run"}')
    assert done.returncode == 0
    assert f'the checkpoint of step {newest.name} is damaged and is passed over' in done.stderr
    assert 'Traceback' not in done.stderr
    assert records.read(tmp_path / 'run')['resumed_from_steps'] == [int(before.name)]
    assert_same_run(whole, tmp_path / 'run')


@pytest.mark.slow
def test_no_room_for_a_checkpoint_is_one_sentence_and_the_same_command_goes_on(
    whole_shufflenet, streamed_shufflenet, tmp_path, run_main
):
    args = [*streamed_shufflenet, f'--workdir={tmp_path / "run"}']
    # No file may grow beyond 2 MiB: the record may be written, the checkpoint may not.
    limited = ['bash', '-c', 'ulimit -f 2048; exec "$@"', 'bash', sys.executable, '-m', 'efficiency.main', *args]
    done = subprocess.run(limited, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1
    assert 'File too large; what was written before is whole' in done.stderr.splitlines()[-1]
    assert 'Traceback' not in done.stderr
    assert records.read(tmp_path / 'run')['status'] == 'running'
    done = run_main(*args)
    assert done.returncode == 0, done.stderr
    assert_same_run(whole_shufflenet, tmp_path / 'run')


@pytest.fixture
def small_disk(tmp_path):
    """Makes a disk of a size in KiB, and gives it more room when called again."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    mounted = []

    def size(kilobytes):
        options = f'{"remount," if mounted else ""}size={kilobytes}k'
        done = subprocess.run(
            ['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', folder], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip('a small disk can be made by root alone')
        mounted.append(folder)
        return folder

    yield size
    if mounted:
        subprocess.run(['umount', '-l', folder], check=True)


@pytest.mark.slow
@pytest.mark.parametrize('kilobytes', [4, 16, 24, 40, 2000, 9000, 16000, 30000])
def test_a_full_disk_at_each_kind_of_write(kilobytes, small_disk, whole_shufflenet, streamed_shufflenet, run_main):
    args = [*streamed_shufflenet, f'--workdir={small_disk(kilobytes) / "run"}']
    done = run_main(*args)
    assert done.returncode == 1, done.stderr
    assert 'No space left on device' in done.stderr.splitlines()[-1]
    assert 'Traceback' not in done.stderr
    workdir = workdir_of(args)
    if (workdir / 'run.json').exists():
        records.read(workdir)
    small_disk(200_000)
    done = run_main(*args)
    assert done.returncode == 0, done.stderr
    assert_same_run(whole_shufflenet, workdir)


def _kill_at_random(args, draw, at_a_write):
    """Starts a run and kills it at a random moment, or while it writes a checkpoint; whether it had ended before."""
    process = start_main(args)
    until = time.monotonic() + draw.uniform(0.5, 14)
    checkpoints = workdir_of(args) / 'checkpoints'
    while time.monotonic() < until and process.poll() is None:
        if at_a_write and time.monotonic() > until - 5 and any(checkpoints.glob('.*')):
            break
        time.sleep(0.001)
    ended = process.poll() is not None
    process.kill()
    process.communicate()
    return ended


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['held', 'streamed'])
def test_fifteen_kills_at_random_moments_change_nothing(kind, streamed_shufflenet, tmp_path, run_main):
    draw = random.Random(kind)
    if kind == 'held':
        args = ['--config=configs/shufflenet.py', '--config.num_epochs=0.4', '--config.eval_every=0.02']
    else:
        args = [*streamed_shufflenet, '--config.num_epochs=6.0', '--config.eval_every=0.4']
    args += ['--config.target.value=1.0']
    assert run_main(*args, f'--workdir={tmp_path / "whole"}').returncode == 0
    kills = runs = at = 0
    while kills < 15:
        workdir = tmp_path / f'run{runs}'
        kills += not _kill_at_random([*args, f'--workdir={workdir}'], draw, at_a_write=kills % 2 == 1)
        if (workdir / 'run.json').exists():
            record = records.read(workdir)
            if records.is_finished(record):
                assert_same_run(tmp_path / 'whole', workdir)
                runs, at = runs + 1, 0
            else:
                # It gets on, as far as it was saved.
                saved = [
                    json.loads(path.read_text())['progress'] for path in workdir.glob('checkpoints/*/progress.json')
                ]
                reached = max((steps_of(json.loads(text)) for text in saved), default=0)
                assert reached >= at
                at = reached
    done = run_main(*args, f'--workdir={workdir}')
    assert done.returncode == 0, done.stderr
    assert_same_run(tmp_path / 'whole', workdir)


@pytest.mark.slow
def test_ten_signals_to_stop_at_random_moments_change_nothing(
    whole_shufflenet, streamed_shufflenet, tmp_path, run_main
):
    draw, args, stops = random.Random(0), [*streamed_shufflenet, f'--workdir={tmp_path / "run"}'], 0
    while stops < 10:
        process = start_main(args)
        time.sleep(draw.uniform(0.5, 14))
        process.terminate()
        _, errors = process.communicate(timeout=60)
        if process.returncode == 0:
            assert_same_run(whole_shufflenet, tmp_path / 'run')
            shutil.rmtree(tmp_path / 'run')
            continue
        stops += 1
        # By Python's own handler before training begins, by ours after saving.
        assert process.returncode in (-15, 143), errors
        assert b'Traceback' not in errors
    assert run_main(*args).returncode == 0
    assert_same_run(whole_shufflenet, tmp_path / 'run')
