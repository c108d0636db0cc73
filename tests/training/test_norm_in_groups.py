"""Runs whose batch norm takes groups of examples: what devices exchange, what they give, what a record says."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from configs import common, lenet5, shufflenet
from efficiency import records
from efficiency.analysis.runs import read_runs, systems
from efficiency.baselines import baseline_row, complete_runs
from efficiency.errors import UserError
from efficiency.layers.modules import NormInGroups
from efficiency.tasks.images.networks import create_model
from efficiency.tasks.images.task import network
from efficiency.training.identity import run_name
from efficiency.training.loop import train
from efficiency.training.settings import check_config
from tests.analysis.conftest import saver
from tests.conftest import ROOT
from tests.main_process import start_main
from tests.training.patches import SLOW_STEPS, with_patch
from tests.training.test_run import assert_same_run, wait_for_checkpoint, workdir_of

# A network of few operations, trained by the very train step over 1, 4 and 8 of 8 devices.
_STEPS = """
import json
import jax, jax.flatten_util, numpy as np, optax
from flax import linen as nn
from efficiency.tasks.images.data.augment import augmentation
from efficiency.flops.ahead import collectives
from efficiency.tasks.images.networks.variables import initialise
from efficiency.layers.modules import BatchNorm, Conv, Dense, NormInGroups
from efficiency.tasks.images.loss import loss_of
from efficiency.training.mesh import DataParallel
from efficiency.training.step import init_state, make_train_step

class Small(nn.Module):
    num_classes: int = 10

    @nn.compact
    def __call__(self, x, train):
        x = nn.relu(BatchNorm(train, name='norm1')(Conv(16, 3, padding=1, name='conv1')(x)))
        x = nn.relu(BatchNorm(train, name='norm2')(Conv(24, 3, stride=2, name='conv2')(x)))
        return Dense(self.num_classes, name='fc')(x.mean((1, 2)))

# At a low learning rate, as a high one amplifies the rounding of sums in another order.
optimizer = optax.sgd(0.001, momentum=0.9)
first = init_state(initialise(Small(), jax.random.key(0), 12), optimizer, jax.random.key(0))

def trained(batch_size, group, count):
    model = NormInGroups(Small(), group) if group else Small()
    step = make_train_step(loss_of(model, augmentation('none'), (0.5,) * 3, (0.25,) * 3), optimizer)
    devices = DataParallel(batch_size, jax.devices()[:count])
    random = np.random.RandomState(0)
    state = devices.put_state(first)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
    jitted = jax.jit(step, out_shardings=(shardings, None))
    images = random.randint(0, 256, (batch_size, 12, 12, 3)).astype(np.uint8)
    batch = devices.put_batch({'image': images, 'label': random.randint(0, 10, batch_size).astype(np.int32)})
    compiled = jitted.lower(state, batch).compile()
    for _ in range(3):
        state, loss = compiled(state, batch)
    leaves, _ = jax.flatten_util.ravel_pytree((state.params, state.extra, loss))
    return collectives(compiled.as_text()), np.asarray(leaves).tolist()

found = {f'{b} {g} {n}': trained(b, g, n) for b, g, n in json.loads(%r)}
params, stats = (sum(leaf.size for leaf in jax.tree.leaves(tree)) for tree in (first.params, first.extra))
print(json.dumps([found, params, stats]))
"""
# (batch, group): of the whole batch, within the part of each of four devices, of two devices' parts, across parts.
_RESULTS = [(64, 0), (64, 8), (64, 32), (48, 8)]
_OVER_EIGHT = [(64, 0), (64, 8), (64, 4)]


@pytest.fixture(scope='module')
def steps():
    """{'batch group devices': (collectives, parameters, statistics and loss after three steps)}, and their sizes."""
    runs = [(*run, count) for run in _RESULTS for count in (1, 4)] + [(*run, 8) for run in _OVER_EIGHT]
    done = subprocess.run(
        [sys.executable, '-c', _STEPS % json.dumps(runs)], cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {'XLA_FLAGS': '--xla_force_host_platform_device_count=8', 'JAX_PLATFORMS': 'cpu'},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(('batch', 'group'), _RESULTS)
def test_the_result_does_not_depend_on_the_devices(steps, batch, group):
    one, four = (np.array(steps[0][f'{batch} {group} {count}'][1]) for count in (1, 4))
    np.testing.assert_allclose(four, one, rtol=1e-6, atol=1e-6)
    if group and batch == 64:
        assert abs(one - steps[0]['64 0 1'][1]).max() > 1e-4


def test_groups_within_a_devices_part_exchange_nothing_more_than_gradients_statistics_and_loss(steps):
    found, params, stats = steps
    apart = 4 * (params + stats + 1)
    for group in (8, 4):
        assert found[f'64 {group} 8'][0] == {'all-reduce': [1, apart]}
    # Over the whole batch each of the two norms waits for all devices: for two sums forward, and for what flows back,
    # the gradients of its scale and bias, so that as much is exchanged, but not at once.
    kinds = found['64 0 8'][0]
    assert list(kinds) == ['all-reduce']
    number, size = kinds['all-reduce']
    assert number > 2 * 2
    assert size == apart


def test_a_run_in_groups_is_killed_goes_on_and_says_so_in_its_record(short_run, run_main, tmp_path):
    args, workdir = [*short_run, '--config.batch_norm_group=8'], workdir_of(short_run)
    whole = f'{workdir}-whole'
    assert run_main(*args, f'--workdir={whole}').returncode == 0
    process = start_main(args, with_patch(tmp_path / 'site', SLOW_STEPS))
    at = wait_for_checkpoint(workdir, process)
    process.kill()
    process.communicate()
    done = run_main(*args)
    assert done.returncode == 0, done.stderr
    record = records.read(workdir)
    assert (record['status'], record['final']['step'], record['config']['batch_norm_group']) == ('exhausted', 20, 8)
    assert record['resumed_from_steps'][0] >= at
    assert_same_run(whole, workdir)
    other = run_main(*short_run)
    assert other.returncode == 2
    assert 'differs in batch_norm_group; take another --workdir' in other.stderr


def test_a_group_that_does_not_divide_the_batch_is_told_the_nearest_that_would():
    config = shufflenet.get_config()
    for group, near in ((5, 4), (9, 8), (31, 32), (64, 32)):
        config.batch_norm_group = group
        with pytest.raises(UserError, match=f'batch_norm_group {group} does not divide batch_size 32; {near} would'):
            check_config(config)
    config.batch_norm_group = -1
    with pytest.raises(UserError, match='batch_norm_group is -1; it must be a whole number of examples that divides'):
        check_config(config)
    config.batch_norm_group = 32
    check_config(config)


def test_the_network_of_a_config_normalises_as_the_config_says():
    config = shufflenet.get_config()
    model = create_model(config.model.name, 10, config.image_size)
    assert network(config, 10) == model
    config.batch_norm_group = 8
    assert network(config, 10) == NormInGroups(model, 8)


def without_the_key(workdir):
    """Makes a run's files those of a version that had no groups."""
    record = json.loads((workdir / 'run.json').read_text())
    record['config'].pop('batch_norm_group', None)
    (workdir / 'run.json').write_text(json.dumps(record | {'status': 'running'}))
    for path in workdir.glob('checkpoints/*/progress.json'):
        kept = json.loads(path.read_text())
        progress = json.loads(kept['progress'])
        progress['config'].pop('batch_norm_group', None)
        kept['progress'] = json.dumps(progress)
        path.write_text(json.dumps(kept | {'progress_sha256': hashlib.sha256(kept['progress'].encode()).hexdigest()}))


def test_a_run_from_before_there_were_groups_is_gone_on_with(tmp_path):
    config = lenet5.get_config()
    config.num_epochs, config.target.value = 0.016, 1.0
    train(config, tmp_path)
    without_the_key(tmp_path)
    record = train(config, tmp_path)
    assert (record['status'], record['resumed_from_steps']) == ('exhausted', [2])
    without_the_key(tmp_path)
    config.batch_norm_group = 8
    with pytest.raises(UserError, match='another config, which differs in batch_norm_group; take another'):
        train(config, tmp_path)
    (tmp_path / 'run.json').unlink()
    with pytest.raises(UserError, match=r'another run, which differs in config\.batch_norm_group'):
        train(config, tmp_path)


def test_the_default_workdir_is_still_that_of_runs_from_before_there_were_groups():
    config = common.paper_recipe('lenet5', 'mnist5k', learning_rate=0.01)
    before = config.to_dict() | {'eval_only': False, 'preset': 'mnist5k', 'tensorboard': False}
    for later in (*records.LATER_CONFIG_KEYS, 'seed'):
        before.pop(later, None)
    digest = hashlib.sha256(json.dumps(before, sort_keys=True).encode()).hexdigest()[:8]
    assert run_name(config) == f'lenet5-mnist5k-{digest}-s0'
    config.batch_norm_group = 8
    assert digest not in run_name(config)


def test_seeds_from_before_and_after_are_one_system(tmp_path):
    save = saver(tmp_path / 'runs')
    save('before', seed=0)
    save('after', seed=1, batch_norm_group=0)
    folder = save('in-groups', seed=0, batch_norm_group=8)
    runs, left_out = read_runs(folder)
    assert not left_out
    assert {system.name: [run.seed for run in system.runs] for system in systems(runs)} == {
        'net (batch_norm_group=0)': [0, 1],
        'net (batch_norm_group=8)': [0],
    }


def test_seeds_from_before_and_after_make_one_baseline(tmp_path):
    results = ROOT / 'results' / 'mnist5k'
    for path in results.glob('alexnet/*.json'):
        record = json.loads(path.read_text())
        # Whether the file has the key or not: of each kind two seeds at least.
        record['config'].pop('batch_norm_group', None)
        if record['seed'] % 2:
            record['config']['batch_norm_group'] = 0
        (tmp_path / path.name).write_text(json.dumps(record))
    assert baseline_row(complete_runs(tmp_path), 'here') == baseline_row(complete_runs(results), 'here')
