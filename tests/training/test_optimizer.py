"""Optimizers do what their papers say, and take the keys that their signatures name."""

import inspect

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from configs import lenet5
from efficiency.config_file import read_config
from efficiency.errors import UserError
from efficiency.training.identity import run_name
from efficiency.training.optimizer import clipped, make_optimizer, optimizer_with, register_optimizer
from efficiency.training.plan import optimizer_of
from efficiency.training.recipe import opened
from efficiency.training.settings import check_config

RATE, DECAY = 0.1, 0.01
# Two parameters, and three gradients of each.
START = np.array([2.0, -3.0])
GRADIENTS = np.array([[1.0, -2.0], [-0.5, 0.25], [0.25, 4.0]])


def trained(optimizer):
    """The parameters after each of the three steps, in float32."""
    params, found = jnp.asarray(START), []
    state = optimizer.init(params)
    for gradient in GRADIENTS:
        updates, state = optimizer.update(jnp.asarray(gradient), state, params)
        params = optax.apply_updates(params, updates)
        found.append(np.asarray(params))
    return np.array(found)


def sgd(momentum=0.9, nesterov=False):
    """As torch.optim.SGD documents it."""
    params, buffer = START, 0
    for gradient in GRADIENTS:
        decayed = gradient + DECAY * params
        buffer = momentum * buffer + decayed
        params = params - RATE * (decayed + momentum * buffer if nesterov else buffer)
        yield params


def adamw(momentum=0.9, b2=0.999, eps=1e-8):
    """Algorithm 2 of Loshchilov & Hutter, the decay times the learning rate as torch.optim.AdamW has it."""
    params, mean, square = START, 0, 0
    for t, gradient in enumerate(GRADIENTS, 1):
        mean = momentum * mean + (1 - momentum) * gradient
        square = b2 * square + (1 - b2) * gradient**2
        step = mean / (1 - momentum**t) / (np.sqrt(square / (1 - b2**t)) + eps)
        params = params - RATE * (step + DECAY * params)
        yield params


def lion(momentum=0.9, b2=0.99):
    """Program 1 of Chen et al."""
    params, mean = START, 0
    for gradient in GRADIENTS:
        params = params - RATE * (np.sign(momentum * mean + (1 - momentum) * gradient) + DECAY * params)
        mean = b2 * mean + (1 - b2) * gradient
        yield params


@pytest.mark.parametrize(
    ('by_hand', 'keys'),
    [
        (sgd, {}),
        (sgd, {'momentum': 0.5}),
        (sgd, {'momentum': 0}),
        (sgd, {'momentum': 0.8, 'nesterov': True}),
        (adamw, {}),
        (adamw, {'momentum': 0.5, 'b2': 0.9, 'eps': 0.1}),
        (lion, {}),
        (lion, {'momentum': 0.5, 'b2': 0.25}),
    ],
)
def test_an_optimizer_is_that_of_its_source(by_hand, keys):
    optimizer = make_optimizer(by_hand.__name__, lambda step: RATE, DECAY, **keys)
    np.testing.assert_allclose(trained(optimizer), list(by_hand(**keys)), rtol=1e-5)


def test_the_learning_rate_is_that_of_the_step():
    rates = jnp.array([0.5, 0.0, 2.0])
    found = trained(make_optimizer('sgd', lambda step: rates[step], 0.0, momentum=0.0))
    moved = np.diff(np.vstack([START, found]), axis=0)
    np.testing.assert_allclose(moved, -rates[:, None] * GRADIENTS, rtol=1e-5)


def test_the_gradient_as_a_whole_is_scaled_down_where_it_is_larger():
    optimizer = clipped(make_optimizer('sgd', lambda step: 1.0, 0.0, momentum=0.0), 2.0)
    scale = np.minimum(1, 2 / np.linalg.norm(GRADIENTS, axis=1, keepdims=True))
    assert (scale < 1).sum() == 2
    np.testing.assert_allclose(trained(optimizer), START - np.cumsum(scale * GRADIENTS, axis=0), rtol=1e-5)


def config_with(optimizer):
    return ConfigDict(lenet5.get_config().to_dict() | {'optimizer': optimizer})


def test_what_committed_configs_say_is_what_the_defaults_say():
    committed = lenet5.get_config()
    assert committed.optimizer.to_dict() == {'name': 'sgd', 'momentum': 0.9}
    found = [trained(optimizer_of(config, 10)) for config in (committed, config_with({'name': 'sgd'}))]
    np.testing.assert_array_equal(*found)
    # Its runs have the name that they had when that was all an optimizer had.
    assert run_name(committed) == 'lenet5-mnist5k-c87c9b23-s0'


def test_an_optimizer_on_the_command_line():
    adam = read_config('configs/lenet5.py', ['--config.optimizer.name=adamw', '--config.optimizer.momentum=0.8'])
    adam.learning_rate, adam.schedule, adam.warmup_epochs, adam.weight_decay = RATE, 'constant', 0.0, DECAY
    adam.gradient_clip_norm = 0.0
    np.testing.assert_allclose(trained(optimizer_of(adam, 10)), list(adamw(momentum=0.8)), rtol=1e-5)


@pytest.mark.parametrize(
    ('optimizer', 'sentence'),
    [
        ({'name': 'sgd', 'momentum': 1.5}, 'momentum is 1.5; it must be a number, at least 0 and below 1'),
        ({'name': 'sgd', 'momentum': '0.9'}, "momentum is '0.9'; it must be a number, at least 0 and below 1"),
        ({'name': 'sgd', 'nesterov': 1}, 'nesterov is 1; it must be True or False'),
        ({'name': 'adamw', 'b2': 1}, 'b2 is 1; it must be a number, at least 0 and below 1'),
        ({'name': 'adamw', 'eps': 0.0}, 'eps is 0.0; it must be a number from 1e-300 to 1'),
        ({'momentum': 0.9}, 'the config has no optimizer.name; configs/common.py shows what a config needs'),
    ],
)
def test_a_value_that_cannot_be_is_found_when_the_config_is_checked(optimizer, sentence):
    with pytest.raises(UserError) as error:
        check_config(config_with(optimizer))
    assert str(error.value).removeprefix('config.optimizer.') == sentence


@pytest.mark.parametrize(
    ('optimizer', 'sentence'),
    [
        ({'name': 'sgd', 'b2': 0.9}, "has the key 'b2', which sgd does not take; it takes momentum, nesterov"),
        ({'name': 'lion', 'eps': 1e-8}, "has the key 'eps', which lion does not take; it takes momentum, b2"),
        ({'name': 'sgd', 'clip_norm': 1.0}, "has the key 'clip_norm', which sgd does not take; it takes momentum"),
        ({'name': 'sgd', 'schedule': 'x'}, "has the key 'schedule', which sgd does not take; it takes momentum"),
        ({'name': 'sgdd'}, "no optimizer is named 'sgdd'; the nearest are sgd"),
    ],
)
def test_a_key_that_is_another_optimizers_is_found_before_there_are_data(optimizer, sentence):
    config = config_with(optimizer)
    config.dataset = 'no_such_data_set'
    check_config(config)
    with pytest.raises(UserError) as error:
        opened(config, None)
    assert sentence in str(error.value)


def test_what_a_signature_names_is_what_a_config_can_set():
    given = []

    @register_optimizer('test_of_ones_own')
    def of_ones_own(schedule, weight_decay, momentum, power=2.0, kind='full', steps=3, axes=(1, 2), best=None):
        given.append((momentum, power, kind, steps, axes, best))
        return optax.sgd(schedule)

    def make(**keys):
        return optimizer_with(keys, 'test_of_ones_own', lambda step: RATE, DECAY)

    make(momentum=0.5)
    make(momentum=0, power=3, kind='half', steps=1, axes=[4], best='any')
    assert given == [(0.5, 2.0, 'full', 3, (1, 2), None), (0, 3, 'half', 1, [4], 'any')]
    for keys, sentence in (
        ({}, 'config.optimizer has no momentum, which test_of_ones_own needs'),
        ({'momentum': 1.0}, 'config.optimizer.momentum is 1.0; it must be a number, at least 0 and below 1'),
        ({'momentum': 0.5, 'power': True}, 'config.optimizer.power is True; it must be like 2.0'),
        ({'momentum': 0.5, 'power': float('nan')}, 'config.optimizer.power is nan; it must be like 2.0'),
        ({'momentum': 0.5, 'kind': 2}, "config.optimizer.kind is 2; it must be like 'full'"),
        ({'momentum': 0.5, 'steps': 1.5}, 'config.optimizer.steps is 1.5; it must be like 3'),
        ({'momentum': 0.5, 'axes': 7}, 'config.optimizer.axes is 7; it must be like (1, 2)'),
    ):
        with pytest.raises(UserError) as error:
            make(**keys)
        assert str(error.value) == sentence
    assert len(given) == 2


def test_names_that_mean_something_else_are_no_keys_of_an_optimizer():
    with pytest.raises(ValueError, match="cannot have a key named 'learning_rate'"):
        register_optimizer('test_taken')(lambda schedule, weight_decay, learning_rate: None)
    with pytest.raises(ValueError, match="an optimizer named 'sgd' is registered already"):
        register_optimizer('sgd')(lambda schedule, weight_decay: None)


def test_the_hand_written_optimizers_have_the_defaults_of_ours():
    for by_hand in (sgd, adamw, lion):
        with_all = {key: each.default for key, each in inspect.signature(by_hand).parameters.items()}
        named, left_out = (
            trained(make_optimizer(by_hand.__name__, lambda step: RATE, DECAY, **keys)) for keys in (with_all, {})
        )
        np.testing.assert_array_equal(named, left_out)
