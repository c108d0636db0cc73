"""The CPU's formulations compute what XLA's stock operations compute, gradients included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from efficiency.layers import ops
from efficiency.layers.convolution import STOCK
from efficiency.layers.winograd import WINOGRAD


def results(fn, formulation, *operands):
    """The output and every operand's gradient against a fixed cotangent."""

    def all_of_them(*operands):
        out, vjp = jax.vjp(fn, *operands)
        cotangent = jnp.asarray(np.random.RandomState(1).standard_normal(out.shape), out.dtype)
        return [out, *vjp(cotangent)]

    # Compiled as one: each operation by itself, in other shapes every time, takes many times as long.
    with ops.override(formulation):
        return jax.jit(all_of_them)(*operands)


def assert_same(fn, *operands):
    for ours, stock in zip(results(fn, 'cpu', *operands), results(fn, 'stock', *operands), strict=True):
        scale = float(jnp.max(jnp.abs(stock), initial=1e-6))
        np.testing.assert_allclose(ours, stock, atol=1e-5 * scale, rtol=0)


def array(seed, *shape):
    return jnp.asarray(np.random.RandomState(seed).standard_normal(shape), jnp.float32)


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
padding = st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * 2)
# Beyond a kernel's size less one, XLA's own input gradient is wrong on a CPU in places (jaxlib 0.10.2): it is no truth.
usual_padding = st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * 2)


@settings(max_examples=30, deadline=None)
@given(
    batch=st.integers(1, 5),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    groups=st.integers(1, 4),
    widths=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=pairs,
    dilation=st.sampled_from([(1, 1), (1, 1), (2, 1), (2, 2)]),
    padding=padding,
)
def test_convolutions_agree_with_stock(batch, size, kernel, groups, widths, strides, dilation, padding):
    x = array(0, batch, *size, groups * widths[0])
    weights = array(1, *kernel, widths[0], groups * widths[1])
    spec = ops.ConvSpec(strides, padding, dilation, groups)
    assume(min(spec.output_size(x.shape, weights.shape)) > 0)

    def conv(x, weights):
        return ops.conv2d(x, weights, strides=strides, padding=padding, dilation=dilation, groups=groups)

    assert_same(conv, x, weights)


@settings(max_examples=10, deadline=None)
@given(
    batch=st.integers(1, 3), size=st.tuples(st.integers(1, 9), st.integers(1, 9)), padding=usual_padding,
    channels=st.tuples(st.integers(1, 4), st.integers(1, 4)),
)  # fmt: skip
def test_winograds_convolutions_agree_with_stock(batch, size, padding, channels):
    spec, x, kernel = ops.ConvSpec(padding=padding), array(0, batch, *size, channels[0]), array(1, 3, 3, *channels)
    out = spec.output_size(x.shape, kernel.shape)
    assume(min(out) > 0)
    dy = array(2, batch, *out, channels[1])

    def all_of(way):
        def passes(x, kernel, dy):
            return (
                way.forward(spec, x, kernel),
                way.input_gradient(spec, x.shape, kernel, dy),
                way.kernel_gradient(spec, kernel.shape, x, dy),
            )

        return jax.jit(passes)(x, kernel, dy)

    found, expected = all_of(WINOGRAD), all_of(STOCK)
    for ours, stock in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, stock, atol=1e-5 * max(1, np.abs(stock).max()), rtol=0)


@settings(max_examples=6, deadline=None)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)), kernel=st.tuples(st.integers(3, 5), st.integers(3, 5)),
    channels=st.integers(2, 4), strides=pairs, dilation=pairs, padding=usual_padding,
)  # fmt: skip
def test_depthwise_convolutions_agree_with_stock(size, kernel, channels, strides, dilation, padding):
    x, weights = array(0, 2, *size, channels), array(1, *kernel, 1, channels)
    assume(min(ops.ConvSpec(strides, padding, dilation, channels).output_size(x.shape, weights.shape)) > 0)

    def conv(x, weights):
        return ops.conv2d(x, weights, strides=strides, padding=padding, dilation=dilation, groups=channels)

    assert_same(conv, x, weights)


def test_wide_3x3_convolutions_are_as_exact_in_bfloat16_as_stock():
    def conv(x, weights):
        return ops.conv2d(x, weights, padding=((1, 1), (1, 1)))

    low = [a.astype(jnp.bfloat16) for a in (array(0, 4, 8, 8, 64), array(1, 3, 3, 64, 64))]
    cotangent = array(2, 4, 8, 8, 64).astype(jnp.bfloat16)

    def errors(formulation):
        found = []
        for dtype in (jnp.bfloat16, jnp.float32):
            with ops.override(formulation if dtype == jnp.bfloat16 else 'stock'):
                out, vjp = jax.vjp(conv, *(a.astype(dtype) for a in low))
                found.append([out, *vjp(cotangent.astype(dtype))])
        assert all(a.dtype == jnp.bfloat16 for a in found[0])
        return [float(jnp.mean((a - b) ** 2)) for a, b in zip(*found, strict=True)]

    assert all(ours <= 1.1 * stock for ours, stock in zip(errors('cpu'), errors('stock'), strict=True))


@pytest.mark.parametrize('batch', [1, 7, *(pytest.param(batch, marks=pytest.mark.slow) for batch in (2, 8))])
@pytest.mark.parametrize(
    ('size', 'channels', 'kernel', 'out', 'groups', 'stride'),
    [
        (14, 12, 3, 12, 12, 1),  # depthwise
        (14, 12, 3, 12, 12, 2),
        (2, 12, 3, 12, 12, 1),
        (7, 24, 1, 12, 3, 1),  # grouped 1x1
        (2, 16, 5, 24, 1, 1),  # a map smaller than its kernel
        (56, 16, 3, 8, 1, 2),  # a dense 3x3, in chunks of the batch
        (100, 48, 3, 50, 1, 1),  # in tiles, in chunks of the batch
        (8, 24, 3, 90, 1, 1),  # only the kernel's gradient in tiles
        (9, 24, 3, 48, 6, 1),  # groups, all in one dense convolution
        (9, 96, 3, 96, 24, 2),  # groups, in three
        (9, 64, 3, 64, 2, 2),  # wide groups, each its own
        (15, 8, 7, 6, 1, 4),  # strides in phases, some without a row of the kernel in the last
        (9, 8, 2, 6, 1, 3),
    ],
)
def test_every_formulation_at_batches_that_do_not_divide(batch, size, channels, kernel, out, groups, stride):
    x, weights = array(0, batch, size, size, channels), array(1, kernel, kernel, channels // groups, out)
    pad = ((kernel // 2, kernel // 2),) * 2

    def conv(x, weights):
        return ops.conv2d(x, weights, strides=(stride, stride), padding=pad, groups=groups)

    # In float64, as stock's own sums of so many products are off by more than is allowed here.
    with jax.enable_x64(True):
        exact = results(conv, 'stock', *(operand.astype(jnp.float64) for operand in (x, weights)))
    for ours, true in zip(results(conv, 'cpu', x, weights), exact, strict=True):
        np.testing.assert_allclose(ours, true, atol=1e-5 * np.abs(true).max(), rtol=0)


# Rows of a multiple of 512 are read in another order.
@pytest.mark.parametrize(('inputs', 'features'), [(7, 5), (512, 9), (3, 1024)])
def test_sums_of_products_agree_with_stock(inputs, features):
    with jax.enable_x64(True):
        a, b = (np.random.RandomState(i).standard_normal((4, 6, size)) for i, size in enumerate((inputs, features)))
        for formulation in ('cpu', 'stock'):
            with ops.override(formulation):
                found = jax.jit(ops.sum_of_products)(a, b)
            np.testing.assert_allclose(found, np.einsum('tni,tno->io', a, b), rtol=1e-9, atol=1e-11)


@settings(max_examples=20, deadline=None)
@given(
    size=st.tuples(st.integers(3, 9), st.integers(3, 9)), window=pairs, strides=pairs, ties=st.booleans(),
    pad=st.integers(0, 1),
)  # fmt: skip
def test_max_pool_agrees_with_stock_also_where_values_tie(size, window, strides, ties, pad):
    x = array(0, 2, *size, 3)
    if ties:
        x = jnp.round(x)
    pad = min(pad, min(window) - 1)
    assert_same(lambda x: ops.max_pool(x, window, strides, ((pad, pad), (pad, pad))), x)


def test_max_pool_shows_a_nan():
    x = jnp.zeros((1, 4, 4, 1)).at[0, 1, 1, 0].set(jnp.nan)
    with ops.override('cpu'):
        assert np.isnan(ops.max_pool(x, (2, 2), (2, 2)))[0, 0, 0, 0]


@settings(max_examples=20, deadline=None)
@given(size=st.tuples(st.integers(3, 9), st.integers(3, 9)), window=pairs, strides=pairs, pad=st.integers(0, 1))
def test_avg_pool_agrees_with_stock(size, window, strides, pad):
    assert_same(lambda x: ops.avg_pool(x, window, strides, ((pad, pad), (pad, pad))), array(0, 2, *size, 3))


def test_accelerators_get_stock_convolutions_and_cpus_do_not():
    def gradients(x, weights):
        return jax.grad(lambda *a: jnp.sum(ops.conv2d(*a, groups=4) ** 2), argnums=(0, 1))(x, weights)

    traced = jax.jit(gradients).trace(jnp.ones((2, 8, 8, 4)), jnp.ones((3, 3, 1, 4)))
    for platform, convolutions in (('tpu', 3), ('cuda', 3), ('cpu', 0)):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert text.count('stablehlo.convolution') == convolutions, platform


def test_an_unknown_formulation_is_an_error():
    with pytest.raises(ValueError, match="'stock' or 'cpu'"), ops.override('fast'):
        pass


def test_what_repeated_layers_have_in_common_is_traced_once():
    x, kernel = array(0, 2, 8, 8, 4), array(1, 3, 3, 4, 4)

    def conv(x):
        return ops.conv2d(x, kernel, padding=((1, 1), (1, 1)))

    gradient = jax.make_jaxpr(jax.grad(lambda x: conv(conv(conv(x))).sum()))(x)
    switches = [eqn for eqn in gradient.eqns if eqn.primitive.name == 'cond']
    branches = [branch.jaxpr for eqn in switches for branch in eqn.params['branches']]
    # Forward passes and gradients of the input; what each is on a CPU and elsewhere.
    assert (len(switches), len({id(branch) for branch in branches})) == (6, 4)
