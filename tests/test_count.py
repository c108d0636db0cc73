"""The command that counts: exact, a row for every network asked for, and sums that agree however they are split."""

import csv
import io
import json
import os
import subprocess
import sys

import jax
import pytest

from efficiency import count
from efficiency.layers import ops
from efficiency.tables import render
from tests.conftest import ROOT


@pytest.fixture
def run(capsys):
    """Runs the command in this process; returns its exit code, what it printed and what it complained of."""

    def command(*args):
        code = count.main(args)
        return code, *capsys.readouterr()

    return command


@pytest.fixture
def rows(run):
    """The rows of the command as JSON has them."""

    def command(*args):
        code, out, errors = run(*args, '--format=json')
        assert code == 0, errors
        return json.loads(out)

    return command


def test_json_is_all_there_is_on_stdout_and_exact():
    command = [sys.executable, '-m', 'efficiency.count', '--models=shufflenet_v1_x1_0', '--format=json']
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert list(row) == list(count.COLUMNS)
    assert (row['params'], row['image_size'], row['published']) == (1_865_728, 224, '2017-07-03')
    assert row['forward_dense_macs'] == 137_460_672
    assert row['forward_real_macs'] < row['forward_dense_macs']
    # Forward and two gradients, but for the images' own.
    first_layer = 112 * 112 * 24 * 27
    assert row['train_dense_macs'] == 3 * row['forward_dense_macs'] - first_layer
    assert row['train_over_forward'] == row['train_dense_macs'] / row['forward_dense_macs']


def test_a_network_that_does_not_exist_at_a_size_keeps_its_row(rows, run):
    (row,) = rows('--models=alexnet', '--image_size=4')
    assert row['params'] is row['train_dense_macs'] is None
    assert '15 is the smallest that fits' in row['reason']
    there, gone = rows('--models=[al]*net*', '--image_size=15', '--xla')
    assert (there['model'], gone['model']) == ('alexnet', 'lenet5')
    # Two flops a product that exists, and less than a hundredth of element-wise work.
    for what in ('forward', 'train'):
        assert 1 < there[f'xla_{what}_flops'] / (2 * there[f'{what}_real_macs']) < 1.01
    assert gone['xla_train_flops'] is None
    _, out, _ = run('--models=[al]*net*', '--image_size=15', '--format=csv')
    assert [row['model'] for row in csv.DictReader(io.StringIO(out))] == ['alexnet', 'lenet5']


@pytest.mark.parametrize(
    ('args', 'says'),
    [
        (['--models=alexnt'], 'the nearest are alexnet'),
        (['--image_size=0'], '--image_size is 0'),
        (['--batch_size=-3'], '--batch_size is -3'),
        (['--models=x*'], "no model is named 'x*'"),
        (['--models=resnet*', '--by_layer'], '--by_layer is of one network, and --models names'),
        (
            ['--config=configs/translation/transformer.py', '--by_layer'],
            '--by_layer is of one network, and --config has 3 programs',
        ),
        (
            ['--config=configs/translation/transformer.py', '--num_classes=10'],
            '--num_classes is of images, and the config is of the task translation',
        ),
        (['--models=transformer', '--against=torch'], 'networks of images, and transformer is of translation'),
        (['--models=lenet5', '--by_layer', '--compiled'], '--by_layer has no figures of a compiler'),
        (['--config=configs/lenet9.py'], 'there is no config file configs/lenet9.py; in configs there are'),
        (['--config=configs/alexnet.py', '--models=lenet5'], 'pass --config.model.name instead'),
        (['--config=configs/alexnet.py', '--batch_size=3'], 'pass --config.batch_size instead'),
        (['--config=configs/alexnet.py', '--config.batch_size=0'], 'config.batch_size'),
        (['--config=configs/alexnet.py', '--config.batch_norm_group=7'], 'does not divide batch_size 32; 8 would'),
        (['--config=configs/alexnet.py', '--config.batch_sise=8'], 'did you mean batch_size?'),
        (['--config=configs/alexnet.py:birds', '--num_classes=9'], 'pass --config.image_size'),
        (['--config=configs/alexnet.py', '--config.image_size=4'], 'images of 4 pixels are too small'),
        (['--models=lenet5', '--topology=v5e:3x5'], 'of v5e there are v5e:1x1, '),
        (['--models=lenet5', '--compiled', '--topology=v5e:1x1'], '--compiled is for this machine'),
        (['--models=lenet5', '--topology='], "there is no TPU topology ''"),
        (['--config='], 'Pass one with --config'),
        (['--config.seed=1'], 'there is no option --config.seed=1'),
        (['--config=configs/alexnet.py', '--config.precision', 'float8'], 'config.precision'),
        (['--config=configs/alexnet.py', '--depth=3'], "'depth'"),
        (['--models=lenet5', '--topology=gpu'], "there is no TPU topology 'gpu'; there are v2:2x2 to "),
    ],
)
def test_mistakes_are_one_sentence(args, says, run):
    code, out, errors = run(*args)
    assert code == 2
    assert out == ''
    assert says in errors
    assert len(errors.splitlines()) == 1


def test_a_network_that_cannot_be_counted_names_the_operation_and_the_layer(run, monkeypatch):
    def elsewhere(x, *_, **__):
        return jax.pure_callback(lambda x: x, x, x)

    monkeypatch.setattr(ops, 'max_pool', elsewhere)
    code, out, errors = run('--models=alexnet')
    assert code == 2
    assert out == ''
    assert "cannot count 'pure_callback' in AlexNet" in errors
    assert 'or say what it costs' in errors


def test_libtpu_that_is_not_there_is_said(run, monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    code, _, errors = run('--models=lenet5', '--topology=v5e:2x2')
    assert code == 2
    assert 'pip install' in errors


def test_the_table_is_for_reading(run):
    code, out, _ = run('--models=alexnet')
    assert code == 0
    heading, row = out.splitlines()
    assert heading.split()[0] == 'model'
    assert '61,100,840' in row


def test_a_layers_shape_is_of_one_example_wherever_its_axis_is(rows):
    recipe = ['--config=configs/translation/seq2seq.py', '--config.buckets=(3,)']
    for what in (['--models=seq2seq', '--length=3'], recipe):
        shapes = {row['layer']: row['output_shape'] for row in rows(*what, '--by_layer')}
        # Embeddings have the tokens first, for the LSTMs, the softmax the sentences.
        assert (shapes['source_embedding'], shapes['softmax']) == ('3x128', '3x4000')


def test_layers_are_those_of_the_published_table(rows):
    layers = {row['layer']: row for row in rows('--models=alexnet', '--by_layer')}
    # Krizhevsky (2014), as torchvision has it.
    assert [(row['output_shape'], row['params']) for row in layers.values()] == [
        ('55x55x64', 23_296), ('27x27x192', 307_392), ('13x13x384', 663_936), ('13x13x256', 884_992),
        ('13x13x256', 590_080), ('4096', 37_752_832), ('4096', 16_781_312), ('1000', 4_097_000),
    ]  # fmt: skip
    assert layers['fc2']['forward_dense_macs'] == 4096 * 4096
    assert layers['fc2']['train_dense_macs'] == 3 * 4096 * 4096


def test_the_total_is_for_reading_alone(run, rows):
    _, out, _ = run('--models=lenet5', '--by_layer')
    assert out.splitlines()[-1].split()[:2] == ['total', '-']
    assert 'total' not in [row['layer'] for row in rows('--models=lenet5', '--by_layer')]


def test_a_recipe_costs_what_its_network_costs_for_each_example(rows):
    (recipe,) = rows('--config=configs/shufflenet.py', '--config.batch_size=7', '--config.precision=bfloat16')
    (network,) = rows('--models=shufflenet_v1_x1_0', '--image_size=28', '--num_classes=10')
    assert recipe == network
    # No data set is needed where its classes are told.
    (recipe,) = rows('--config=configs/shufflenet.py:imagenet2012', '--num_classes=1000')
    (network,) = rows('--models=shufflenet_v1_x1_0')
    assert recipe == network


def test_a_recipe_is_lowered_with_its_precision_and_optimizer(rows):
    plain, recipe = (
        rows(*args, '--xla')[0]
        for args in (
            ('--models=shufflenet_v1_x1_0', '--image_size=28', '--num_classes=10', '--batch_size=32'),
            ('--config=configs/shufflenet.py',),
        )
    )
    # Momentum, weight decay, the schedule and clipping: some operations for each parameter of a step.
    more = recipe['xla_train_flops'] - plain['xla_train_flops']
    assert 4 < more / recipe['params'] < 20
    assert recipe['xla_forward_flops'] == plain['xla_forward_flops']


def test_xla_lowers_what_is_counted_and_element_wise_work(rows):
    for name in ('lenet5', 'shufflenet_v2_x0_5'):
        (row,) = rows(f'--models={name}', '--image_size=32', '--num_classes=10', '--xla')
        for part in ('forward', 'train'):
            assert row[f'xla_{part}_over_real'] == row[f'xla_{part}_flops'] / 2 / row[f'{part}_real_macs']
            assert 1 < row[f'xla_{part}_over_real'] < 1.5


def test_what_is_compiled_is_counted_over_all_devices():
    def compiled(devices, *batch_size):
        environment = os.environ | {'XLA_FLAGS': f'--xla_force_host_platform_device_count={devices}'}
        args = ['--models=lenet5', *batch_size, '--compiled', '--format=json']
        done = subprocess.run(
            [sys.executable, '-m', 'efficiency.count', *args], cwd=ROOT, env=environment, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)[0]

    one, four = compiled(1, '--batch_size=64'), compiled(4, '--batch_size=64')
    assert (one['devices'], four['devices']) == (1, 4)
    for row in (one, four):
        assert row['compiled_over_real'] == row['compiled_train_flops'] / 2 / (64 * row['train_real_macs'])
        assert 1 < row['compiled_over_real'] < 1.2
    # Each of four adds up its own part of the gradients, and then theirs.
    assert four['compiled_train_flops'] == pytest.approx(one['compiled_train_flops'], rel=0.05)
    # Of itself, one example a device.
    assert compiled(4)['compiled_train_flops'] < four['compiled_train_flops'] / 10


def test_a_table_of_nothing_is_no_crash():
    assert [render([], form) for form in ('table', 'csv', 'json')] == ['nothing', '', '[]']


@pytest.mark.parametrize('form', ['csv', 'json'])
def test_forms_for_programs_are_exact(form):
    rows = [{'name': 'a,"b"', 'macs': 2**62 + 1, 'ratio': 0.1 + 0.2, 'reason': None}]
    text = render(rows, form)
    (read,) = json.loads(text) if form == 'json' else csv.DictReader(io.StringIO(text))
    assert read['name'] == 'a,"b"'
    assert int(read['macs']) == 2**62 + 1
    assert float(read['ratio']) == 0.1 + 0.2
    assert read['reason'] in (None, '')
