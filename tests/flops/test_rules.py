"""Products that are no plain matrix multiply: complex, outer and ragged ones, factorisations, kernels, and calls."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn
from jax import export, lax
from jax.custom_derivatives import linear_call
from jax.experimental import pallas as pl
from jax.experimental import sparse
from jax.experimental.custom_partitioning import custom_partitioning

from efficiency.flops import CountError, check_against_xla, count, count_jaxpr


def shape(*sizes, dtype='float32'):
    return jax.ShapeDtypeStruct(sizes, dtype)


X, W = shape(4, 8), shape(8, 8)
ONE, SQUARE = 4 * 8 * 8, 8**3


def macs(program, *args, **kwargs):
    counted = count(program, *args, **kwargs)
    assert sum(part.dense_macs for part in counted.by_layer().values()) == counted.dense_macs
    assert sum(part.dense_macs for part in counted.by_kind().values()) == counted.dense_macs
    return counted.dense_macs


@pytest.mark.parametrize('dtype', ['complex64', 'complex128'])
def test_a_complex_product_is_four_real_ones(dtype):
    x, w = shape(4, 8, dtype=dtype), shape(8, 16, dtype=dtype)
    conv = partial(lax.conv, window_strides=(1,), padding='SAME')
    image, kernel = shape(2, 3, 9, dtype=dtype), shape(5, 3, 3, dtype=dtype)
    with jax.enable_x64(True):
        assert macs(jnp.matmul, x, w) == 4 * 4 * 8 * 16
        assert macs(jnp.matmul, x, shape(8, 16)) == 2 * 4 * 8 * 16  # by a real number
        gradient = jax.grad(lambda x, w: jnp.sum(jnp.abs(conv(x, w))), (0, 1))
        assert macs(gradient, image, kernel) == 3 * 4 * (2 * 9 * 3 * 5 * 3)
        # XLA counts some of their products and not others, so that it is asked about real numbers.
        assert check_against_xla(count(gradient, image, kernel)) == 3
        assert check_against_xla(count(jnp.matmul, x, w)) == 1


def test_a_product_that_adds_nothing_up_is_element_wise():
    a, b = shape(5), shape(10)
    for outer in (jnp.outer, lambda a, b: jnp.einsum('i,j->ij', a, b), lambda a, b: a[:, None] * b):
        assert macs(outer, a, b) == 0
    assert macs(lambda x: jnp.einsum('bi,bi->bi', x, x), X) == 0
    assert macs(lambda a, b: a[:, None] @ b[None], a, b) == 50  # a matrix multiply with one term
    for outer in (jnp.outer, lambda a, b: jnp.einsum('i,j->ij', a, b)):
        assert macs(jax.grad(lambda *args, outer=outer: jnp.sum(outer(*args) ** 2), (0, 1)), a, b) == 0
    # The gradient of a matrix costs what its product did, also of one example.
    assert macs(jax.grad(lambda x, w: jnp.sum((x @ w) ** 2), (0, 1)), shape(8), W) == 3 * 64


def test_a_ragged_product_takes_each_row_through_one_matrix():
    sizes = jnp.array([3, 1])

    def ragged(x, w):
        return lax.ragged_dot(x, w, sizes)

    assert macs(ragged, X, shape(2, 8, 16)) == 4 * 8 * 16
    assert macs(jax.grad(lambda *args: jnp.sum(ragged(*args) ** 2), (0, 1)), X, shape(2, 8, 16)) == 3 * 4 * 8 * 16


def test_scaled_products():
    assert macs(lambda x: lax.scaled_dot(x, x), W) == SQUARE
    x, scales = shape(2, 32, 64, dtype='float8_e4m3fn'), shape(2, 32, 2, dtype='float8_e8m0fnu')
    assert macs(jax.nn.scaled_matmul, x, x, scales, scales) == 2 * 32 * 32 * 64


COMPLEX = shape(3, 16, dtype='complex64')


@pytest.mark.parametrize(
    ('program', 'operand', 'expected', 'rule'),
    [
        (jnp.fft.fft, COMPLEX, 3 * 2.5 * 16 * 4, 'fft'),
        (jnp.fft.rfft, shape(3, 16), 3 * 1.25 * 16 * 4, 'fft'),
        (lambda x: jnp.fft.irfft(x, 16), shape(3, 9, dtype='complex64'), 3 * 1.25 * 16 * 4, 'fft'),
        (jnp.fft.ifft2, shape(3, 4, 8, dtype='complex64'), 3 * 2.5 * 32 * 5, 'fft'),
        (jnp.linalg.cholesky, shape(3, 8, 8), 3 * sum(j * (8 - j) for j in range(8)), 'cholesky'),
        # Of the last k rows and columns, each step takes a multiple of one row off k others.
        (lambda a: lax.linalg.lu(a)[0], shape(3, 8, 8), 3 * sum(k * k for k in range(8)), 'lu'),
        (lambda a: lax.linalg.triangular_solve(a, a, left_side=True), shape(3, 8, 8), 3 * 8 * 28, 'triangular_solve'),
        (jnp.linalg.qr, W, sum(2 * (8 - k) * (7 - k) + 2 * (8 - k) ** 2 for k in range(8)), 'qr'),
    ],
)  # fmt: skip
def test_algorithms_of_known_steps_have_a_stated_rule(program, operand, expected, rule):
    counted = count(program, operand)
    assert counted.dense_macs == counted.real_macs == expected
    assert list(counted.rules) == [rule]
    assert counted.by_kind()['rule'].dense_macs == expected
    assert check_against_xla(counted) == 0


def test_the_rule_of_a_user_comes_first_and_is_told():
    counted = count(lambda x: jnp.fft.fft(x) @ x.T, COMPLEX, rules={'fft': 100})
    assert counted.dense_macs == 100 + 4 * 3 * 16 * 3
    assert counted.rules == {'fft': 'given with the call'}
    assert macs(jnp.linalg.svd, W, rules={'svd': lambda eqn: 9 * eqn.invars[0].aval.shape[0] ** 3}) == 9 * SQUARE
    assert macs(jnp.matmul, X, W, rules={'dot_general': 1, 'unknown': 2}) == 1
    for wrong in (2.5, -1, True, lambda eqn: None):
        with pytest.raises(CountError, match="the rule for 'fft' gives"):
            count(jnp.fft.fft, COMPLEX, rules={'fft': wrong})
    for wrong in (None, ['fft'], 'fft', 5):
        with pytest.raises(CountError, match='rules are'):
            count(jnp.fft.fft, COMPLEX, rules=wrong)


SPARSE = sparse.BCOO.fromdense


@pytest.mark.parametrize(
    ('program', 'why'),
    [
        (jnp.linalg.svd, "'svd' .* as many steps"),
        (jnp.linalg.eigh, "'eigh' .* as many steps"),
        (lambda x: jax.pure_callback(lambda x: x, x, x), "'pure_callback' .* Python"),
        (lambda x: SPARSE(x, nse=9) @ x, "'bcoo_dot_general' .* stored"),
        (export.export(jax.jit(jnp.matmul))(W, W).call, "'call_exported' .* no jaxpr"),
    ],
)
def test_what_is_not_known_is_an_error_that_says_why_and_asks_for_a_rule(program, why):
    def scoped(*operands):
        with jax.named_scope('layer'):
            return program(*operands)

    with pytest.raises(CountError, match=f'{why}.* or say what it costs, as rules='):
        count(scoped, *([W, W] if 'exported' in why else [W]))


def test_what_only_moves_numbers_costs_nothing():
    assert macs(lambda x: SPARSE(x, nse=9).todense(), W) == 0
    assert macs(lambda x: jnp.searchsorted(x[0], x[1]) + jnp.histogram(x)[0][0] + jnp.median(x), W) == 0
    assert macs(lambda x: (jax.experimental.io_callback(lambda x: None, None, x), x @ x)[1], W) == SQUARE


def kernel(x, out):
    out[...] = x[...] @ x[...]


def test_a_kernel_costs_its_body_for_each_element_of_its_grid():
    estimate = pl.CostEstimate(flops=77, bytes_accessed=1, transcendentals=0)
    call = pl.pallas_call(kernel, out_shape=W, grid=(2, 3), cost_estimate=estimate, name='square')
    counted = count(lambda x: lax.scan(lambda x, _: (call(x @ x), None), x, length=5)[0], W)
    assert counted.dense_macs == 5 * (1 + 2 * 3) * SQUARE
    ((found, part),) = counted.by_kernel().items()
    assert (found.name, found.grid, found.times, found.estimated_flops) == ('square', (2, 3), 5, 77)
    assert part.dense_macs == 5 * 6 * SQUARE
    assert count(pl.pallas_call(kernel, out_shape=W), W).dense_macs == SQUARE


def test_a_kernel_may_loop_as_far_as_its_place_in_the_grid():
    def triangle(x, out):
        out[...] = lax.fori_loop(0, pl.program_id(0), lambda _, y: y @ y, x[...])

    def by_length(x, n, out):
        out[...] = lax.fori_loop(0, n[0], lambda _, y: y @ y, x[...])

    assert macs(pl.pallas_call(triangle, out_shape=W, grid=(4,)), W) == (0 + 1 + 2 + 3) * SQUARE
    unknown = pl.pallas_call(by_length, out_shape=W, grid=(4,))
    assert macs(unknown, W, shape(1, dtype='int32'), trip_count=3) == 4 * 3 * SQUARE
    with pytest.raises(CountError, match="'while'"):
        count(unknown, W, shape(1, dtype='int32'))


@pytest.mark.filterwarnings('ignore:.*deprecated')
def test_flash_attention():
    """JAX's own kernels: two products over all pairs, of which a causal one leaves out blocks."""
    from jax.experimental.pallas.ops.gpu.attention import BlockSizes, mha
    from jax.experimental.pallas.ops.tpu.flash_attention import flash_attention

    q = shape(2, 256, 3, 64)
    all_pairs = 2 * 2 * 3 * 256**2 * 64
    assert macs(mha, q, q, q, None) == all_pairs
    blocks = BlockSizes(block_q=64, block_k=64)
    # Of 4 x 4 blocks of pairs, those on the diagonal and below.
    assert macs(mha, q, q, q, None, causal=True, block_sizes=blocks) == all_pairs * 10 // 16

    batch, heads, length, depth = 2, 3, 256, 128
    q = shape(batch, heads, length, depth)
    assert macs(flash_attention, q, q, q) == 2 * batch * heads * length**2 * depth


@jax.custom_batching.custom_vmap
def batched(x):
    return x @ x


@batched.def_vmap
def _(size, in_batched, x):
    return jnp.matmul(x, x), in_batched[0]


@custom_partitioning
def parted(x):
    return x @ x


parted.def_partition(lambda *args: None, lambda *args: None, sharding_rule='i j -> i j')


@pytest.mark.parametrize(
    'call',
    [
        lambda x: lax.composite(jnp.matmul, 'test.product')(x, x),
        batched,
        jax.custom_batching.sequential_vmap(lambda x: x @ x),
        parted,
        lambda x: linear_call(lambda a, b: a @ b, lambda a, b: a.T @ b, x, x),
    ],
    ids=['composite', 'custom_vmap', 'sequential_vmap', 'custom_partitioning', 'linear_call'],
)
def test_a_program_that_runs_once_is_counted_once(call):
    assert macs(call, W) == SQUARE
    assert macs(lambda x: lax.scan(lambda x, _: (call(x), None), x, length=3)[0], W) == 3 * SQUARE
    assert macs(jax.jit(call), W) == SQUARE


def test_a_linear_solve_costs_its_factorisation_and_its_substitutions():
    factors = sum(k * k for k in range(8))
    assert macs(jnp.linalg.solve, W, shape(8)) == factors + 2 * math.comb(8, 2)
    assert macs(jnp.linalg.inv, W) == factors + 2 * 8 * math.comb(8, 2)


class Model(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = nn.BatchNorm(use_running_average=not train)(nn.Dense(16)(x))
        return nn.Dense(3)(nn.Dropout(0.5, deterministic=not train)(x))


def test_what_is_no_array_is_part_of_the_function():
    model = Model()
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.ones(X.shape), False))
    once = 4 * 8 * 16 + 4 * 16 * 3
    assert macs(model.apply, variables, X, False) == macs(model.apply, variables, X, train=False) == once
    rngs = {'dropout': jax.random.key(0)}
    assert macs(model.apply, variables, X, train=True, mutable=['batch_stats'], rngs=rngs) == once

    def by_name(x, how, times=1, function=None):
        return (function or jnp.sin)(x @ x if how == 'product' else x * times)

    assert macs(by_name, W, 'product') == macs(by_name, W, how='product', function=jnp.tanh) == SQUARE
    assert macs(jax.jit(by_name, static_argnames=('how', 'function')), W, how='product', function=jnp.tanh) == SQUARE
    assert macs(by_name, W, 'other', times=3) == 0
    assert macs(jax.grad(lambda x, power: jnp.sum((x @ x) ** power)), W, 2) == 3 * SQUARE


@pytest.mark.parametrize(
    ('fn', 'args', 'why'),
    [
        (lambda x: (x @ x, 'done'), (W,), "the function gives 'done', of type str"),
        (lambda x: lambda: x, (W,), 'of type function'),
        (jax.jit(jnp.tanh).lower(W).compile(), (W,), 'a compiled program cannot be traced again'),
        (jax.jit(jnp.tanh).lower(W), (W,), 'a lowered program cannot be traced again'),
        (jax.jit(jnp.tanh).trace(W), (W,), 'count_jaxpr'),
        (jax.make_jaxpr(jnp.tanh)(W), (W,), 'count_jaxpr'),
        ({'a': 1}, (W,), 'only a function can be counted'),
        (None, (), 'only a function can be counted'),
    ],
)
def test_what_cannot_be_a_program_is_told_in_one_sentence(fn, args, why):
    with pytest.raises(CountError, match=why) as error:
        count(fn, *args)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('wrong', ['a', None, 5, jnp.tanh])
def test_only_a_jaxpr_is_counted_as_one(wrong):
    with pytest.raises(CountError, match='only a jaxpr can be counted here'):
        count_jaxpr(wrong)


def test_the_errors_of_a_function_are_its_own():
    def wrong(x):
        raise ValueError('of another trace level')

    with pytest.raises(ValueError, match='of another trace level'):
        count(wrong, W)


def test_arrays_that_jax_does_not_have_are_told():
    import numpy as np

    for wrong in (np.array([object()]), np.array(['a'])):
        with pytest.raises(CountError, match='as an argument is'):
            count(lambda x, y: x @ x, W, wrong)
        with pytest.raises(CountError, match='as a result of the function is'):
            count(lambda x, wrong=wrong: wrong, W)
