"""Parameters in groups: each is trained as its group says, and a mistake in a group is one sentence."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from configs import lenet5
from efficiency.config_file import read_config
from efficiency.costs import counted_recipe
from efficiency.errors import UserError
from efficiency.training.checkpoint import Checkpoints
from efficiency.training.identity import differing_keys, run_name
from efficiency.training.optimizer import make_optimizer
from efficiency.training.parameter_groups import grouped_optimizer, parameters_by_group
from efficiency.training.plan import optimizer_of
from efficiency.training.recipe import opened
from efficiency.training.schedules import make_schedule
from efficiency.training.settings import check_config
from tests.conftest import ROOT

SHAPES = {
    'Conv_0': {'kernel': (3, 3, 2, 4), 'bias': (4,)},
    'BatchNorm_0': {'scale': (4,), 'bias': (4,)},
    'Dense_0': {'kernel': (4, 5), 'bias': (5,)},
    'Dense_1': {'kernel': (5, 3), 'bias': (3,)},
}
RATE, DECAY = 0.1, 0.01
GROUPED = {
    'name': 'adamw',
    'b2': 0.95,
    'groups': (
        {'params': r'Dense_\d+/kernel', 'name': 'sgd', 'learning_rate': 0.02, 'momentum': 0.5},
        {'params': 'bias|scale', 'weight_decay': 0.0},
    ),
}


def arrays(seed):
    random = np.random.RandomState(seed)
    return jax.tree.map(
        lambda shape: jnp.asarray(random.randn(*shape), jnp.float32), SHAPES, is_leaf=lambda x: isinstance(x, tuple)
    )


def schedule_of(peak):
    return make_schedule('linear', peak, 10)


def grouped(section, clip_norm=0.0):
    return grouped_optimizer(section, schedule_of, RATE, DECAY, clip_norm)


def step(optimizer, params, state, seed):
    updates, state = optimizer.update(arrays(seed), state, params)
    return optax.apply_updates(params, updates), state


def trained(optimizer, steps=4):
    params = arrays(0)
    state = jax.jit(optimizer.init)(params)
    for seed in range(1, steps + 1):
        params, state = step(optimizer, params, state, seed)
    return {'/'.join(key.key for key in path): leaf for path, leaf in jax.tree.leaves_with_path(params)}


def test_each_parameter_is_trained_as_its_group_says():
    found = trained(grouped(GROUPED))
    kernels = trained(make_optimizer('sgd', schedule_of(0.02), DECAY, momentum=0.5))
    small = trained(make_optimizer('adamw', schedule_of(RATE), 0.0, b2=0.95))
    rest = trained(make_optimizer('adamw', schedule_of(RATE), DECAY, b2=0.95))
    for path, value in found.items():
        of_its_group = kernels if path in ('Dense_0/kernel', 'Dense_1/kernel') else rest if 'kernel' in path else small
        np.testing.assert_allclose(value, of_its_group[path], rtol=1e-5, err_msg=path)
    assert abs(found['Conv_0/kernel'] - small['Conv_0/kernel']).max() > 1e-4


def test_a_group_that_names_an_optimizer_has_its_defaults_and_any_other_the_keys_of_the_section():
    section = {'name': 'sgd', 'momentum': 0.3, 'groups': [{'params': 'Conv'}, {'params': 'Dense', 'name': 'sgd'}]}
    found = trained(grouped(section))
    sections, defaults = (trained(make_optimizer('sgd', schedule_of(RATE), DECAY, momentum=m)) for m in (0.3, 0.9))
    for path, value in found.items():
        np.testing.assert_allclose(value, (defaults if 'Dense' in path else sections)[path], rtol=1e-5, err_msg=path)


def test_a_rate_of_nothing_leaves_a_group_as_it_is():
    found = trained(grouped({'name': 'adamw', 'groups': [{'params': '^Conv_0/', 'learning_rate': 0.0}]}))
    np.testing.assert_array_equal(found['Conv_0/kernel'], arrays(0)['Conv_0']['kernel'])
    assert abs(found['Dense_0/kernel'] - arrays(0)['Dense_0']['kernel']).max() > 0.01


def test_what_would_only_make_the_gradient_of_a_group_that_stays_is_not_counted():
    def of_groups(*patterns, **keys):
        section = {'name': 'sgd', 'groups': [{'params': each, 'learning_rate': 0.0} for each in patterns]}
        config = ConfigDict({**lenet5.get_config('mnist5k').to_dict(), 'optimizer': section, **keys})
        return counted_recipe(config, {'num_classes': 10}).train.dense_macs

    # At 28 pixels, batches of 32: maps of 24 and 8 pixels a side, kernels of 5.
    conv1, conv2 = 24 * 24 * 25 * 3 * 6, 8 * 8 * 25 * 6 * 16
    without_clipping = {'gradient_clip_norm': 0.0}
    whole = of_groups(**without_clipping)
    assert whole - of_groups('^conv1/', **without_clipping) == 32 * (conv1 + conv2)
    # The bias still needs what comes back through the second layer.
    assert whole - of_groups('^conv1/kernel', **without_clipping) == 32 * conv1
    assert whole - of_groups('^conv1/', '^conv2/kernel', **without_clipping) == 32 * (conv1 + 2 * conv2)
    # A norm that is clipped is of all gradients.
    assert of_groups('^conv1/') == whole


def test_the_first_group_that_fits_has_a_parameter():
    section = {
        'name': 'sgd',
        'groups': [{'params': '_0', 'rank': 1}, {'rank': 2}, {'params': 'Dense_1/'}, {'params': 'Conv_0/k', 'rank': 4}],
    }
    assert parameters_by_group(section, arrays(0)) == {
        'group0': ['BatchNorm_0/bias', 'BatchNorm_0/scale', 'Conv_0/bias', 'Dense_0/bias'],
        'group1': ['Dense_0/kernel', 'Dense_1/kernel'],
        'group2': ['Dense_1/bias'],
        'group3': ['Conv_0/kernel'],
        'rest': [],
    }
    assert parameters_by_group({'name': 'sgd'}, {'a': {'b': jax.ShapeDtypeStruct((2,), float)}}) == {'rest': ['a/b']}


def test_the_norm_that_is_clipped_is_that_of_all_groups_together():
    section = {'name': 'sgd', 'momentum': 0.0, 'groups': [{'rank': 1, 'learning_rate': RATE}]}
    found, alike = trained(grouped(section, 1.0), 1), trained(grouped({'name': 'sgd', 'momentum': 0.0}, 1.0), 1)
    jax.tree.map(np.testing.assert_array_equal, found, alike)
    params, gradient = arrays(0)['Dense_1']['bias'], arrays(1)
    norm = np.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(gradient)))
    by_hand = params - RATE * (gradient['Dense_1']['bias'] / norm + DECAY * params)
    np.testing.assert_allclose(found['Dense_1/bias'], by_hand, rtol=1e-5)


def test_a_state_in_groups_comes_back_from_a_checkpoint_bit_for_bit(tmp_path):
    optimizer = grouped(GROUPED, 1.0)
    params = arrays(0)
    params, state = step(optimizer, params, optimizer.init(params), 1)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, (params, state), {})
    checkpoints.wait()
    like = jax.tree.map(np.zeros_like, (arrays(5), jax.jit(optimizer.init)(arrays(5))))
    (params_read, state_read), _ = checkpoints.restore(lambda _: like)
    checkpoints.close()
    assert jax.tree.structure(state_read) == jax.tree.structure(state)
    jitted = jax.jit(lambda params, state: step(optimizer, params, state, 2))
    jax.tree.map(np.testing.assert_array_equal, jitted(params, state), jitted(params_read, state_read))


def config_with(optimizer):
    return ConfigDict(lenet5.get_config().to_dict() | {'optimizer': optimizer})


def test_groups_are_the_same_in_a_config_file_in_a_record_and_from_the_command_line(tmp_path):
    lines = ['from configs import lenet5', 'def get_config(preset=None):', '    config = lenet5.get_config(preset)']
    lines += [f'    config.optimizer = {GROUPED!r}', '    return config']
    (tmp_path / 'grouped.py').write_text('\n'.join(lines))
    config = read_config(str(tmp_path / 'grouped.py'))
    check_config(config)
    kept = json.loads(json.dumps(config.to_dict()))
    assert isinstance(kept['optimizer']['groups'], list)
    assert differing_keys(config.to_dict(), kept) == []
    assert run_name(config) == run_name(ConfigDict(kept)) != run_name(lenet5.get_config())
    one, other = (trained(optimizer_of(each, 10)) for each in (config, ConfigDict(kept)))
    jax.tree.map(np.testing.assert_array_equal, one, other)
    faster = read_config(str(tmp_path / 'grouped.py'), ['--config.optimizer.groups[0].learning_rate=0.5'])
    assert [group.get('learning_rate') for group in faster.optimizer.groups] == [0.5, None]
    assert differing_keys(faster.to_dict(), kept) == ['optimizer.groups']


@pytest.mark.parametrize(
    ('groups', 'sentence'),
    [
        (7, 'config.optimizer.groups is 7; it must be a list of groups, as ['),
        ({'params': 'bias'}, 'it must be a list of groups, as ['),
        (['bias'], "config.optimizer.groups[0] is 'bias'; it must be a section, as {'params': 'bias|scale'"),
        ([{'weight_decay': 0.0}], 'config.optimizer.groups[0] does not say which parameters it is of; give it params'),
        ([{'rank': 1}, {'params': '(bias'}], "groups[1].params is '(bias', which is no regular expression: missing ),"),
        ([{'params': 3}], 'config.optimizer.groups[0].params is 3, which is no regular expression: '),
        ([{'rank': 1.5}], 'config.optimizer.groups[0].rank is 1.5; it must be a whole number of dimensions'),
        ([{'rank': True}], 'config.optimizer.groups[0].rank is True; it must be a whole number of dimensions'),
        ([{'rank': 1, 'learning_rate': -1.0}], 'groups[0].learning_rate is -1.0; it must be a number, at least 0'),
        ([{'rank': 1, 'weight_decay': '0'}], "groups[0].weight_decay is '0'; it must be a number, at least 0"),
        ([{'rank': 1, 'name': 'sgdd'}], "no optimizer is named 'sgdd'; the nearest are sgd"),
        ([{'rank': 1, 'name': None}], 'config.optimizer.groups[0].name is None; it must be a name'),
        ([{'rank': 1, 'eps': 1}], "groups[0] has the key 'eps', which sgd does not take; it takes momentum, nesterov"),
        ([{'rank': 1, 'schedule': 'x'}], "groups[0] has the key 'schedule', which sgd does not take"),
        ([{'rank': 1, 5: 'x'}], 'the config cannot be kept in a record'),
        ([{'rank': 1, 'groups': []}], "groups[0] has the key 'groups', which sgd does not take"),
        ([{'rank': 1, 'name': 'adamw', 'b2': 1}], 'groups[0].b2 is 1; it must be a number, at least 0 and below 1'),
    ],
)
def test_a_group_that_cannot_be_is_found_before_there_are_data(groups, sentence):
    config = config_with({'name': 'sgd', 'groups': groups})
    config.dataset = 'no_such_data_set'
    with pytest.raises(UserError) as error:
        opened(config, None)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ('groups', 'sentence'),
    [
        (
            [{'rank': 1}, {'params': 'Embed', 'weight_decay': 0.0}],
            "no parameter is in config.optimizer.groups[1]: none has a path with 'Embed'; there are BatchNorm_0/bias "
            '(rank 1), BatchNorm_0/scale (rank 1), Conv_0/bias (rank 1), Conv_0/kernel (rank 4), ...',
        ),
        ([{'params': 'Conv', 'rank': 2}], "groups[0]: none has a path with 'Conv' and rank 2; there are"),
        ([{'rank': 0}], 'groups[0]: none has rank 0; there are'),
        ([{'params': '.'}, {'rank': 1}], 'groups[1]: those that it fits are in groups before it'),
    ],
)
def test_a_group_that_no_parameter_is_in_is_found_from_shapes(groups, sentence):
    section = {'name': 'sgd', 'groups': groups}
    shapes = jax.eval_shape(lambda: arrays(0))
    for find in (lambda: parameters_by_group(section, shapes), lambda: jax.jit(grouped(section).init)(arrays(0))):
        with pytest.raises(UserError) as error:
            find()
        assert sentence in str(error.value)


_RUN = """
import json, sys
import jax
from configs import lenet5
from efficiency.training.loop import train
config = lenet5.get_config()
config.optimizer = json.loads(sys.argv[1])
config.num_epochs, config.eval_every, config.target.value = 0.032, 0.016, 1.0
record = train(config, sys.argv[2])
print(json.dumps([jax.device_count(), record['status'], [point['loss'] for point in record['curve']]]))
"""


def test_a_run_in_groups_is_the_same_on_two_devices(tmp_path):
    section = {'name': 'adamw', 'groups': [{'params': 'fc', 'name': 'sgd'}, {'rank': 1, 'weight_decay': 0.0}]}

    def run(devices):
        flags = f'--xla_force_host_platform_device_count={devices}'
        args = [sys.executable, '-c', _RUN, json.dumps(section), str(tmp_path / str(devices))]
        env = os.environ | {'XLA_FLAGS': flags, 'JAX_PLATFORMS': 'cpu'}
        done = subprocess.run(args, cwd=ROOT, capture_output=True, text=True, check=False, env=env)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    one, two = run(1), run(2)
    assert (one[0], two[0], one[1], two[1]) == (1, 2, 'exhausted', 'exhausted')
    assert len(one[2]) == 2
    np.testing.assert_allclose(two[2], one[2], rtol=1e-4)
    # A mistake that only the network's parameters show leaves nothing behind.
    section['groups'][0]['params'] = 'fc9'
    args = [sys.executable, '-c', _RUN, json.dumps(section), str(tmp_path / 'none')]
    done = subprocess.run(args, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "UserError: no parameter is in config.optimizer.groups[0]: none has a path with 'fc9'" in done.stderr
    assert not (tmp_path / 'none').exists()
