"""The count against truths that share no code with it: closed forms, convolutions of ones, XLA's own count."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jax import lax
from jax.sharding import PartitionSpec as P

from efficiency.flops import (
    Count,
    CountError,
    DisagreementError,
    Operation,
    check_against_xla,
    count,
    count_jaxpr,
    tracing,
)  # fmt: skip
from efficiency.flops.check import lowered_flops
from efficiency.layers import ops
from efficiency.tasks.images.networks import create_model, list_models


def f32(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def matmul(x, w):
    return jnp.tanh(x @ w)


X, W = f32(4, 8), f32(8, 8)
ONE = 4 * 8 * 8


def gradient(fn):
    return jax.grad(lambda *args: jnp.sum(fn(*args)), argnums=(0, 1))


def test_a_matrix_multiply_is_the_product_of_its_sizes():
    assert count(lambda a, b: a @ b, f32(3, 5), f32(5, 7)).dense_macs == 3 * 5 * 7
    assert count(partial(jnp.einsum, 'bij,bkj->bik'), f32(2, 3, 5), f32(2, 7, 5)).dense_macs == 2 * 3 * 5 * 7


def test_a_linear_layers_gradients_cost_twice_its_forward_pass():
    assert count(gradient(matmul), X, W).dense_macs == 3 * ONE


def test_what_does_not_reach_the_result_is_not_counted():
    def first_layer(w, x):
        return jax.grad(lambda w: jnp.sum(matmul(x, w)))(w)

    assert count(first_layer, W, X).dense_macs == 2 * ONE
    assert count(lambda x, w: (x @ w, x)[1], X, W).dense_macs == 0


def test_a_scan_counts_its_body_for_every_turn():
    def scanned(x, w):
        return lax.scan(lambda x, _: (matmul(x, w), None), x, length=5)[0]

    assert count(scanned, X, W).dense_macs == 5 * ONE
    assert count(gradient(scanned), X, W).dense_macs == 15 * ONE
    assert (
        count(lambda x, w: lax.fori_loop(0, 6, lambda _, x: matmul(x, w), x), X, W, trip_count=6).dense_macs == 6 * ONE
    )
    assert count(lambda x, w: lax.map(lambda row: row @ w, x), X, W).dense_macs == ONE


def test_remat_counts_what_is_computed_again():
    def layers(x, w):
        return matmul(matmul(x, w), w)

    def value_and_gradient(fn):
        return jax.value_and_grad(lambda *args: jnp.sum(fn(*args)), argnums=(0, 1))

    assert count(value_and_gradient(layers), X, W).dense_macs == (2 + 4) * ONE
    assert count(value_and_gradient(jax.checkpoint(layers)), X, W).dense_macs == (2 + 2 + 4) * ONE


def test_a_cond_counts_its_dearest_branch():
    def either(flag, x, w):
        return lax.cond(flag, lambda: x @ w, lambda: (x @ w) @ w)

    assert count(either, jax.ShapeDtypeStruct((), bool), X, W).dense_macs == 2 * ONE


def test_a_switch_by_platform_counts_its_default():
    def switch(x, w):
        return lax.platform_dependent(x, w, cpu=lambda x, w: x @ w @ w @ w, default=lambda x, w: x @ w)

    assert count(switch, X, W).dense_macs == ONE


def test_custom_derivatives_count_what_they_call():
    @jax.custom_vjp
    def twice(x, w):
        return x @ w @ w

    twice.defvjp(lambda x, w: (x @ w, (x, w)), lambda r, g: (g @ r[1], r[0].T @ g))

    @jax.custom_jvp
    def once(x, w):
        return x @ w

    once.defjvp(lambda primals, tangents: (once(*primals), tangents[0] @ primals[1]))
    assert count(twice, X, W).dense_macs == 2 * ONE
    assert count(gradient(twice), X, W).dense_macs == 2 * ONE  # the forward pass has nothing that is needed
    assert count(once, X, W).dense_macs == ONE


def test_vmap_counts_every_example():
    assert count(jax.vmap(lambda x, w: x @ w, (0, None)), f32(3, 4, 8), W).dense_macs == 3 * ONE


def test_vmap_of_a_convolutions_gradients_counts_every_example():
    def loss(x, w):
        return jnp.sum(lax.conv(x, w, (1, 1), 'VALID') ** 2)

    both = jax.grad(loss, (0, 1))
    one = count(both, f32(2, 3, 9, 9), f32(4, 3, 3, 3))
    three = count(jax.vmap(both, (None, 0)), f32(2, 3, 9, 9), f32(3, 4, 3, 3, 3))
    assert three.dense_macs == 3 * one.dense_macs
    assert three.real_macs == 3 * one.real_macs
    assert three.by_conv_pass()['input_gradient'].dense_macs == 3 * one.by_conv_pass()['input_gradient'].dense_macs > 0


def test_the_condition_of_a_while_runs_once_more_than_its_body():
    def loop(x, w):
        return lax.while_loop(lambda x: jnp.sum(x @ w) > 0, lambda x: x @ w, x)

    assert count(loop, X, W, trip_count=3).dense_macs == (4 + 3) * ONE


def test_shard_map_counts_all_devices():
    mesh = jax.sharding.AbstractMesh((2,), ('data',), axis_types=(jax.sharding.AxisType.Auto,))
    sharded = jax.shard_map(lambda x, w: x @ w, mesh=mesh, in_specs=(P('data'), P()), out_specs=P('data'))
    assert count(sharded, X, W).dense_macs == ONE


def test_layers_are_named_and_add_up():
    model = create_model('alexnet', 10, 28)
    variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, False), f32(1, 28, 28, 3))

    def loss(params, x):
        return jnp.sum(model.apply({'params': params}, x, True, rngs={'dropout': jax.random.key(0)}) ** 2)

    counted = count(jax.grad(loss), variables['params'], f32(8, 28, 28, 3))
    layers = counted.by_layer()
    names = ['AlexNet/conv1', 'AlexNet/conv2', 'AlexNet/conv3', 'AlexNet/conv4', 'AlexNet/conv5']
    assert list(layers) == [*names, 'AlexNet/fc1', 'AlexNet/fc2', 'AlexNet/fc3']
    assert layers['AlexNet/fc2'].dense_macs == 3 * 8 * 4096 * 4096
    assert layers['AlexNet/conv1'].dense_macs == 2 * 8 * 6 * 6 * 11 * 11 * 3 * 64  # no gradient for the image
    for split in (layers, counted.by_kind()):
        assert sum(part.dense_macs for part in split.values()) == counted.dense_macs
        assert sum(part.real_macs for part in split.values()) == counted.real_macs
    kinds = counted.by_conv_pass()
    assert kinds['forward'].dense_macs == kinds['weight_gradient'].dense_macs > kinds['input_gradient'].dense_macs > 0


@pytest.mark.parametrize('rematerialised', [False, True])
def test_layers_that_share_a_name_with_the_layer_around_them_are_told_apart(rematerialised):
    class Inner(nn.Module):
        @nn.compact
        def __call__(self, x):
            return jnp.tanh(nn.Dense(8, use_bias=False, name='same')(x))

    class Outer(nn.Module):
        @nn.compact
        def __call__(self, x):
            inner = nn.remat(Inner) if rematerialised else Inner
            return inner(name='other')(inner(name='same')(x))

    x = f32(4, 8)
    model = Outer()
    params = jax.eval_shape(model.init, jax.random.key(0), x)
    layers = count(jax.grad(lambda params: jnp.sum(model.apply(params, jnp.ones(x.shape)))), params).by_layer()
    assert set(layers) == {'Outer/same/same', 'Outer/other/same'}


@pytest.mark.parametrize(
    ('program', 'name'),
    [
        (lambda x, w: lax.while_loop(lambda x: jnp.sum(x) > 0, lambda x: x @ w, x), 'while'),
        (lambda x, w: jnp.linalg.svd(w)[0], 'svd'),
        (lambda x, w: jax.pure_callback(lambda x: x, x, x), 'pure_callback'),
    ],
)
def test_what_cannot_be_counted_is_an_error_that_names_it(program, name):
    def scoped(x, w):
        with jax.named_scope('my_layer'):
            return program(x, w)

    with pytest.raises(CountError, match=f"'{name}.*my_layer"):
        count(scoped, X, W)


def test_a_loop_that_multiplies_nothing_needs_no_length():
    assert count(lambda x: lax.while_loop(lambda x: jnp.sum(x) > 0, lambda x: x - 1, x), X).dense_macs == 0


def test_what_only_shows_values_is_allowed():
    def shows(x, w):
        jax.debug.print('{x}', x=x)
        jax.debug.callback(lambda x: None, x)
        return matmul(x, w)

    assert count(shows, X, W).dense_macs == ONE
    assert count(gradient(jax.jit(jax.checkpoint(shows))), X, W).dense_macs >= 3 * ONE


@st.composite
def convolutions(draw):
    dims = draw(st.integers(1, 3))

    def each(*values):
        return draw(st.tuples(*[st.sampled_from(values)] * dims))

    groups = draw(st.sampled_from([1, 1, 2, 3]))
    batch, c_in, c_out = (draw(st.integers(1, 3)) for _ in range(3))
    image = f32(batch, groups * c_in, *each(3, 4, 5, 6, 7, 8))
    kernel = f32(groups * c_out, c_in, *each(1, 2, 3, 4))
    options = {
        'window_strides': each(1, 2, 3),
        'padding': [(a, b) for a, b in zip(each(-1, 0, 1, 2, 3), each(-1, 0, 1, 2, 3), strict=True)],
        'lhs_dilation': each(1, 1, 2, 3),
        'rhs_dilation': each(1, 1, 2),
        'feature_group_count': groups,
    }
    return partial(lax.conv_general_dilated, **options), image, kernel


@settings(max_examples=60, deadline=None)
@given(convolutions())
def test_random_convolutions_and_gradients_against_ones_and_xla(convolution):
    conv, image, kernel = convolution
    out = jax.eval_shape(conv, image, kernel)
    assume(min(out.shape) > 0)

    def both_gradients(x, w, dy):
        return jax.vjp(conv, x, w)[1](dy)

    operations = [*count(conv, image, kernel).operations, *count(both_gradients, image, kernel, out).operations]
    assert len(operations) == 3
    # Every product of two ones that exist adds one to the sum. The zeros are put in beforehand: XLA's convolutions on a
    # CPU are wrong for some paddings below 0, and do not compile for others (jaxlib 0.10.2).
    options = conv.keywords | {'padding': 'VALID', 'lhs_dilation': None}
    sides = zip(*zip(*conv.keywords['padding'], strict=True), conv.keywords['lhs_dilation'], strict=True)
    edges = [(0, 0, 0), (0, 0, 0), *((before, after, holes - 1) for before, after, holes in sides)]
    spread = lax.pad(jnp.ones(image.shape), 0.0, edges)
    ones = jnp.sum(lax.conv_general_dilated(spread, jnp.ones(kernel.shape), **options))
    for op in operations:
        assert op.real_macs == int(ones)
        assert op.dense_macs == operations[0].dense_macs
        assert lowered_flops(op) == pytest.approx(2 * op.real_macs, rel=1e-6)


def train_gradients(name, image_size, batch=2):
    model = create_model(name, 10, image_size)
    image = f32(batch, image_size, image_size, 3)
    variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, False), image)

    def gradients(variables, x):
        def loss(params):
            out, _ = model.apply(
                variables | {'params': params}, x, True, mutable=['batch_stats'], rngs={'dropout': jax.random.key(0)}
            )
            return jnp.sum(out**2)

        return jax.grad(loss)(variables['params'])

    return gradients, variables, image


# What holds of two networks that are as different as any is shown of all by the slow tests.
NETWORKS = [
    name if name in ('alexnet', 'shufflenet_v1_x1_0') else pytest.param(name, marks=pytest.mark.slow)
    for name in list_models()
]


@pytest.mark.parametrize('name', NETWORKS)
@pytest.mark.parametrize('image_size', [28, 224])
def test_every_distinct_operation_of_the_networks_agrees_with_xla(name, image_size):
    assert check_against_xla(count(*train_gradients(name, image_size))) > 10


@pytest.mark.parametrize('name', NETWORKS)
def test_the_count_does_not_depend_on_platform_or_sharding(name):
    gradients, variables, image = train_gradients(name, 28, batch=8)
    plain = count(gradients, variables, image)
    with ops.override('stock'):
        # A new function, as jax remembers what it traced of an old one.
        stock = count(partial(gradients), variables, image)
    assert (plain.dense_macs, plain.real_macs) == (stock.dense_macs, stock.real_macs)
    mesh = jax.sharding.AbstractMesh((8,), ('data',), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.sharding.NamedSharding(mesh, P('data'))
    with tracing():
        sharded = jax.jit(gradients).trace(variables, jax.ShapeDtypeStruct(image.shape, image.dtype, sharding=split))
    assert count_jaxpr(sharded.jaxpr).dense_macs == plain.dense_macs


def test_a_disagreement_names_the_layer_and_is_remembered_only_if_none(tmp_path):
    counted = count(matmul, X, W)
    assert check_against_xla(counted, tmp_path) == 1
    assert check_against_xla(counted, tmp_path) == 0
    op = counted.operations[0]
    wrong = Operation(op.kind, 'my/layer', 1, op.dense_macs, op.real_macs + 1, op.eqn)
    for _ in range(2):
        with pytest.raises(DisagreementError, match='my/layer'):
            check_against_xla(Count((wrong,)), tmp_path)
