"""The network made for the speed-run on mnist5k: its parameters, its macs, and what its first layer is taken from."""

import jax
import numpy as np
import pytest

from configs.speedrun import mnist5k
from efficiency.costs import counted_recipe
from efficiency.count import count_network
from efficiency.tasks.images.networks import create_model
from efficiency.tasks.images.networks.variables import initialise
from efficiency.tasks.images.networks.whitening import whitening_kernel, whitening_macs


@pytest.mark.parametrize(
    ('options', 'maps', 'joined'),
    [
        ({}, (12, 5), 5 * 5 * 16),
        ({'patch_stride': 3}, (8, 3), 3 * 3 * 16),
        ({'patch': 4, 'pool': 2}, (13, 2), 2 * 2 * 16),
        ({'stride': 1, 'components': 3, 'width': 7}, (12, 10), 10 * 10 * 7),
        ({'hidden': 32}, (12, 5), 5 * 5 * 16),
    ],
)
def test_parameters_and_macs_are_the_sum_of_its_layers(options, maps, joined):
    each = {'components': 6, 'patch': 5, 'width': 16, 'hidden': 0} | options
    filters, taps = 2 * each['components'], each['patch'] ** 2
    conv = 9 * filters * each['width']
    head = (joined * each['hidden'] + each['hidden'] * 10) if each['hidden'] else joined * 10
    counted = count_network('whitened_tiny', image_size=28, num_classes=10, options=options)
    assert counted['forward_dense_macs'] == maps[0] ** 2 * taps * filters + maps[1] ** 2 * conv + head
    # Biases of the first layer and the last, two numbers a channel of each norm.
    assert counted['params'] == (taps + 1) * filters + conv + 2 * (each['width'] + each['hidden']) + head + 10


def test_its_recipe_counts_nothing_that_would_come_back_through_the_whitening():
    config = mnist5k.get_config('mnist5k')
    counted = counted_recipe(config, {'num_classes': 10})
    size = config.model
    first = (28 - size.patch) // size.patch_stride + 1
    second = (first - 3) // size.stride + 1
    whitening = first**2 * size.patch**2 * 2 * size.components
    conv, head = second**2 * 9 * 2 * size.components * size.width, second**2 * size.width * 10
    m, n = sorted((9 * 2 * size.components, size.width))
    muon = config.optimizer.ns_steps * (2 * m * m * n + m**3)
    assert counted.train.dense_macs == config.batch_size * (whitening + 2 * conv + 3 * head) + muon


def test_its_first_layer_is_that_of_the_mean_of_the_channels():
    model = create_model('whitened_tiny', 10, 28)
    params = initialise(model, jax.random.key(0), 28)['params']
    images = np.random.RandomState(0).standard_normal((20, 28, 28, 3)).astype(np.float32)
    fitted = model.with_images(params, images)
    np.testing.assert_array_equal(fitted['whiten']['kernel'], whitening_kernel(images.mean(3)[..., None], 6, 5, 2))
    np.testing.assert_array_equal(fitted['head']['kernel'], params['head']['kernel'])
    assert model.macs_of_images(20, 28) == whitening_macs(20, 28, 1, 5, 2) == 20 * 144 * 625 + (9 * 25**3 + 1) // 2


def test_without_whitening_nothing_is_taken_from_images():
    model = create_model('whitened_tiny', 10, 28, options={'whitened': False})
    params = initialise(model, jax.random.key(0), 28)['params']
    assert model.with_images(params, np.zeros((2, 28, 28, 3))) is params
    assert model.macs_of_images(100, 28) == 0
