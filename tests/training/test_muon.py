"""Muon makes orthogonal steps of matrices, at the multiply-adds of its closed form."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from configs import lenet5
from efficiency.costs import costs, counted_recipe
from efficiency.errors import UserError
from efficiency.flops import count
from efficiency.training.loop import train
from efficiency.training.optimizer import make_optimizer
from efficiency.training.programs import without_optimizer
from efficiency.training.settings import check_config

RATE, DECAY = 0.1, 0.01


def newton_schulz(matrix, steps=5):
    """As the function of that name in Jordan's article, in float64."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix / np.linalg.norm(matrix)
    if len(x) > len(x.T):
        return newton_schulz(matrix.T, steps).T
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


def trained(optimizer, shape, steps=3):
    """The parameter of a shape before and after each step, and each step's gradient."""
    random = np.random.RandomState(0)
    params = [jnp.asarray(random.randn(*shape), jnp.float32)]
    gradients = random.randn(steps, *shape)
    state = optimizer.init(params[0])
    for gradient in gradients:
        updates, state = optimizer.update(jnp.asarray(gradient, jnp.float32), state, params[-1])
        params.append(optax.apply_updates(params[-1], updates))
    return [np.asarray(each, np.float64) for each in params], gradients


@pytest.mark.parametrize(
    ('shape', 'output_axes', 'matrix'),
    [
        ((6, 4), 1, (6, 4)),
        ((3, 8), 1, (3, 8)),
        ((3, 2, 4, 5), 1, (24, 5)),
        ((3, 3, 1, 16), 1, (9, 16)),
        ((6, 2, 5), 2, (6, 10)),
        ((2, 5, 6), 1, (10, 6)),
    ],
)
@pytest.mark.parametrize('steps', [1, 5])
def test_a_step_is_that_of_its_article(shape, output_axes, matrix, steps):
    optimizer = make_optimizer(
        'muon', lambda step: RATE, DECAY, momentum=0.8, nesterov=False, ns_steps=steps, output_axes=output_axes
    )
    params, gradients = trained(optimizer, shape)
    buffer = 0
    for (before, after), gradient in zip(itertools.pairwise(params), gradients, strict=True):
        buffer = 0.8 * buffer + 0.2 * gradient
        update = newton_schulz(buffer.reshape(matrix), steps) * math.sqrt(max(1, matrix[1] / matrix[0]))
        np.testing.assert_allclose(after, before - RATE * (update.reshape(shape) + DECAY * before), atol=1e-5)


def test_a_step_moves_in_all_directions_alike():
    params, _ = trained(make_optimizer('muon', lambda step: 1.0, 0.0), (3, 3, 8, 20))
    for before, after in itertools.pairwise(params):
        # The five iterations leave singular values of about 0.7 to 1.2.
        values = np.linalg.svd((after - before).reshape(72, 20), compute_uv=False)
        assert 0.6 < values.min() < values.max() < 1.3


def test_what_is_no_matrix_is_trained_by_adamw_of_nesterovs_momentum():
    def nadamw(decay):
        return optax.adamw(RATE, weight_decay=decay, nesterov=True)

    for shape, output_axes in (((7,), 1), ((), 1), ((3, 4), 2)):
        ours = make_optimizer('muon', lambda step: RATE, DECAY, output_axes=output_axes)
        found, expected = (trained(each, shape)[0] for each in (ours, nadamw(DECAY)))
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_step_from_a_fixed_norm_begins_at_that_of_orthonormal_outputs():
    keys = {'momentum': 0.8, 'nesterov': False, 'output_axes': 1}
    params, gradients = trained(make_optimizer('muon', lambda step: RATE, 0.0, fixed_norm=True, **keys), (3, 2, 4, 5))
    buffer = 0
    for (before, after), gradient in zip(itertools.pairwise(params), gradients, strict=True):
        buffer = 0.8 * buffer + 0.2 * gradient
        update = newton_schulz(buffer.reshape(24, 5)).reshape(before.shape)
        np.testing.assert_allclose(after, before * math.sqrt(5) / np.linalg.norm(before) - RATE * update, atol=1e-5)
    # What is no matrix is left as it was, and nothing that is all zeros becomes anything else than its step.
    (ours, _), (plain, _) = (
        trained(make_optimizer('muon', lambda step: RATE, 0.0, fixed_norm=fixed), (7,)) for fixed in (True, False)
    )
    np.testing.assert_allclose(ours, plain, rtol=1e-6)
    zeros, optimizer = jnp.zeros((4, 3)), make_optimizer('muon', lambda step: RATE, 0.0, fixed_norm=True)
    updates, _ = optimizer.update(jnp.eye(4, 3), optimizer.init(zeros), zeros)
    assert np.all(np.isfinite(updates))


def closed_form(shapes, steps, output_axes=1):
    """Multiply-adds of a step over parameters of these shapes."""
    total = 0
    for shape in shapes:
        inputs = len(shape) - output_axes
        if inputs > 0:
            m, n = sorted((math.prod(shape[:inputs]), math.prod(shape[inputs:])))
            # X X^T, A A and B X.
            total += steps * (m * m * n + m**3 + m * m * n)
    return total


@pytest.mark.parametrize(
    ('shapes', 'steps', 'output_axes'),
    [
        ([(4, 4)], 5, 1),
        ([(3, 8)], 1, 1),
        ([(8, 3)], 2, 1),
        ([(3, 3, 16, 32), (32,), (32, 10), (10,)], 5, 1),
        ([(1, 7)], 3, 1),
        ([(5, 5, 1, 6), (1, 1, 6, 200)], 10, 1),
        ([(6, 2, 5), (3, 4)], 5, 2),
        ([(9,), ()], 5, 1),
    ],
)
def test_its_multiply_adds_are_those_of_the_closed_form(shapes, steps, output_axes):
    optimizer = make_optimizer('muon', lambda step: RATE, DECAY, ns_steps=steps, output_axes=output_axes)
    params = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    counted = count(optimizer.update, params, jax.eval_shape(optimizer.init, params), params)
    assert counted.dense_macs == counted.real_macs == closed_form(shapes, steps, output_axes)


def config_with(optimizer, **keys):
    return ConfigDict(lenet5.get_config().to_dict() | {'optimizer': optimizer} | keys)


@pytest.mark.parametrize(
    ('optimizer', 'matrices', 'steps'),
    [
        ({'name': 'muon'}, ('conv', 'fc'), 5),
        ({'name': 'muon', 'ns_steps': 3}, ('conv', 'fc'), 3),
        ({'name': 'sgd', 'groups': [{'params': 'conv', 'name': 'muon', 'ns_steps': 2}]}, ('conv',), 2),
        ({'name': 'muon', 'groups': [{'params': 'fc3', 'name': 'adamw'}]}, ('conv', 'fc1', 'fc2'), 5),
        ({'name': 'sgd', 'groups': [{'rank': 1, 'name': 'muon'}]}, (), 5),
    ],
)
def test_they_are_the_optimizers_part_of_the_train_step_whatever_its_batch(optimizer, matrices, steps):
    programs = [counted_recipe(config_with(optimizer, batch_size=size), {'num_classes': 10}) for size in (16, 64)]
    of_optimizer = [each.train.dense_macs - without_optimizer(each.train).dense_macs for each in programs]
    params = programs[0].variables['params']
    shapes = [leaf.shape for name in params if name.startswith(matrices) for leaf in jax.tree.leaves(params[name])]
    assert of_optimizer == [closed_form(shapes, steps)] * 2
    # What a network costs an example does not depend on what trains it.
    plain = costs(counted_recipe(config_with({'name': 'sgd'}, batch_size=16), {'num_classes': 10}))
    assert [costs(each) for each in programs] == [plain] * 2


def test_a_run_says_what_its_optimizer_multiplies(tmp_path):
    config = config_with({'name': 'muon', 'groups': [{'params': 'fc3', 'name': 'adamw'}]}, num_epochs=0.016)
    config.target.value = 1.0
    record = train(config, tmp_path)
    (program,) = record['programs']
    params = counted_recipe(config, {'num_classes': 10}).variables['params']
    shapes = [leaf.shape for name in params if name != 'fc3' for leaf in jax.tree.leaves(params[name])]
    assert program['optimizer_dense_macs_per_step'] == closed_form(shapes, 5)
    on_network = program['train_dense_macs_per_step'] - program['optimizer_dense_macs_per_step']
    assert record['macs_per_example']['train_dense'] * program['batch_size'] == on_network


@pytest.mark.parametrize(
    ('keys', 'sentence'),
    [
        ({'ns_steps': 0}, 'config.optimizer.ns_steps is 0; it must be a whole number from 1 to 100'),
        ({'ns_steps': 2.5}, 'config.optimizer.ns_steps is 2.5; it must be a whole number from 1 to 100'),
        ({'output_axes': 0}, 'config.optimizer.output_axes is 0; it must be a whole number from 1 to 8'),
    ],
)
def test_values_that_cannot_be_are_one_sentence(keys, sentence):
    with pytest.raises(UserError, match=sentence):
        check_config(config_with({'name': 'muon', **keys}))
