"""Runs whose batch, images or optimizer change on the way: what they cost, and that they go on as if never stopped."""

import json

import jax
import numpy as np
import pytest
from flax import linen as nn

from configs import common, lenet5
from efficiency import load_run, records
from efficiency.analysis.agreement import disagreements
from efficiency.analysis.recount import checked_config, miscounts
from efficiency.count import main
from efficiency.errors import UserError
from efficiency.layers.modules import Conv, Dense
from efficiency.metrics import OF_CLASSES
from efficiency.tasks.images.networks import register, registry
from efficiency.training.loop import train
from efficiency.training.plan import Plan
from efficiency.training.settings import check_config
from tests.training.stopping import train_until, without_times

_CHANNELS = 8
# 4,000 images: an epoch is 40 steps of 100, and 20 of 200.
_STAGES = ((0, {'image_size': 20, 'batch_size': 100}), (0.5, {'image_size': 28, 'batch_size': 200}))


class OfAnySize(nn.Module):
    """One convolution, and what is left of its maps once they are averaged."""

    num_classes: int
    image_size: int
    dtype: type = np.float32

    @nn.compact
    def __call__(self, images, train):
        maps = nn.relu(Conv(_CHANNELS, 3, padding=1, name='conv')(images))
        return Dense(self.num_classes, name='fc')(maps.mean((1, 2)))


@pytest.fixture(scope='module', autouse=True)
def registered():
    register('of_any_size', paper='none', published='2026-01-01', image_size=28)(OfAnySize)
    yield
    del registry._registry.entries['of_any_size']


def config_of(stages=_STAGES, num_epochs=1.0):
    config = common.paper_recipe('of_any_size', 'mnist5k', learning_rate=0.1)
    config.num_epochs, config.eval_every, config.target.value = num_epochs, 0.25, 1.0
    config.stages = stages
    return config


def macs(image_size):
    """By hand, of one example: forward, and forward with gradients, which no image has."""
    convolution, linear = image_size**2 * 9 * 3 * _CHANNELS, _CHANNELS * 10
    return convolution + linear, 2 * convolution + 3 * linear


def test_compute_adds_up_over_stages_as_by_hand(tmp_path):
    record = train(config_of(), tmp_path)
    (small, small_step), (large, large_step) = macs(20), macs(28)
    assert [
        (p['stage'], p['steps'], p['batch_size'], p['image_size'], p['forward_dense_macs_per_example'])
        for p in record['programs']
    ] == [(0, 20, 100, 20, small), (1, 10, 200, 28, large)]
    assert [p['train_dense_macs_per_step'] for p in record['programs']] == [100 * small_step, 200 * large_step]
    points = {point['step']: point for point in record['curve']}
    # Every quarter of an epoch: 1,000 examples.
    assert {step: (point['examples'], point['epochs']) for step, point in points.items()} == {
        10: (1000, 0.25), 20: (2000, 0.5), 25: (3000, 0.75), 30: (4000, 1.0),
    }  # fmt: skip
    assert points[10]['paper_macs'] == 3 * 1000 * small
    assert points[30]['paper_macs'] == 3 * 2000 * (small + large)
    assert points[25]['train_macs'] == 2000 * small_step + 1000 * large_step
    assert record['macs_per_example'] == {
        'forward_dense': (small + large) / 2, 'forward_real': record['macs_per_example']['forward_real'],
        'train_dense': (small_step + large_step) / 2, 'train_real': record['macs_per_example']['train_real'],
    }  # fmt: skip
    # Whatever it is trained at, it is evaluated at the config's own size.
    assert record['evaluation'] == {'examples': 4 * 1000, 'dense_macs': 4 * 1000 * large}
    assert load_run(tmp_path).variables['params']['conv']['kernel'].shape == (3, 3, 3, _CHANNELS)


def test_a_crossing_on_a_border_is_interpolated_by_the_compute_on_both_sides(tmp_path):
    before, after = train(config_of(), tmp_path)['curve'][1:3]
    curve = [before | {'top1': 0.2}, after | {'top1': 0.6}]
    crossing = records.interpolated_crossing(curve, {'metric': 'top1', 'value': 0.3}, OF_CLASSES)
    for key in ('step', 'examples', 'paper_macs', 'train_macs'):
        assert crossing[key] == pytest.approx(before[key] + (after[key] - before[key]) / 4, rel=1e-12)


_OPTIMIZERS = ((0.5, {'optimizer': {'name': 'adamw', 'momentum': 0.8}}),)


@pytest.mark.parametrize('stages', [_STAGES, _OPTIMIZERS], ids=['images and batch', 'optimizer'])
def test_a_run_stopped_in_any_stage_or_on_a_border_goes_on_bit_for_bit(stages, tmp_path):
    config = config_of(stages)
    whole = train(config, tmp_path / 'whole')
    border, end = whole['programs'][0]['steps'], whole['final']['step']
    for at in (border // 2 + 1, border, border + 1, end - 1):
        train_until(at, config, tmp_path / str(at))
        again = train(config, tmp_path / str(at))
        assert again['resumed_from_steps'] == [at]
        for key in ('programs', 'evaluation', 'macs_per_example'):
            assert again[key] == whole[key], (at, key)
        assert without_times(again['curve']) == without_times(whole['curve'])
        states = [tmp_path / name / 'checkpoints' / str(end) / 'state.safetensors' for name in (str(at), 'whole')]
        assert states[0].read_bytes() == states[1].read_bytes()


def test_a_new_optimizer_takes_up_the_schedule_where_it_stands():
    stages = ((0.5, {'optimizer': {'name': 'sgd', 'momentum': 0.5}}),)
    config = check_config(config_of(stages))
    config.weight_decay = config.gradient_clip_norm = config.warmup_epochs = 0.0
    first, second = Plan(config, 4000).stages
    assert (first.renews_optimizer, second.renews_optimizer) == (False, True)
    params = {'a': np.ones(3, np.float32)}
    updates, _ = second.optimizer.update(params, second.optimizer.init(params), params)
    # Half of a cosine's way.
    np.testing.assert_allclose(updates['a'], -config.learning_rate / 2, rtol=0.02)


@pytest.mark.parametrize(
    ('stages', 'words'),
    [
        (3, 'it must be a sequence of pairs'),
        ((3,), 'it must be a sequence of pairs'),
        (((0, {}), (0, {})), 'later than the stage before'),
        (((-1, {}),), 'at least 0'),
        (((5, {'batch_size': 8}),), 'before the end at 1'),
        (((float('nan'), {}),), 'at least 0'),
        (((0, {'seed': 1}),), "changes 'seed' .* may change is .*image_size"),
        (((0, {'batch_size': 'many'}),), "from epoch 0, config.batch_size is 'many'; it must be a whole number"),
        (((0, {'image_size': 0}),), 'from epoch 0, config.image_size is 0; it must be a whole number from 1'),
        (((0.001, {}), (0.002, {})), 'from epoch 0.001 to 0.002, which is not one step of 32'),
        (((0, {'optimizer': {'name': 'sgdd', 'momentum': 0.9}}),), "no optimizer is named 'sgdd'"),
        (((0, {'optimizer': {'momentum': 0.9}}),), 'from epoch 0, the config has no optimizer.name'),
        (((0, {'image_size': None}),), "leaves 'image_size' empty from epoch 0"),
        (((0, {'augmentation': None}),), "leaves 'augmentation' empty from epoch 0"),
        (((0, {'batch_norm_group': 7}),), 'batch_norm_group 7 does not divide batch_size 32'),
        (((0, {'augmentation': 'shiftt'}),), "no augmentation is named 'shiftt'"),
    ],
)
def test_what_cannot_be_a_stage_is_one_sentence_before_anything_is_made(stages, words, tmp_path):
    with pytest.raises(UserError, match=words):
        train(config_of(stages), tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


def test_a_network_that_is_another_at_another_size_cannot_be_trained_at_both(tmp_path):
    config = lenet5.get_config()
    config.stages = ((0, {'image_size': 20}),)
    with pytest.raises(UserError, match='trains lenet5 at 20 pixels, where it is another network than at 28'):
        train(config, tmp_path / 'run')


def test_a_count_has_a_row_for_each_stage(tmp_path, capsys):
    def run_count(*args):
        assert main([*args, '--format=json']) == 0
        return json.loads(capsys.readouterr().out)

    path = tmp_path / 'staged.py'
    path.write_text(
        'from configs import common\n\n\ndef get_config(dataset=None):\n'
        "    config = common.paper_recipe('squeezenet1_1', dataset, learning_rate=0.01)\n"
        "    config.stages = ((0, {'image_size': 20, 'batch_size': 64}), (2, {'image_size': 28}))\n"
        '    return config\n'
    )
    rows = run_count(f'--config={path}', '--num_classes=10')
    assert [(row['task'], row['from_epoch'], row['image_size'], row['batch_size']) for row in rows] == [
        ('images', 0, 20, 64), ('images', 2, 28, 64),
    ]  # fmt: skip
    alone = [run_count('--models=squeezenet1_1', f'--image_size={size}', '--num_classes=10')[0] for size in (20, 28)]
    assert [row['forward_dense_macs'] for row in rows] == [row['forward_dense_macs'] for row in alone]


def test_steps_take_the_images_of_their_stages_size():
    from efficiency.training.recipe import opened

    recipe = opened(config_of(), None)
    batches = recipe.plan.batches(recipe.task, recipe.devices.host)
    assert [batches.at(step)['image'].shape for step in (0, 19, 20)] == [
        (100, 20, 20, 1), (100, 20, 20, 1), (200, 28, 28, 1),
    ]  # fmt: skip
    labels = np.concatenate([batches.at(step)['label'] for step in range(30)])
    assert np.bincount(labels).tolist() == [400] * 10  # each example once
    assert jax.tree.leaves(recipe.start.extra) == []


def test_a_run_that_meets_its_target_on_a_border_is_told_of_by_what_it_ran(tmp_path):
    config = config_of()
    config.target.value, config.stop_at_target = 0.01, True
    config.stages = ((0, {'image_size': 20, 'batch_size': 100}), (0.25, {'image_size': 28, 'batch_size': 200}))
    record = train(config, tmp_path)
    (program,), (forward, step) = record['programs'], macs(20)
    assert (program['steps'], record['status']) == (10, 'reached')
    assert record['xla']['compiled_flops_per_step'] == program['compiled_flops_per_step']
    assert (record['macs_per_example']['forward_dense'], record['macs_per_example']['train_dense']) == (forward, step)
    assert list(disagreements(record)) == []


def test_a_submission_of_stages_is_held_against_what_they_take(tmp_path):
    record = train(config_of(), tmp_path)
    assert list(disagreements(record)) == list(miscounts(record, checked_config(record), print)) == []
    wrong = json.loads(json.dumps(record))
    wrong['programs'][1]['forward_dense_macs_per_example'] += 1
    assert 'programs[1].forward_dense' in ' '.join(miscounts(wrong, checked_config(record), print))
    assert 'macs_per_example.forward_dense' in ' '.join(disagreements(wrong))
    wrong = json.loads(json.dumps(record))
    wrong['evaluation']['dense_macs'] -= 1
    assert 'evaluation.dense_macs' in ' '.join(miscounts(wrong, checked_config(record), print))
