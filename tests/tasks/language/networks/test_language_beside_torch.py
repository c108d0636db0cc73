"""The networks that are timed beside torch's give its logits and gradients with the same weights, and its updates."""

import jax
import numpy as np
import pytest

from tests.tasks.language.networks.small import filled, inputs_of, shapes_of, small

pytestmark = pytest.mark.crosscheck
torch = pytest.importorskip('torch', reason='needs the extra crosscheck')


@pytest.mark.parametrize('name', ['lstm', 'transformer_lm', 'transformer_gpt'])
def test_logits_and_gradients_are_torchs(name):
    from benchmarks import torch_language

    model, (tokens,) = small(name), inputs_of(name)
    params = filled(shapes_of(model, tokens))['params']
    draw = np.random.RandomState(3).standard_normal((*tokens.shape, model.vocabulary))
    module = torch_language.create(model).double()
    theirs = jax.tree.map(lambda leaf: torch.tensor(leaf, requires_grad=True), params)
    weights = module.weights(theirs)
    assert weights.keys() == dict(module.named_parameters()).keys()
    their_logits = torch.func.functional_call(module, weights, torch.as_tensor(tokens).long())
    (their_logits * torch.tensor(draw)).sum().backward()

    def loss(params):
        logits = model.apply({'params': params}, tokens, train=True)
        return (logits * draw).sum(), logits

    with jax.enable_x64(True):
        (_, logits), gradients = jax.value_and_grad(loss, has_aux=True)(params)
    np.testing.assert_allclose(logits, their_logits.detach(), rtol=1e-9, atol=1e-9)
    expected = jax.tree.map(lambda leaf: leaf.grad.numpy(), theirs)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6 * abs(b).max()), gradients, expected
    )


def test_parts_that_torch_has_not_here_are_refused():
    from benchmarks import torch_language

    with pytest.raises(ValueError, match='no Transformer of these parts'):
        torch_language.create(small('squared_relu'))


def test_muon_moves_a_matrix_as_torchs_own_does():
    from benchmarks import torch_language

    draw = np.random.RandomState(0)
    for shape in ((6, 4), (4, 6)):
        start, gradients = draw.standard_normal(shape), draw.standard_normal((3, *shape))
        ends = []
        for make in (torch_language.Muon, torch.optim.Muon):
            matrix = torch.nn.Parameter(torch.tensor(start, dtype=torch.float32))
            optimizer = make([matrix], lr=0.1, weight_decay=0.2)
            for gradient in gradients:
                matrix.grad = torch.tensor(gradient, dtype=torch.float32)
                optimizer.step()
            ends.append(matrix.detach().numpy())
        # Theirs is of 8 bits.
        np.testing.assert_allclose(*ends, atol=0.02)
        assert abs(ends[0] - start).max() > 0.1
