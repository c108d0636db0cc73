"""The CPU's formulations compute what XLA's stock operations compute, gradients included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from efficiency.models import ops


def results(fn, formulation, *operands):
    """The output and every operand's gradient against a fixed cotangent."""
    with ops.override(formulation):
        out, vjp = jax.vjp(fn, *operands)
        cotangent = jnp.asarray(np.random.RandomState(1).standard_normal(out.shape), out.dtype)
        return [out, *vjp(cotangent)]


def assert_same(fn, *operands):
    for ours, stock in zip(results(fn, 'cpu', *operands), results(fn, 'stock', *operands), strict=True):
        scale = float(jnp.max(jnp.abs(stock), initial=1e-6))
        np.testing.assert_allclose(ours, stock, atol=1e-5 * scale, rtol=0)


def array(seed, *shape):
    return jnp.asarray(np.random.RandomState(seed).standard_normal(shape), jnp.float32)


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
padding = st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * 2)


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


@pytest.mark.parametrize('batch', [1, 2, 7, 8])
@pytest.mark.parametrize(
    ('size', 'channels', 'kernel', 'out', 'groups', 'stride'),
    [
        (14, 12, 3, 12, 12, 1),  # depthwise
        (14, 12, 3, 12, 12, 2),
        (2, 12, 3, 12, 12, 1),
        (7, 24, 1, 12, 3, 1),  # grouped 1x1
        (2, 16, 5, 24, 1, 1),  # a map smaller than its kernel
        (56, 16, 3, 8, 1, 2),  # a dense 3x3, in chunks of the batch
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

    assert_same(conv, x, weights)


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
