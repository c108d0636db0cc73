"""The count of programs beyond networks of convolutions: closed forms of textbooks, and random programs."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from jax.sharding import PartitionSpec as P

from efficiency.flops import count

BATCH, LENGTH, WIDTH, HEADS, DEPTH = 2, 12, 16, 4, 3


def f32(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def forward_and_training(module, x, **more):
    """Dense macs of a module's forward pass, and with the gradients of its parameters and its input."""
    variables = jax.eval_shape(lambda x: module.init(jax.random.key(0), x, **more), x)

    def loss(variables, x):
        return jnp.sum(module.apply(variables, x, **more) ** 2)

    forward = count(lambda variables, x: module.apply(variables, x, **more), variables, x)
    training = count(jax.value_and_grad(loss, argnums=(0, 1)), variables, x)
    for counted in (forward, training):
        assert sum(part.dense_macs for part in counted.by_layer().values()) == counted.dense_macs
    return forward.dense_macs, training.dense_macs


@pytest.mark.parametrize('features', [8, 16])
def test_an_lstm_under_scan(features):
    # Four gates, each of the input and of the state (Hochreiter & Schmidhuber, 1997).
    one_pass = BATCH * LENGTH * 4 * features * (WIDTH + features)
    assert forward_and_training(nn.RNN(nn.LSTMCell(features)), f32(BATCH, LENGTH, WIDTH)) == (one_pass, 3 * one_pass)


# Vaswani et al., 2017, section 3.2: four projections, and two products over all pairs of positions.
ATTENTION = BATCH * (4 * LENGTH * WIDTH**2 + 2 * LENGTH**2 * WIDTH)
BLOCK = ATTENTION + BATCH * LENGTH * 2 * WIDTH * 4 * WIDTH


class Block(nn.Module):
    """A transformer's block; carries nothing but the sequence, as scan wants it."""

    @nn.compact
    def __call__(self, x, _=None):
        x = x + nn.MultiHeadDotProductAttention(HEADS)(nn.LayerNorm()(x))
        return x + nn.Dense(WIDTH)(nn.gelu(nn.Dense(4 * WIDTH)(nn.LayerNorm()(x)))), None


class Transformer(nn.Module):
    """Blocks under scan."""

    remat: bool

    @nn.compact
    def __call__(self, x):
        block = nn.remat(Block, prevent_cse=False) if self.remat else Block
        return nn.scan(block, variable_axes={'params': 0}, split_rngs={'params': True}, length=DEPTH)()(x, None)[0]


def test_attention():
    attention = nn.MultiHeadDotProductAttention(HEADS)
    assert forward_and_training(attention, f32(BATCH, LENGTH, WIDTH)) == (ATTENTION, 3 * ATTENTION)


def test_a_transformer_scanned_over_its_layers():
    x = f32(BATCH, LENGTH, WIDTH)
    assert forward_and_training(Transformer(remat=False), x) == (DEPTH * BLOCK, 3 * DEPTH * BLOCK)
    # What is forgotten is computed again, but for a block's last product, which no gradient needs.
    again = BLOCK - BATCH * LENGTH * 4 * WIDTH * WIDTH
    assert forward_and_training(Transformer(remat=True), x) == (DEPTH * BLOCK, DEPTH * (3 * BLOCK + again))


def test_a_transformer_split_over_devices_costs_what_it_costs_on_one():
    model, x = Transformer(remat=False), f32(4, LENGTH, WIDTH)
    variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x), x)
    mesh = jax.sharding.AbstractMesh((4,), ('data',), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.shard_map(model.apply, mesh=mesh, in_specs=(P(), P('data')), out_specs=P('data'))
    assert count(split, variables, x).dense_macs == count(model.apply, variables, x).dense_macs == 2 * DEPTH * BLOCK


@dataclasses.dataclass(frozen=True)
class Program:
    """(4, 8) and a matrix and a kernel to (4, 8), and what it must cost: dense and real multiply-adds.

    Attributes:
        forward: of one pass.
        training: of its value and all gradients.
        forgets: whether a part of it is rematerialised. Around that, more of it would not be computed again, as
            nothing needs what the part gives but the part itself.
    """

    run: Callable
    forward: tuple[int, int]
    training: tuple[int, int]
    forgets: bool = False


def times(factor, macs):
    return tuple(factor * each for each in macs)


def plus(*parts):
    return tuple(map(sum, zip(*parts, strict=True)))


# Four rows through a matrix of 8 by 8; a row of 8 through 3 taps, whose outermost see padding.
DOT, CONV = (4 * 64, 4 * 64), (4 * 4 * 8 * 3, 4 * 4 * (8 * 3 - 2))
LEAVES = [
    Program(lambda x, w, k: jnp.tanh(x @ w), DOT, times(3, DOT)),
    Program(lambda x, w, k: jnp.tanh(lax.conv_general_dilated(x[None], k, (1,), 'SAME')[0]), CONV, times(3, CONV)),
]


def after(first, second):
    def run(x, w, k):
        return second.run(first.run(x, w, k), w, k)

    return Program(
        run,
        plus(first.forward, second.forward),
        plus(first.training, second.training),
        first.forgets or second.forgets,
    )


def scanned(body, length):
    def run(x, w, k):
        return lax.scan(lambda x, _: (body.run(x, w, k), None), x, length=length)[0]

    return Program(run, times(length, body.forward), times(length, body.training), body.forgets)


def rematerialised(body):
    if body.forgets:
        return body
    return Program(jax.checkpoint(body.run), body.forward, plus(body.forward, body.training), forgets=True)


def mapped(body, size):
    def run(x, w, k):
        rows = jnp.stack([x] * size)
        return jax.vmap(body.run, (0, None, None))(rows, w, k).mean(0)

    return Program(run, times(size, body.forward), times(size, body.training), body.forgets)


def jitted(body):
    return dataclasses.replace(body, run=jax.jit(body.run))


def either(dearer, cheaper):
    """A cond, of which the dearest branch counts."""

    def run(x, w, k):
        # Not by what a vmap maps over, which would run both.
        return lax.cond(w[0, 0] > 0, dearer.run, cheaper.run, x, w, k)

    return dataclasses.replace(dearer, run=run)


def combined(programs):
    sizes = st.integers(2, 4)
    return st.one_of(
        st.builds(after, programs, programs),
        st.builds(scanned, programs, sizes),
        st.builds(rematerialised, programs),
        st.builds(mapped, programs, sizes),
        st.builds(jitted, programs),
        st.builds(lambda program: either(after(program, program), program), programs),
    )


@settings(max_examples=60, deadline=None)
@given(st.recursive(st.sampled_from(LEAVES), combined, max_leaves=4))
def test_random_programs_cost_the_sum_of_their_parts(program):
    shapes = f32(4, 8), f32(8, 8), f32(4, 4, 3)
    forward = count(program.run, *shapes)
    assert (forward.dense_macs, forward.real_macs) == program.forward
    training = count(jax.value_and_grad(lambda *args: jnp.sum(program.run(*args)), argnums=(0, 1, 2)), *shapes)
    assert (training.dense_macs, training.real_macs) == program.training
