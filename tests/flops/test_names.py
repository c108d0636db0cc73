"""The paths of layers: one for each, in every pass and around every transformation."""

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn

from efficiency.flops import count


def f32(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


class Layer(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = jnp.tanh(nn.Dense(8, use_bias=False, name='e')(x))
        return jnp.tanh(nn.Dense(8, use_bias=False, name='d')(x))


class Stack(nn.Module):
    """Layers of which nothing is kept for the backward pass."""

    @nn.compact
    def __call__(self, x):
        for i in range(3):
            x = nn.remat(Layer)(name=f'l{i}')(x)
        return x


class Nested(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.remat(Stack)(name='outer')(x)


class Scanned(nn.Module):
    @nn.compact
    def __call__(self, x):
        layer = nn.remat(Layer, prevent_cse=False)(name='layer')

        def body(layer, x, _):
            return layer(x), None

        scan = nn.scan(body, variable_axes={'params': 0}, split_rngs={'params': True}, length=3)
        return scan(layer, x, None)[0]


class Twice(nn.Module):
    @nn.compact
    def __call__(self, x):
        layer = nn.jit(Layer)(name='j')
        return layer(layer(x))


STACK = [f'l{i}/{name}' for i in range(3) for name in 'ed']


@pytest.mark.parametrize(
    ('model', 'paths'),
    [
        (Stack(), [f'Stack/{path}' for path in STACK]),
        (Nested(), [f'Nested/outer/{path}' for path in STACK]),
        (Scanned(), ['Scanned/layer.body/layer/e', 'Scanned/layer.body/layer/d']),
        (Twice(), ['Twice/j/e', 'Twice/j/d']),
    ],
)
def test_a_layer_has_one_path_in_all_passes(model, paths):
    x = f32(4, 8)
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    plain = count(model.apply, variables, x)
    assert list(plain.by_layer()) == paths

    def loss(apply):
        return lambda variables, x: jnp.sum(apply(variables, x) ** 2)

    for apply in (model.apply, jax.jit(model.apply), jax.checkpoint(model.apply)):
        for gradient in (jax.grad(loss(apply)), jax.jit(jax.value_and_grad(loss(apply)))):
            assert set(count(gradient, variables, x).by_layer()) == set(paths)


def test_scopes_around_a_vmap_are_all_kept():
    def around_a_vmap(x, w):
        def row(x):
            with jax.named_scope('a'), jax.named_scope('c'):
                return jnp.tanh(x @ w)

        with jax.named_scope('a'), jax.named_scope('b'):
            return jax.vmap(row)(jnp.tanh(x @ w))

    shapes = f32(4, 8), f32(8, 8)
    both = jax.grad(lambda x, w: jnp.sum(around_a_vmap(x, w)), (0, 1))
    for program in (around_a_vmap, both, jax.jit(both), jax.grad(lambda *args: jnp.sum(both(*args)[0] ** 2))):
        assert list(count(program, *shapes).by_layer()) == ['a/b', 'a/b/a/c']


def test_a_gradient_under_scopes_of_its_own_keeps_them():
    def loss(x, w):
        with jax.named_scope('net'):
            return jnp.sum(jax.checkpoint(lambda x: jnp.tanh(jnp.tanh(x @ w) @ w))(x))

    def step(x, w):
        with jax.named_scope('step'):
            return jax.grad(loss)(x, w)

    assert list(count(step, f32(4, 8), f32(8, 8)).by_layer()) == ['step/net']
    assert list(count(jax.jit(step), f32(4, 8), f32(8, 8)).by_layer()) == ['step/net']
