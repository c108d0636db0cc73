"""Multi-head attention is torch's, under any mask, and the same a position at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from efficiency.flops import count
from efficiency.layers import ops
from efficiency.layers.attention import (
    CrossAttention,
    SelfAttention,
    attend,
    attend_causally,
    causal_mask,
    masked_softmax,
)

N, T, S, WIDTH, HEADS = 3, 4, 5, 6, 2
REAL = np.arange(S) < np.array([5, 2, 4])[:, None]


def drawn(*shape):
    return np.random.RandomState(sum(shape)).standard_normal(shape)


@pytest.fixture
def torch_attention():
    torch = pytest.importorskip('torch', reason='needs the extra crosscheck')
    attention = torch.nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).double()
    for name, parameter in attention.named_parameters():
        parameter.data = torch.tensor(drawn(*parameter.shape) * 0.5, dtype=torch.float64)
        assert name in ('in_proj_weight', 'in_proj_bias', 'out_proj.weight', 'out_proj.bias')
    return attention


def layer(weight, bias):
    return {'kernel': np.asarray(weight).T, 'bias': np.asarray(bias)}


def compared(apply, params, arrays, theirs, their_arrays, their_parameters):
    """Outputs and gradients, of what is given as an array too."""
    import torch

    weights = drawn(*theirs.shape)
    with jax.enable_x64(True):
        y = jax.jit(apply)(params, *arrays)
        found = jax.jit(jax.grad(lambda *args: (apply(*args) * weights).sum(), range(1 + len(arrays))))(params, *arrays)
    (theirs * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(y, theirs.detach(), rtol=1e-9, atol=1e-12)
    for ours, other in zip(found[1:], their_arrays, strict=True):
        np.testing.assert_allclose(ours, other.grad, rtol=1e-6, atol=1e-12)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-12), found[0], their_parameters())


@pytest.mark.crosscheck
@pytest.mark.parametrize('is_causal', [True, False])
def test_to_itself_it_is_torchs(is_causal, torch_attention):
    import torch

    x = drawn(N, S, WIDTH)
    their_x = torch.tensor(x, requires_grad=True)
    mask = None if is_causal else REAL[:, None, None]
    theirs, _ = torch_attention(
        their_x, their_x, their_x,
        attn_mask=torch.tensor(~np.asarray(causal_mask(S)[0, 0])) if is_causal else None,
        key_padding_mask=None if is_causal else torch.tensor(~REAL),
    )  # fmt: skip
    a = torch_attention

    def carried(of):
        return {
            'query_key_value': layer(of(a.in_proj_weight), of(a.in_proj_bias)),
            'out': layer(of(a.out_proj.weight), of(a.out_proj.bias)),
        }

    model, params = SelfAttention(WIDTH, HEADS, np.float64), carried(lambda p: p.detach())
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == sum(p.numel() for p in a.parameters())
    compared(
        lambda params, x: model.apply({'params': params}, x, mask), params, (x,), theirs, (their_x,),
        lambda: carried(lambda p: p.grad),
    )  # fmt: skip


@pytest.mark.crosscheck
def test_to_another_it_is_torchs(torch_attention):
    import torch

    x, memory = drawn(N, T, WIDTH), drawn(N, S, WIDTH)
    their_x, their_memory = (torch.tensor(a, requires_grad=True) for a in (x, memory))
    theirs, _ = torch_attention(their_x, their_memory, their_memory, key_padding_mask=torch.tensor(~REAL))
    a = torch_attention

    def carried(of):
        weight, bias = of(a.in_proj_weight), of(a.in_proj_bias)
        return {
            'query': layer(weight[:WIDTH], bias[:WIDTH]),
            'key_value': layer(weight[WIDTH:], bias[WIDTH:]),
            'out': layer(of(a.out_proj.weight), of(a.out_proj.bias)),
        }

    model = CrossAttention(WIDTH, HEADS, np.float64)

    def apply(params, x, memory):
        return model.apply(
            {'params': params}, x, memory, method=lambda m, x, memory: m(x, m.project(memory), REAL[:, None, None])
        )

    compared(
        apply, carried(lambda p: p.detach()), (x, memory), theirs, (their_x, their_memory),
        lambda: carried(lambda p: p.grad),
    )  # fmt: skip


def test_a_position_at_a_time_with_a_cache():
    model, x = SelfAttention(WIDTH, HEADS, np.float64), drawn(N, T, WIDTH)
    with jax.enable_x64(True):
        variables = model.init(jax.random.key(0), x, None)
        expected = model.apply(variables, x, None)

        def step(cache, inputs):
            return model.apply(variables, inputs[0][:, None], cache, inputs[1], method='step')

        # With room for more than is written.
        cache = model.cache(N, T + 2)
        _, y = jax.lax.scan(step, cache, (x.swapaxes(0, 1), np.arange(T)))
    np.testing.assert_allclose(y[:, :, 0].swapaxes(0, 1), expected, rtol=1e-12, atol=1e-12)


def test_a_row_that_sees_nothing_is_finite():
    weights = masked_softmax(jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([[True, False], [False, False]]))
    np.testing.assert_array_equal(weights, [[1, 0], [0.5, 0.5]])
    # In bfloat16 the weights of a long sentence would not add up.
    assert masked_softmax(jnp.ones((1, 3), jnp.bfloat16), jnp.ones((1, 3), bool)).dtype == jnp.float32


def test_macs_are_the_closed_form():
    x = jax.ShapeDtypeStruct((1, S, WIDTH), jnp.float32)
    model = SelfAttention(WIDTH, HEADS)
    variables = jax.eval_shape(model.init, jax.random.key(0), x, None)
    counted = count(lambda variables, x: model.apply(variables, x, None), variables, x)
    assert counted.dense_macs == S * (4 * WIDTH**2 + 2 * S * WIDTH)


def with_gradients(attention, *operands):
    y, vjp = jax.vjp(attention, *operands)
    return [y, *vjp(jnp.asarray(drawn(*y.shape), y.dtype))]


# Batches that the loop takes whole, and that leave a rest; lengths of one block and of several with a rest.
@pytest.mark.parametrize(('n', 'length', 'heads'), [(3, 150, 2), (5, 129, 8), (7, 256, 4), (2, 40, 2)])
def test_what_a_cpu_leaves_out_is_what_is_hidden(n, length, heads):
    with jax.enable_x64(True):
        operands = [drawn(n, length, heads, 6 + i)[..., :6] for i in range(3)]
        expected = with_gradients(lambda *args: attend(*args, causal_mask(length)), *operands)
        with ops.override('cpu'):
            found = with_gradients(attend_causally, *operands)
    for ours, true in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, true, rtol=1e-9, atol=1e-11)


def test_causal_attention_is_as_exact_in_bfloat16_as_stock():
    operands = [jnp.asarray(drawn(2, 130 + i, 2, 16)[:, :130], jnp.bfloat16) for i in range(3)]

    def errors(formulation):
        with ops.override(formulation):
            found = with_gradients(attend_causally, *operands)
        with ops.override('stock'):
            exact = with_gradients(attend_causally, *(a.astype(jnp.float32) for a in operands))
        assert all(a.dtype == jnp.bfloat16 for a in found)
        return [float(jnp.mean((a - b) ** 2)) for a, b in zip(found, exact, strict=True)]

    assert all(ours <= 1.1 * stock for ours, stock in zip(errors('cpu'), errors('stock'), strict=True))


def test_causal_attention_is_counted_whole_and_an_accelerator_gets_it_whole():
    x = jax.ShapeDtypeStruct((2, 256, 4, 16), jnp.float32)
    step = jax.value_and_grad(lambda *args: attend_causally(*args).sum(), (0, 1, 2))
    # The products of queries and keys and of weights and values, and two gradients of each.
    assert count(step, x, x, x).dense_macs == 6 * 2 * 4 * 256 * 256 * 16
    traced = jax.jit(step).trace(x, x, x)
    for platform, products in (('tpu', 6), ('cuda', 6)):
        assert traced.lower(lowering_platforms=(platform,)).as_text().count('stablehlo.dot_general') == products
    # Of 256 rows in 4 blocks 10 / 16 are seen, and the scores are multiplied again for the gradient.
    with ops.override('cpu'):
        assert count(step, x, x, x).dense_macs == 7 * 2 * 4 * 256 * 256 * 16 * 10 / 16
