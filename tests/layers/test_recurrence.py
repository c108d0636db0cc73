"""LSTMs are torch's, padding left out, and multiply inside of their loop no more than they must."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from efficiency.flops import count
from efficiency.layers.initializers import drawn
from efficiency.layers.recurrence import LSTM, Bidirectional, zero_state

LENGTHS = np.array([4, 1, 6, 3])
IN, WIDTH = 3, 5


class Stack(nn.Module):
    """Layers of LSTMs, each in both directions or in one; outputs and the states after them."""

    layers: int
    both_ways: bool
    dtype: type = np.float64

    @nn.compact
    def __call__(self, x, mask, train=False):
        states = []
        for _ in range(self.layers):
            if self.both_ways:
                state, x = Bidirectional(
                    lambda *args, **more: LSTM(*args, dtype=self.dtype, **more), WIDTH, self.dtype
                )(x, mask)
            else:
                state, x = LSTM(WIDTH, dtype=self.dtype)(x, zero_state(x.shape[1], WIDTH, self.dtype), mask)
            states.append(state)
        return x, states


def inputs():
    x = np.random.RandomState(0).standard_normal((LENGTHS.max(), len(LENGTHS), IN))
    return x, np.arange(LENGTHS.max())[:, None] < LENGTHS


@pytest.mark.crosscheck
@pytest.mark.parametrize(('layers', 'both_ways'), [(2, True), (3, False)])
def test_a_stack_is_torchs_on_packed_sequences(layers, both_ways):
    torch = pytest.importorskip('torch', reason='needs the extra crosscheck')
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    theirs = torch.nn.LSTM(IN, WIDTH, layers, bidirectional=both_ways).double()
    model, (x, mask) = Stack(layers, both_ways), inputs()
    params = {}
    for layer in range(layers):
        ways = {
            name: {
                'kernel': getattr(theirs, f'weight_ih_l{layer}{suffix}').detach().numpy().T,
                'recurrent_kernel': getattr(theirs, f'weight_hh_l{layer}{suffix}').detach().numpy().T,
                'bias': sum(getattr(theirs, f'bias_{of}_l{layer}{suffix}') for of in ('ih', 'hh')).detach().numpy(),
            }
            for name, suffix in (('forward', ''), ('backward', '_reverse'))[: 1 + both_ways]
        }
        params |= {f'Bidirectional_{layer}': ways} if both_ways else {f'LSTM_{layer}': ways['forward']}
    # A bias less for each layer and direction, as theirs are added up.
    ours = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert sum(p.numel() for p in theirs.parameters()) - ours == layers * (1 + both_ways) * 4 * WIDTH

    weights = np.random.RandomState(1).standard_normal((*mask.shape, WIDTH * (1 + both_ways))) * mask[..., None]

    def loss(params, x):
        y, states = model.apply({'params': params}, x, mask)
        return (y * weights).sum() + sum((leaf**2).sum() for leaf in jax.tree.leaves(states)), (y, states)

    with jax.enable_x64(True):
        (_, (y, states)), (found, dx) = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(params, x)

    their_x = torch.tensor(x, requires_grad=True)
    packed, (hidden, remembered) = theirs(pack_padded_sequence(their_x, LENGTHS, enforce_sorted=False))
    their_y = pad_packed_sequence(packed)[0]
    ((their_y * torch.tensor(weights)).sum() + (hidden**2).sum() + (remembered**2).sum()).backward()
    np.testing.assert_allclose(np.asarray(y) * mask[..., None], their_y.detach(), rtol=1e-9, atol=1e-12)
    # Theirs are (layers x directions, n, width).
    for kind, theirs_of_kind in ((0, hidden), (1, remembered)):
        ours_of_kind = np.stack([part for state in states for part in np.split(state[kind], 1 + both_ways, axis=-1)])
        np.testing.assert_allclose(ours_of_kind, theirs_of_kind.detach(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(dx, their_x.grad, rtol=1e-6, atol=1e-12)
    for layer in range(layers):
        for name, suffix in (('forward', ''), ('backward', '_reverse'))[: 1 + both_ways]:
            gradients = found[f'Bidirectional_{layer}'][name] if both_ways else found[f'LSTM_{layer}']
            for ours, of in (('kernel', 'weight_ih'), ('recurrent_kernel', 'weight_hh'), ('bias', 'bias_hh')):
                expected = getattr(theirs, f'{of}_l{layer}{suffix}').grad.numpy().T
                np.testing.assert_allclose(gradients[ours], expected, rtol=1e-6, atol=1e-12)


def test_from_the_right_is_a_sentence_turned_around():
    (x, mask), start = inputs(), zero_state(len(LENGTHS), WIDTH, jnp.float32)
    lstm = LSTM(WIDTH)
    variables = lstm.init(jax.random.key(0), x, start, mask)
    state, _ = LSTM(WIDTH, reverse=True).apply(variables, x, start, mask)
    turned = np.zeros_like(x)
    for row, length in enumerate(LENGTHS):
        turned[:length, row] = x[:length, row][::-1]
    expected, _ = lstm.apply(variables, turned, start, mask)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), state, expected)


def test_only_the_product_with_its_own_output_is_in_the_loop():
    x, mask = inputs()
    lstm, start = LSTM(WIDTH), zero_state(len(LENGTHS), WIDTH, jnp.float32)
    variables = jax.eval_shape(lstm.init, jax.random.key(0), x, start, mask)
    counted = count(lstm.apply, variables, x, start, mask)
    assert [(op.times, op.dense_macs) for op in counted.operations] == [
        (1, mask.size * IN * 4 * WIDTH),
        (len(x), len(LENGTHS) * WIDTH * 4 * WIDTH),
    ]


def test_initial_values():
    class One(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            return LSTM(64)(x, zero_state(x.shape[1], 64, jnp.float32))

    params = drawn(One(), jax.random.key(3), jax.ShapeDtypeStruct((1, 1, 100), jnp.float32))[0]['params']['LSTM_0']
    assert params['kernel'].std() == pytest.approx(0.1, rel=0.03)
    np.testing.assert_array_equal(params['bias'], np.repeat([0, 1, 0, 0], 64))
    gates = np.split(params['recurrent_kernel'], 4, axis=1)
    for gate in gates:
        np.testing.assert_allclose(gate.T @ gate, np.eye(64), atol=1e-5)
    assert not np.allclose(gates[0], gates[1])
