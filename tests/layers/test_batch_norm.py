"""Batch norm over groups of examples: what each group would be alone, and nothing outside of training."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import jax
import numpy as np
import pytest
from flax import linen as nn

from efficiency.layers import ops
from efficiency.layers.modules import BatchNorm, Conv, NormInGroups
from efficiency.tasks.images.loss import loss_and_stats
from efficiency.tasks.images.networks import create_model
from efficiency.tasks.images.networks.variables import initialise

EPSILON = 1e-5


class OneNorm(nn.Module):
    """Only a batch norm, in float64."""

    @nn.compact
    def __call__(self, x, train):
        return BatchNorm(train, epsilon=EPSILON, dtype=np.float64, name='norm')(x)


class Small(nn.Module):
    """A convolution between two batch norms, and the mean over the map."""

    num_classes: int = 3
    dtype: type = np.float32

    @nn.compact
    def __call__(self, x, train):
        conv, norm = partial(Conv, kernel=3, dtype=self.dtype), partial(BatchNorm, train, dtype=self.dtype)
        x = nn.relu(norm(name='norm1')(conv(8, padding=1, name='conv1')(x)))
        x = nn.relu(norm(name='norm2')(conv(self.num_classes, stride=2, name='conv2')(x)))
        return x.mean((1, 2))


def drawn(*shape):
    return np.random.RandomState(sum(shape)).standard_normal(shape)


def by_hand(x, scale, bias, group):
    """The definition, a group after the other: outputs, and the running statistics from 0 and 1."""
    parts = [x[start : start + group] for start in range(0, len(x), group)]
    y = [(part - part.mean((0, 1, 2))) / np.sqrt(part.var((0, 1, 2)) + EPSILON) * scale + bias for part in parts]
    mean = np.mean([part.mean((0, 1, 2)) for part in parts], 0)
    var = np.mean([part.var((0, 1, 2), ddof=1) for part in parts], 0)
    return np.concatenate(y), 0.1 * mean, 0.9 + 0.1 * var


@pytest.mark.parametrize('group', [1, 2, 3, 4, 6, 12])
def test_outputs_and_running_statistics_are_those_of_the_groups(group):
    x, scale, bias = 3 + 2 * drawn(12, 3, 2, 4), drawn(4), drawn(4)
    variables = {'params': {'norm': {'scale': scale, 'bias': bias}}}
    variables['batch_stats'] = {'norm': {'mean': np.zeros(4), 'var': np.ones(4)}}
    with jax.enable_x64(True):
        y, updated = NormInGroups(OneNorm(), group).apply(variables, x, train=True, mutable=['batch_stats'])
    expected, mean, var = by_hand(x, scale, bias, group)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(updated['batch_stats']['norm']['mean'], mean, rtol=1e-12)
    np.testing.assert_allclose(updated['batch_stats']['norm']['var'], var, rtol=1e-12)


def test_gradients_are_those_of_the_definition():
    x, scale, bias, weights = drawn(6, 2, 1, 3), drawn(3), drawn(3), drawn(6, 2, 1, 3)
    stats = {'norm': {'mean': np.zeros(3), 'var': np.ones(3)}}

    def loss(x, scale, bias):
        variables = {'params': {'norm': {'scale': scale, 'bias': bias}}, 'batch_stats': stats}
        y, _ = NormInGroups(OneNorm(), 2).apply(variables, x, train=True, mutable=['batch_stats'])
        return (weights * y**2).sum()

    def loss_by_hand(*arguments):
        return (weights * by_hand(*arguments, group=2)[0] ** 2).sum()

    with jax.enable_x64(True):
        gradients = jax.grad(loss, (0, 1, 2))(x, scale, bias)
    arguments = [x, scale, bias]
    for i, found in enumerate(gradients):
        for place in np.ndindex(found.shape):
            step = np.zeros(found.shape)
            step[place] = 1e-6
            above, below = ([*arguments[:i], arguments[i] + sign * step, *arguments[i + 1 :]] for sign in (1, -1))
            difference = (loss_by_hand(*above) - loss_by_hand(*below)) / 2e-6
            assert found[place] == pytest.approx(difference, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    'name',
    [
        'small',
        *(pytest.param(name, marks=pytest.mark.slow) for name in ('shufflenet_v1_x1_0', 'resnet18', 'densenet121')),
    ],
)
def test_a_step_in_groups_is_the_mean_of_steps_on_each_group_alone(name):
    """As torch's DistributedDataParallel takes it: each part of the batch by itself, and the mean of the gradients."""
    group, images, labels, key = 4, drawn(8, 28, 28, 3), np.arange(8) % 3, jax.random.key(0)
    model = Small(dtype=np.float64) if name == 'small' else create_model(name, 3, 28, np.float64)
    with jax.enable_x64(True):
        variables = jax.tree.map(np.float64, initialise(model, key, 28))

    def step(model, images, labels):
        def loss(params):
            return loss_and_stats(model, params, variables['batch_stats'], images, labels, key)

        with ops.override('stock'):
            (loss, stats), gradients = jax.value_and_grad(loss, has_aux=True)(variables['params'])
        return {'loss': loss, 'stats': stats, 'gradients': gradients}

    with jax.enable_x64(True):
        in_groups = jax.jit(partial(step, NormInGroups(model, group)))(images, labels)
        alone = jax.jit(partial(step, model))
        parts = [alone(images[i : i + group], labels[i : i + group]) for i in range(0, 8, group)]
        whole = alone(images, labels)
    mean = jax.tree.map(lambda *leaves: np.mean(leaves, 0), *parts)
    assert 0 < len(jax.tree.leaves(mean['stats'])) < len(jax.tree.leaves(mean['gradients']))
    jax.tree.map(
        lambda found, expected: np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9), in_groups, mean
    )
    # Which is not what the batch as a whole gives.
    assert abs(float(in_groups['loss'] - whole['loss'])) > 1e-3


def lowered(model, variables, images, train):
    def apply(variables, images):
        return model.apply(variables, images, train=train, mutable=['batch_stats'])

    return jax.jit(apply).lower(variables, images).as_text()


@pytest.fixture(scope='module')
def small():
    """A network, its variables and 8 images."""
    return Small(), initialise(Small(), jax.random.key(0), 6), drawn(8, 6, 6, 3).astype(np.float32)


def test_the_variables_are_the_networks_own(small):
    model, variables, _ = small
    wrapped = NormInGroups(model, 4)
    jax.tree.map(np.testing.assert_array_equal, initialise(wrapped, jax.random.key(0), 6), variables)
    assert wrapped.num_classes == 3


def test_a_group_as_large_as_the_batch_is_the_same_program_as_none(small):
    model, *rest = small
    assert lowered(NormInGroups(model, 8), *rest, train=True) == lowered(model, *rest, train=True)
    assert lowered(NormInGroups(model, 4), *rest, train=True) != lowered(model, *rest, train=True)


def test_evaluation_is_the_same_program_whatever_the_groups(small):
    model, *rest = small
    # Also of a number of images that is no whole number of groups.
    assert lowered(NormInGroups(model, 3), *rest, train=False) == lowered(model, *rest, train=False)


def test_networks_at_work_in_several_threads_keep_to_their_groups(small):
    model, variables, images = small
    together = Barrier(3)

    class Waits(nn.Module):
        """Begins and ends when all do."""

        waiting: nn.Module

        def setup(self):
            nn.share_scope(self, self.waiting)

        def __call__(self, x, train):
            together.wait(timeout=60)
            y = self.waiting(x, train=train)
            together.wait(timeout=60)
            return y

    def outputs(size, network):
        network = NormInGroups(network, size) if size else network
        return network.apply(variables, images, train=True, mutable=['batch_stats'])

    sizes = (0, 2, 4)
    alone = [outputs(size, model) for size in sizes]
    with ThreadPoolExecutor(3) as pool:
        jax.tree.map(np.testing.assert_array_equal, list(pool.map(outputs, sizes, [Waits(model)] * 3)), alone)
    assert not np.array_equal(alone[0][0], alone[1][0])


def test_a_network_in_groups_leaves_others_as_they_are(small):
    model, *rest = small
    before = lowered(model, *rest, train=True)
    lowered(NormInGroups(model, 2), *rest, train=True)
    with pytest.raises(ValueError, match='8 examples are no whole number of groups of 3'):
        lowered(NormInGroups(model, 3), *rest, train=True)
    assert lowered(model, *rest, train=True) == before
