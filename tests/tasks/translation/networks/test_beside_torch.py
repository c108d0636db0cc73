"""The networks beside torch's with the same weights: logits, gradients, and multiply-adds."""

from functools import partial

import jax
import numpy as np
import pytest

from efficiency.flops import count
from efficiency.tasks.translation.networks import conv_s2s
from tests.tasks.translation.networks.tiny import SIZES, filled, once, sentences, shapes_of, tiny

pytestmark = pytest.mark.crosscheck

# The ensemble's members are each a Seq2Seq, and it is held against those.
IN_TORCH = [name for name in SIZES if name != 'seq2seq_ensemble']
SOURCE, TARGET = sentences([4, 1, 6, 3]), sentences([5, 5, 5, 5], seed=2)


@pytest.fixture
def references():
    """Of a network torch's, from (parameters, source, target) to logits."""
    torch = pytest.importorskip('torch', reason='needs the extra crosscheck')
    from torch.func import functional_call

    from benchmarks import torch_translation

    def reference(model):
        module = torch_translation.create(model).double()
        names = dict(module.named_parameters()).keys()

        def logits(params, *pair):
            weights = module.weights(params)
            assert weights.keys() == names
            return functional_call(module, weights, tuple(torch.as_tensor(tokens).long() for tokens in pair))

        return logits

    return reference


def as_torch(tree, **more):
    import torch

    return jax.tree.map(lambda leaf: torch.tensor(leaf, **more), tree)


@pytest.mark.parametrize('name', IN_TORCH)
def test_logits_and_gradients_are_torchs(name, references):
    import torch

    model, weights = tiny(name), np.random.RandomState(3).standard_normal((*TARGET.shape, 11))
    params = filled(shapes_of(model, 6, 5)[0])['params']
    theirs = as_torch(params, requires_grad=True)
    their_logits = references(model)(theirs, SOURCE, TARGET)
    (their_logits.log_softmax(-1) * torch.tensor(weights)).sum().backward()

    def loss(params):
        logits = model.apply({'params': params}, SOURCE, TARGET, True)
        return (jax.nn.log_softmax(logits) * weights).sum(), logits

    with jax.enable_x64(True):
        found = once(jax.value_and_grad(loss, has_aux=True))(params)
    (_, logits), gradients = jax.tree.map(np.asarray, found)
    np.testing.assert_allclose(logits, their_logits.detach(), rtol=1e-9, atol=1e-12)
    expected = jax.tree.map(lambda leaf: leaf.grad.numpy(), theirs)
    assert jax.tree.structure(gradients) == jax.tree.structure(expected)

    def check(found, expected):
        assert np.abs(found - expected).max() < 1e-6 * np.abs(expected).max()

    jax.tree.map(check, gradients, expected)


def macs_of(model, reference, s, t):
    """Ours and torch's of a pair without padding."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    variables, source, target = shapes_of(model, s, t)
    with jax.enable_x64(True):
        ours = count(lambda *args: model.apply(*args, False), variables, source, target).dense_macs
    params = as_torch(filled(variables)['params'])
    pair = (torch.ones(1, length, dtype=torch.long) for length in (s, t))
    # As products, since torch's counter does not know what the CPU's fused attention takes.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        reference(params, *pair)
    return ours, counter.get_total_flops() // 2


@pytest.mark.parametrize('name', IN_TORCH)
def test_macs_are_torchs(name, references):
    model = tiny(name)
    for s, t in ((7, 4), (3, 6)):
        ours, theirs = macs_of(model, references(model), s, t)
        # Nothing to explain: torch too counts matrix products and convolutions, with the padding around a sentence,
        # and neither looking up nor what is done element by element.
        assert ours == theirs


def test_the_encoders_gradient_is_a_share_for_each_attention_of_the_decoder():
    model = tiny('conv_s2s')
    params = filled(shapes_of(model, 6, 5)[0])['params']

    def loss(params):
        return model.apply({'params': params}, SOURCE, TARGET, True)[..., 3].sum()

    def gradients(scale):
        with pytest.MonkeyPatch.context() as patch, jax.enable_x64(True):
            if scale is not None:
                patch.setattr(
                    conv_s2s, '_with_gradient_of', lambda x, _: scale * x + jax.lax.stop_gradient(x - scale * x)
                )
            # A function of its own each time, so that no trace is used again.
            return jax.tree.map(np.asarray, once(jax.grad(partial(loss)))(params))

    # Two layers, each of which uses the encoder's output as keys and as values.
    ours, whole = gradients(None), gradients(1.0)
    for layer in ('encoder_out', 'encoder_0', 'encoder_1'):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(4 * a, b, rtol=1e-9), ours[layer], whole[layer])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9), ours['decoder_0'], whole['decoder_0'])
