"""Values that cannot be are said to be so, and none of them reaches a record or a screen as a number."""

import json

import jax
import numpy as np
import pytest
from flax import traverse_util
from safetensors.numpy import save_file

from configs import lenet5
from efficiency.config_file import read_config
from efficiency.errors import RunError, UserError
from efficiency.tasks.images.data import Examples, Source, register_dataset
from efficiency.tasks.images.data.datasets import load
from efficiency.tasks.images.networks import create_model
from efficiency.tasks.images.networks.torch_weights import torch_name
from efficiency.tasks.images.networks.variables import initialise
from efficiency.training.evaluation import evaluate
from efficiency.training.recipe import opened

pytestmark = pytest.mark.kind('values that cannot be')


@pytest.fixture(scope='module')
def weights():
    """Of LeNet-5, by torch's names."""
    variables = initialise(create_model('lenet5', 10, 28), jax.random.key(0), 28)
    axes = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}  # torch has the outputs first
    return {
        torch_name(path, {}): np.ascontiguousarray(leaf.transpose(axes[leaf.ndim]))
        for path, leaf in traverse_util.flatten_dict(variables).items()
    }


def config_with(path):
    config = lenet5.get_config()
    config.init_from = str(path)
    return config


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf, 1e300])
def test_weights_that_are_no_finite_numbers_are_named(weights, tmp_path, value):
    name = list(weights)[2]
    broken = weights[name].astype(np.float64)
    broken.flat[-1] = value
    save_file(weights | {name: broken}, tmp_path / 'broken.safetensors')
    with pytest.raises(UserError, match=rf'broken\.safetensors holds {name} with values that are no finite'):
        evaluate(config_with(tmp_path / 'broken.safetensors'))


def test_an_evaluation_without_a_loss_is_no_result(weights, tmp_path):
    huge = {name: np.full_like(value, 3e38) if value.shape[0] == 10 else value for name, value in weights.items()}
    save_file(huge, tmp_path / 'huge.safetensors')
    with pytest.raises(RunError, match=r'the evaluation loss is (nan|inf)'):
        evaluate(config_with(tmp_path / 'huge.safetensors'))


def test_the_home_folder_is_meant_by_its_sign(weights, tmp_path, monkeypatch, run_main):
    monkeypatch.setenv('HOME', str(tmp_path))
    save_file(weights, tmp_path / 'weights.safetensors')
    (tmp_path / 'mine.py').write_text('from configs.lenet5 import get_config\n')
    assert read_config('~/mine.py:cifar10').dataset == 'cifar10'
    done = run_main('--config', '~/mine.py', '--config.init_from=~/weights.safetensors', '--eval_only')
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)['examples'] == 1000


def of_classes(name, count, labels):
    labels = np.asarray(labels)
    split = Examples(np.zeros((len(labels), 8, 8, 3), np.uint8), labels)
    register_dataset(name)(lambda _: Source(count, {'train': split, 'test': split}))


@pytest.mark.parametrize('label', [2**32, 2**40 + 1, -(2**32), -1, 3])
def test_a_label_that_is_no_class_is_not_made_one(label):
    of_classes(f'labels {label}', 3, [0, label, 2])
    with pytest.raises(UserError, match=f'example 1 has the label {label}, and there are 3 classes'):
        load(f'labels {label}', ('train', None))


@pytest.mark.parametrize('classes', [2, 5, 6])
def test_five_guesses_at_five_classes_are_no_target(classes):
    of_classes(f'{classes} classes', classes, range(classes))
    config = lenet5.get_config(f'{classes} classes')
    config.target.metric, config.target.value, config.image_size, config.batch_size = 'top5', 0.9, 28, 2
    assert opened(config, None, trains=False).task.network.num_classes == classes
    if classes > 5:
        assert opened(config, None).task.network.num_classes == classes
    else:
        with pytest.raises(UserError, match=f'top5, and .* has {classes} classes'):
            opened(config, None)
