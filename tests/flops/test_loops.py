"""How often loops run: where constants say it, and where their author does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from efficiency.flops import CountError, count

X = jax.ShapeDtypeStruct((8, 8), jnp.float32)
N = jax.ShapeDtypeStruct((), jnp.int32)
ONE = 8**3


def until(n, x):
    return lax.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, c[1] @ c[1]), (0, x))[1]


def two_loops(x, n, m):
    with jax.named_scope('encoder'):
        x = until(n, x)
    with jax.named_scope('decoder'):
        return until(m, x)


@pytest.mark.parametrize(
    'trip_count',
    [[3, 5], (3, 5), {'encoder': 3, 'decoder': 5}, {'encoder/while': np.int64(3), 'decoder': 5}, {0: 3, 1: 5}],
)
def test_loops_have_a_number_of_turns_each(trip_count):
    assert count(two_loops, X, N, N, trip_count=trip_count).dense_macs == (3 + 5) * ONE
    assert count(jax.jit(two_loops), X, N, N, trip_count=trip_count).dense_macs == (3 + 5) * ONE


def test_one_number_is_for_all_loops():
    assert count(two_loops, X, N, N, trip_count=3).dense_macs == 6 * ONE
    assert count(two_loops, X, N, N, trip_count=0).dense_macs == 0


def test_an_outer_loop_comes_before_those_in_it():
    def nested(x, n, m):
        def turn(c):
            with jax.named_scope('inner'):
                return c[0] + 1, until(m, c[1]) @ x

        return lax.while_loop(lambda c: c[0] < n, turn, (0, x))[1]

    assert count(nested, X, N, N, trip_count=[3, 5]).dense_macs == 3 * (5 + 1) * ONE
    assert count(nested, X, N, N, trip_count={'while': 3, 'inner': 5}).dense_macs == 3 * (5 + 1) * ONE


def test_loops_of_one_scope_are_numbered():
    def twice(x, n):
        return until(n, until(n, x))

    assert count(twice, X, N, trip_count={'while': 3, 'while#2': 5}).dense_macs == (3 + 5) * ONE


@pytest.mark.parametrize('trip_count', [None, [3], [3, 5, 7], {'encoder': 3}, {'encoder': 3, 'decode': 5}, {2: 3}])
def test_an_error_lists_the_loops(trip_count):
    with pytest.raises(CountError, match=r'encoder/while.*decoder/while'):
        count(two_loops, X, N, N, trip_count=trip_count)


@pytest.mark.parametrize('turns', [2.5, -1, True, '3', 3.0])
def test_a_number_of_turns_is_whole(turns):
    for trip_count in (turns, [turns, 1], {'encoder': turns}):
        with pytest.raises(ValueError, match='trip_count'):
            count(two_loops, X, N, N, trip_count=trip_count)


@settings(max_examples=20, deadline=None)
@given(st.integers(-3, 9), st.integers(-3, 9), st.integers(1, 3), st.booleans())
def test_bounds_of_constants_are_known(low, high, step, jitted):
    def loop(x):
        return lax.while_loop(
            lambda c: c[0] < c[2],
            lambda c: (c[0] + step, c[1] @ c[1], c[2]),
            (jnp.int32(low), x, jnp.int32(high) + jnp.int32(1)),
        )[1]

    counted = count(jax.jit(loop) if jitted else loop, X)
    assert counted.dense_macs == len(range(low, high + 1, step)) * ONE


def test_a_fori_loop_over_arrays_is_known_wherever_it_stands():
    def fori(x):
        return lax.fori_loop(jnp.int32(0), jnp.int32(6), lambda _, x: x @ x, x)

    def nested(x):
        return lax.fori_loop(jnp.int32(0), jnp.int32(2), lambda _, x: fori(x), x)

    for program, turns in (
        (fori, 6), (lambda x: jax.vmap(fori)(x[None])[0], 6), (jax.checkpoint(fori), 6), (nested, 12),
        (lambda x: lax.scan(lambda x, _: (fori(x), None), x, length=3)[0], 18),
        (lambda x: lax.cond(x[0, 0] > 0, fori, lambda x: x, x), 6),
    ):  # fmt: skip
        assert count(program, X).dense_macs == turns * ONE


def test_branches_are_told_apart():
    """jax holds what runs where the predicate is false first."""

    def either(flag, x, n):
        return lax.cond(flag, lambda: until(n, x), lambda: until(n, until(n, x)))

    flag = jax.ShapeDtypeStruct((), bool)
    for trip_count in ([5, 7, 3], {'branch_0/while': 5, 'branch_0/while#2': 7, 'branch_1': 3}):
        assert count(either, flag, X, N, trip_count=trip_count).dense_macs == (5 + 7) * ONE


def test_what_decides_may_be_one_of_many_or_show_itself():
    def side_by_side(x):
        return jax.vmap(lambda n: lax.fori_loop(0, n, lambda _, x: x @ x, x))(jnp.arange(1, 4))

    def shows(x):
        return lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, jax.debug.print('') or c[1] @ c[1]), (0, x))[1]

    assert count(side_by_side, X).dense_macs == 3 * 3 * ONE  # the longest, for all
    assert count(shows, X).dense_macs == 3 * ONE


@pytest.mark.parametrize(
    ('start', 'step', 'goes_on', 'turns'),
    [
        (0, 1, lambda i: i < 10**9, 10**9),
        (0, 7, lambda i: i <= 2 * 10**9, 2 * 10**9 // 7 + 1),
        (10**9, -2, lambda i: i > 0, 10**9 // 2),
        (5, -3, lambda i: i >= -(10**9), (10**9 + 5) // 3 + 1),
    ],
)
def test_a_counter_may_count_for_long(start, step, goes_on, turns):
    def loop(x):
        return lax.while_loop(lambda c: goes_on(c[0]), lambda c: (c[0] + step, c[1] @ c[1]), (start, x))[1]

    assert count(loop, X).dense_macs == turns * ONE


def test_a_loop_that_works_until_it_converges_is_not_run():
    def loop(x):
        def step(c):
            return jnp.linalg.qr(c[0])[0], c[1] @ c[1]

        return lax.while_loop(lambda c: jnp.max(c[0]) < 1e9, step, (jnp.eye(60), x))[1]

    with pytest.raises(CountError, match="'while' in the program"):
        count(loop, X)


def test_a_loop_without_an_end_is_not_followed_for_ever():
    def endless(x):
        return lax.while_loop(lambda c: c[0] < 6, lambda c: (c[0] * 1, c[1] @ c[1]), (jnp.int32(0), x))[1]

    with pytest.raises(CountError, match="'while' in the program"):
        count(endless, X)
