"""The loss of a batch, held against its definition written out token by token in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from efficiency.data.tokens import BEGIN, END, PADDING
from efficiency.tasks.translation.loss import smoothed_loss

VOCAB = 9
TARGET = np.array(
    [[BEGIN, 5, 7, END, PADDING], [BEGIN, END, PADDING, PADDING, PADDING], [BEGIN, 8, 3, 4, END]], np.int32
)
SOURCE = np.array([[4, 5, END], [6, END, PADDING], [END, PADDING, PADDING]], np.int32)


class Fixed:
    """A network of which only what it is asked and what it answers count."""

    def __init__(self):
        self.logits = np.random.RandomState(0).standard_normal((3, 4, VOCAB)).astype(np.float32) * 3
        self.asked = []

    def apply(self, variables, source, target, train, rngs):
        self.asked.append((variables, np.asarray(source), np.asarray(target), train, list(rngs)))
        return variables['params']['scale'] * self.logits


def loss_of(network, smoothing, target=TARGET, scale=1.0):
    batch = {'source': jnp.asarray(SOURCE), 'target': jnp.asarray(target)}
    params = {'scale': jnp.float32(scale)}
    return smoothed_loss(network, smoothing, params, {'seen': {}}, batch, jax.random.key(0))


@pytest.mark.parametrize('smoothing', [0.0, 0.1, 0.9])
def test_it_is_the_cross_entropy_with_smoothed_labels_over_the_tokens_that_are_no_padding(smoothing):
    network, total, count = Fixed(), 0.0, 0
    for row, logits in zip(TARGET[:, 1:], network.logits.astype(np.float64), strict=True):
        for wanted, at in zip(row, logits, strict=True):
            if wanted != PADDING:
                logs = at - np.log(np.exp(at).sum())
                label = np.full(VOCAB, smoothing / VOCAB)
                label[wanted] += 1 - smoothing
                total, count = total - label @ logs, count + 1
    loss, extra = loss_of(network, smoothing)
    assert (loss.shape, loss.dtype, extra, count) == ((), np.float32, {'seen': {}}, 8)
    np.testing.assert_allclose(loss, total / count, rtol=1e-6)


def test_the_network_is_asked_in_training_for_what_follows_each_token_but_the_last():
    network = Fixed()
    loss_of(network, 0.1)
    ((variables, source, target, train, streams),) = network.asked
    assert (set(variables), train, streams) == ({'params', 'seen'}, True, ['dropout'])
    np.testing.assert_array_equal(source, SOURCE)
    np.testing.assert_array_equal(target, TARGET[:, :-1])


def test_padding_has_no_part_in_it_nor_in_its_gradient():
    network = Fixed()
    gradient = jax.grad(lambda scale: loss_of(network, 0.1, scale=scale)[0])
    before = loss_of(network, 0.1)[0], gradient(1.0)
    network.logits[np.asarray(TARGET[:, 1:] == PADDING)] = 50 * np.arange(VOCAB)
    assert (loss_of(network, 0.1)[0], gradient(1.0)) == before
