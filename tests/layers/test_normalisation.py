"""Batch norm's written-out gradients are those of its definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from efficiency.layers.normalisation import moments, normalised

EPSILON = 1e-3


def by_definition(x, scale, bias):
    axes = tuple(range(x.ndim - 1))
    mean = jnp.mean(x, axes)
    var = jnp.mean(jnp.square(x - mean), axes)
    return (x - mean) / jnp.sqrt(var + EPSILON) * scale + bias, mean, var


def ours(x, scale, bias):
    mean, var = moments(x)
    return normalised(EPSILON, x.dtype, x, mean, var, scale, bias), mean, var


def of_shape(shape, offset=0.0):
    random = np.random.default_rng(0)
    x = random.normal(size=shape) * random.uniform(0.5, 2, shape[-1]) + random.normal(size=shape[-1]) + offset
    return [x, *random.normal(size=(2, shape[-1]))], random.normal(size=shape), random.normal(size=(2, shape[-1]))


def with_gradients(function, arguments, weights, of_moments):
    """Its value, and the gradients of a sum of all that it gives, each with a weight of its own."""

    def total(*arguments):
        y, mean, var = function(*arguments)
        return jnp.sum(y * weights) + jnp.sum(mean * of_moments[0]) + jnp.sum(var * of_moments[1])

    return function(*arguments)[0], *jax.grad(total, (0, 1, 2))(*arguments)


@pytest.mark.parametrize('shape', [(6, 5, 4, 3), (64, 7), (1, 1, 1, 2), (9, 1)])
def test_values_and_gradients_are_those_of_the_definition(shape):
    arguments, weights, of_moments = of_shape(shape)
    with jax.enable_x64(True):
        truth = with_gradients(by_definition, [jnp.asarray(a) for a in arguments], weights, of_moments)
        exact = with_gradients(ours, [jnp.asarray(a) for a in arguments], weights, of_moments)
    for wanted, value in zip(truth, exact, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-9, atol=1e-9)
    single = [jnp.asarray(a, jnp.float32) for a in arguments]
    found = with_gradients(ours, single, jnp.asarray(weights, jnp.float32), jnp.asarray(of_moments, jnp.float32))
    for wanted, value in zip(truth, found, strict=True):
        assert value.dtype == jnp.float32
        np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-4)


def test_a_mean_of_many_deviations_costs_as_many_roundings_and_no_more():
    arguments, weights, of_moments = of_shape((32, 4, 4, 5), offset=300.0)
    single = [jnp.asarray(a, jnp.float32) for a in arguments]
    with jax.enable_x64(True):
        truth = with_gradients(by_definition, [jnp.asarray(a, jnp.float64) for a in single], weights, of_moments)
    found = with_gradients(ours, single, jnp.asarray(weights, jnp.float32), jnp.asarray(of_moments, jnp.float32))
    for wanted, value in zip(truth, found, strict=True):
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(value / scale, wanted / scale, atol=1e-3)


def test_of_bfloat16_the_sums_are_taken_in_float32_and_what_flows_on_is_bfloat16():
    arguments, weights, of_moments = of_shape((64, 8, 8, 4))
    x = jnp.asarray(arguments[0], jnp.bfloat16)
    scale, bias = (jnp.asarray(a, jnp.float32) for a in arguments[1:])
    y, dx, dscale, dbias = with_gradients(ours, [x, scale, bias], weights, of_moments)
    truth = with_gradients(by_definition, [x.astype(jnp.float32), scale, bias], weights, of_moments)
    assert (y.dtype, dx.dtype, dscale.dtype, dbias.dtype) == (jnp.bfloat16, jnp.bfloat16, jnp.float32, jnp.float32)
    for value, wanted in zip((y, dx), truth, strict=False):
        np.testing.assert_allclose(value.astype(jnp.float32), wanted, rtol=2e-2, atol=2e-2)
    # A sum of 4,096 values of 8 bits: those of the cotangent were rounded, the sum was not.
    np.testing.assert_allclose(dbias, weights.astype(jnp.bfloat16).astype(np.float32).sum((0, 1, 2)), rtol=1e-3)
