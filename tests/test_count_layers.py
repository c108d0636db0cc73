"""The count of each layer: all of what a network and its step multiply, each product and parameter once."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn

from efficiency.costs import Counted, costs, counted_network, counted_recipe, layer_costs
from efficiency.flops import count as count_program
from efficiency.layers import ops
from efficiency.tasks.images.networks import list_models
from efficiency.tasks.images.networks.variables import shapes_and_forward
from efficiency.tasks.images.task import forward_pass
from efficiency.tasks.task import Forward
from efficiency.training.programs import without_optimizer
from tests.tasks.images.networks.forward import forward_count


@pytest.mark.parametrize(
    ('name', 'options'),
    [('shufflenet_v1_x1_0', {}), ('googlenet', {'auxiliary_heads': True}), ('resnet50_fixup', {}), ('densenet121', {})],
)
def test_layers_add_up_to_their_network(name, options):
    counted = counted_network(name, 2, options, image_size=32, num_classes=10)
    layers = layer_costs(counted)
    assert len({row['layer'] for row in layers}) == len(layers)
    for column, total in {
        'params': counted.params,
        'forward_dense_macs': counted.forward.dense_macs,
        'forward_real_macs': counted.forward.real_macs,
        'share': pytest.approx(1),
        'train_dense_macs': counted.train.dense_macs / 2,
        'train_real_macs': counted.train.real_macs / 2,
    }.items():
        assert sum(row[column] for row in layers) == total
    # Whatever multiplies has parameters of its own, as every convolution and linear layer has.
    assert all(row['params'] for row in layers)


def test_a_layer_may_be_called_as_the_optimizer_is():
    def named(name):
        def step(x, w):
            with jax.named_scope('Network'), jax.named_scope(name):
                return x @ w

        return count_program(step, *[jax.ShapeDtypeStruct((4, 4), jnp.float32)] * 2)

    assert without_optimizer(named('optimizer')).dense_macs == without_optimizer(named('fc')).dense_macs == 64


def test_optimizers_that_multiply_are_in_no_layer_as_in_no_recipes_row():
    from configs import shufflenet

    config = shufflenet.get_config()
    config.optimizer = {'name': 'muon'}
    counted = counted_recipe(config, {'num_classes': 10})
    layers = {row['layer']: row for row in layer_costs(counted)}
    assert 'optimizer' not in layers
    total = sum(row['train_dense_macs'] for row in layers.values())
    assert total == costs(counted)['train_dense_macs'] < counted.train.dense_macs / config.batch_size


@pytest.mark.parametrize(
    'name',
    [
        name if name in ('alexnet', 'googlenet', 'shufflenet_v1_x1_0') else pytest.param(name, marks=pytest.mark.slow)
        for name in list_models()
    ],
)
def test_the_forward_pass_is_that_of_a_trace_of_its_own(name):
    counted = counted_network(name)
    with ops.override('stock'):
        own = forward_count(counted.network, counted.variables, counted.sizes['image_size'])
    found, expected = (
        [(op.kind, op.conv_pass, op.layer, op.times, op.dense_macs, op.real_macs) for op in each.operations]
        for each in (counted.forward, own)
    )
    assert found == expected


class Head(nn.Module):
    """Parameters of all kinds that a module may have."""

    def setup(self):
        self.table = self.param('table', lambda key: {'a': jnp.zeros((3, 3)), 'b': {'c': jnp.zeros(5)}})
        self.inner = nn.Dense(4)

    def encode(self, x):
        return self.inner(x) @ jnp.zeros((4, 3)) @ self.table['a']


class Parts(nn.Module):
    num_classes: int = 10
    image_size: int = 8
    dtype: type = jnp.float32

    @nn.compact
    def __call__(self, x, train):
        x = x.reshape(len(x), -1)[:, :6]
        x = Head(name='head').encode(x)
        twice = nn.jit(nn.Dense)(3, name='twice')
        return nn.Dense(self.num_classes, name='fc')(twice(twice(x)))


def test_every_parameter_is_of_one_layer():
    counted = counted_of(Parts())
    params = {row['layer']: row['params'] for row in layer_costs(counted)}
    assert params == {'head': 9 + 5, 'head/inner': 6 * 4 + 4, 'twice': 3 * 3 + 3, 'fc': 3 * 10 + 10}
    assert sum(params.values()) == counted.params


class Embedding(nn.Module):
    """Called by another method than __call__."""

    def setup(self):
        self.dense = nn.Dense(4)

    def embed(self, x):
        return self.dense(x)


class Affine(nn.Module):
    """Its parameters are one, of several arrays."""

    @nn.compact
    def __call__(self, x):
        held = self.param('held', lambda key: {'scale': jnp.ones((4, 4)), 'more': [jnp.ones(4), jnp.ones(3)]})
        return x @ held['scale'] + held['more'][0]


class Normalised(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.LayerNorm()(nn.Dense(4)(x))


class Odd(nn.Module):
    """All ways of having parameters that a network of this project has not."""

    def setup(self):
        self.embedding, self.affine, self.twice = Embedding(), Affine(), nn.jit(Normalised)()
        self.again = nn.remat(Normalised)()
        self.own = self.param('own', lambda key: jnp.ones(4))

    def __call__(self, images, train):
        x = self.embedding.embed(images.mean((1, 2))) * self.own
        with jax.named_scope('between'):
            return self.again(self.twice(self.twice(self.affine(x))))


def counted_of(model):
    variables, evaluation = shapes_and_forward(model, 8)

    def step(state, batch):
        def loss(variables):
            return jnp.sum(model.apply(variables, batch['image'], train=True) ** 2)

        return jax.grad(loss)(state)

    batch = {'image': jnp.ones((2, 8, 8, 3)), 'label': jnp.ones(2)}
    variables = {'params': {}} | variables
    one = Forward(forward_pass(model), (jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32),))
    return Counted('images', model, variables, one, evaluation, step, variables, batch, 2, {'image_size': 8})


def test_every_parameter_and_product_is_a_layers_however_it_is_made():
    counted = counted_of(Odd())
    for _ in range(2):  # what jax remembers of the first time makes no difference to the sums
        layers = {row['layer']: row for row in layer_costs(counted)}
        assert {name: row['params'] for name, row in layers.items()} == {
            'the network itself': 4,
            'embedding/dense': 3 * 4 + 4,
            'affine': 16 + 4 + 3,
            'twice/Dense_0': 20,
            'twice/LayerNorm_0': 8,
            'again/Dense_0': 20,
            'again/LayerNorm_0': 8,
        }
        assert sum(row['params'] for row in layers.values()) == counted.params
        # Each for one example, the layer that is used twice twice.
        assert {name: row['forward_dense_macs'] for name, row in layers.items() if row['forward_dense_macs']} == {
            'embedding/dense': 3 * 4, 'affine': 16, 'twice/Dense_0': 2 * 16, 'again/Dense_0': 16,
        }  # fmt: skip
        assert sum(row['train_dense_macs'] for row in layers.values()) == counted.train.dense_macs / 2


def test_layers_take_one_trace_of_the_step():
    counted, calls = counted_network('lenet5'), []
    step = lambda *args: (calls.append(1), counted.step(*args))[1]  # noqa: E731
    assert layer_costs(dataclasses.replace(counted, step=step)) == layer_costs(counted)
    assert len(calls) == 1
