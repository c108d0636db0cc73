"""Fixed-point numbers are multiples of 2^-12 between -8 and 8, and rounding to them is unbiased where it says so."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from efficiency.layers.fixed_point import FRACTION_BITS, rounded, rounded_tree, rounding_layers
from efficiency.layers.modules import Dense

STEP = 2.0**-FRACTION_BITS


def is_fixed(x):
    return bool((np.asarray(x) / STEP == np.round(np.asarray(x) / STEP)).all())


def test_to_nearest_is_what_numpy_rounds_to():
    x = np.random.RandomState(0).normal(0, 2, 1000).astype(np.float32)
    np.testing.assert_array_equal(rounded(x, None), np.round(x.astype(np.float64) / STEP) * STEP)


@pytest.mark.parametrize('key', [None, jax.random.key(0)])
def test_what_is_too_large_is_the_largest_and_what_is_such_a_number_stays(key):
    ends = rounded(jnp.array([-1e9, -8.0, 1e9, 8.0]), key)
    np.testing.assert_array_equal(ends, [-8, -8, 8 - STEP, 8 - STEP])
    numbers = np.arange(-(2**15), 2**15, 7) * STEP
    np.testing.assert_array_equal(rounded(numbers.astype(np.float32), key), numbers)
    assert np.isnan(rounded(jnp.array(np.nan), key))


@pytest.mark.parametrize('share', [0.25, 0.5, 0.9])
def test_stochastic_rounding_goes_up_as_often_as_the_rest_says(share):
    x = jnp.full(100_000, (5 + share) * STEP)
    found = np.asarray(rounded(x, jax.random.key(1))) / STEP
    assert set(found) == {5, 6}
    # Five standard errors of a share of so many.
    assert (found == 6).mean() == pytest.approx(share, abs=5 * (share * (1 - share) / len(x)) ** 0.5)


def test_leaves_are_rounded_each_by_its_own_draw():
    x = jnp.full(1000, 0.5 * STEP)
    found = rounded_tree({'a': x, 'b': {'c': x}}, jax.random.key(0))
    assert (np.asarray(found['a']) != np.asarray(found['b']['c'])).any()


class Two(nn.Module):
    @nn.compact
    def __call__(self, x):
        return Dense(3, name='second')(nn.relu(Dense(5, name='first')(x)))


@pytest.mark.parametrize('key', [None, jax.random.key(3)])
def test_layers_take_and_give_such_numbers_forwards_and_backwards(key):
    model, x = Two(), np.random.RandomState(0).normal(0, 1, (4, 6)).astype(np.float32)
    variables = model.init(jax.random.key(0), x)

    def of(x, offset):
        with rounding_layers(key) as found_any:
            y, state = model.apply(variables, x, capture_intermediates=True)
            assert found_any()
        return (y * (0.37 + offset)).sum(), (y, state['intermediates'])

    gradient, (y, inside) = jax.grad(of, has_aux=True)(x, 0.0)
    assert is_fixed(y)
    assert is_fixed(inside['first']['__call__'][0])
    assert is_fixed(gradient)
    # Nothing of it is left behind.
    assert not is_fixed(model.apply(variables, x))


def test_a_network_without_such_layers_is_told():
    class Bare(nn.Module):
        @nn.compact
        def __call__(self, x):
            return x @ self.param('kernel', nn.initializers.ones, (6, 2))

    with rounding_layers(None) as found_any:
        Bare().init_with_output(jax.random.key(0), np.ones((1, 6), np.float32))
        assert not found_any()
