"""The networks are torchvision's and timm's: the same function, gradients and statistics for the same weights.

    pip install -c constraints.txt -e ".[test,crosscheck]" && python -m pytest -m crosscheck

compares them side by side; without torch, logits are compared with those that torch gave (`make_golden.py`).
"""

import math
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from efficiency.count import count_network
from efficiency.errors import UserError
from efficiency.tasks.images.networks import create_model, list_models, model_entry
from efficiency.tasks.images.networks.torch_weights import from_torch, load_torch_weights, torch_name
from efficiency.tasks.images.networks.variables import variable_shapes
from tests.tasks.images.networks.crosscheck import (
    chances,
    dense_macs,
    differences,
    seeded_images,
    seeded_state,
    unlike_initial_values,
)
from tests.tasks.images.networks.forward import forward_count

GOLDEN = pathlib.Path(__file__).parent / 'golden_logits.npz'
GOLDEN_SIZE = 96
QUICK = (
    'alexnet', 'densenet121', 'efficientnet_b0', 'googlenet', 'mobilenet_v1', 'mobilenet_v2', 'resnet18',
    'shufflenet_v2_x1_0', 'squeezenet1_1',
)  # fmt: skip


def shapes_of(name, image_size, dtype=np.float32, **more):
    model = create_model(name, 1000, image_size, dtype, **more)
    return model, variable_shapes(model, image_size)


def golden_names():
    with np.load(GOLDEN, allow_pickle=False) as golden:
        return sorted(golden)


@pytest.mark.parametrize(
    'name', [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in golden_names()]
)
def test_logits_are_those_that_torch_gave(name):
    # In float64: weights drawn like this make some deep networks blow rounding up.
    with jax.enable_x64(True):
        model, shapes = shapes_of(name, GOLDEN_SIZE, np.float64)
        state = {key: value.astype(np.float64) for key, value in seeded_state(name, shapes).items()}
        variables = from_torch(name, shapes, state)
        logits = np.asarray(jax.jit(lambda v, x: model.apply(v, x, False))(variables, seeded_images(GOLDEN_SIZE)))
    with np.load(GOLDEN, allow_pickle=False) as golden:
        theirs = golden[name]
    assert np.abs(logits[:, : theirs.shape[1]] - theirs).max() < 1e-4 * np.abs(theirs).max()


def test_weights_from_a_safetensors_file(tmp_path):
    _, shapes = shapes_of('squeezenet1_1', 224)
    state = seeded_state('squeezenet1_1', shapes)
    save_file(state, tmp_path / 'weights.safetensors')
    variables = load_torch_weights('squeezenet1_1', tmp_path / 'weights.safetensors')
    kernel = variables['params']['features.0']['kernel']
    np.testing.assert_array_equal(kernel, state['features.0.weight'].transpose(2, 3, 1, 0))
    # torchvision's file of GoogLeNet holds auxiliary heads, and serves the network without them too.
    _, shapes = shapes_of('googlenet', 224, options={'auxiliary_heads': True})
    save_file(seeded_state('googlenet', shapes), tmp_path / 'googlenet.safetensors')
    assert 'aux1' not in load_torch_weights('googlenet', tmp_path / 'googlenet.safetensors')['params']
    with_heads = load_torch_weights('googlenet', tmp_path / 'googlenet.safetensors', options={'auxiliary_heads': True})
    assert with_heads['params'].keys() == shapes['params'].keys()
    with pytest.raises(UserError, match='are they of another network'):
        load_torch_weights('resnet18', tmp_path / 'weights.safetensors')
    (tmp_path / 'pickle.pth').write_bytes(b'\x80\x04\x95 a pickle')
    with pytest.raises(UserError, match='no safetensors file'):
        load_torch_weights('resnet18', tmp_path / 'pickle.pth')


def test_published_densenets_have_names_of_their_own(tmp_path):
    _, shapes = shapes_of('densenet121', 224)
    state = seeded_state('densenet121', shapes)
    legacy = {re.sub(r'(denselayer\d+\.)(norm|conv)([12])', r'\1\2.\3', key): value for key, value in state.items()}
    assert legacy.keys() != state.keys()
    save_file(legacy, tmp_path / 'published.safetensors')
    loaded = load_torch_weights('densenet121', tmp_path / 'published.safetensors')
    assert jax.tree.all(jax.tree.map(np.array_equal, loaded, from_torch('densenet121', shapes, state)))


@pytest.mark.parametrize(
    ('name', 'layer', 'size', 'channels'), [('lenet5', 'fc1', 28, 16), ('alexnet', 'fc1', 32, 256)]
)
def test_a_linear_layer_sees_the_map_of_its_image_size(name, layer, size, channels, tmp_path):
    shapes = variable_shapes(create_model(name, 10, size), size)
    state = seeded_state(name, shapes)
    save_file(state, tmp_path / 'small.safetensors')
    kernel = load_torch_weights(name, tmp_path / 'small.safetensors', 10, size)['params'][layer]['kernel']
    theirs = state[torch_name(('params', layer, 'kernel'), model_entry(name).torch_names)]
    # What a map (side, side, channels) gives here, its transpose gives there.
    side = math.isqrt(theirs.shape[1] // channels)
    image = np.random.RandomState(0).standard_normal((side, side, channels)).astype(np.float32)
    np.testing.assert_allclose(image.ravel() @ kernel, theirs @ image.transpose(2, 0, 1).ravel(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ('dtype', 'says'),
    [('float16', None), ('bfloat16', None), ('float64', None), ('int8', 'type int8'), ('float8_e4m3fn', 'float32')],
)
def test_weights_of_any_floating_type_become_float32(dtype, says, tmp_path):
    shapes = variable_shapes(create_model('shufflenet_v2_x0_5', 10, 28), 28)
    dtype = np.dtype(getattr(jnp, dtype))
    state = {key: value.astype(dtype) for key, value in seeded_state('shufflenet_v2_x0_5', shapes).items()}
    save_file(state, tmp_path / 'weights.safetensors')
    arguments = ('shufflenet_v2_x0_5', tmp_path / 'weights.safetensors', 10, 28)
    if says:
        with pytest.raises(UserError, match=says):
            load_torch_weights(*arguments)
    else:
        assert {leaf.dtype for leaf in jax.tree.leaves(load_torch_weights(*arguments))} == {np.dtype(np.float32)}


# Neither torchvision nor timm has the others.
REFERENCED = [
    name
    for name in list_models()
    if not name.startswith(('airbench', 'inception', 'lenet', 'resnet50_fixup', 'shufflenet_v1', 'whitened'))
]


@pytest.fixture
def torch_networks():
    pytest.importorskip('torchvision', reason='needs the extra crosscheck')
    from benchmarks import torch_networks

    return torch_networks


@pytest.mark.crosscheck
@pytest.mark.slow
@pytest.mark.parametrize('size', [96, 131])
@pytest.mark.parametrize('name', REFERENCED)
def test_the_same_function_as_torchs(name, size, torch_networks, record_property):
    found = differences(name, torch_networks.published(name), size)
    assert_the_same(found, record_property)


@pytest.mark.crosscheck
@pytest.mark.slow
@pytest.mark.parametrize('size', [96, 131])
def test_googlenets_options_are_torchs(size, torch_networks, record_property):
    reference = torch_networks.published('googlenet', auxiliary_heads=True)
    reference.transform_input = True
    options = {'auxiliary_heads': True, 'transform_input': True}
    assert_the_same(differences('googlenet', reference, size, options), record_property)


def assert_the_same(found, record_property):
    """Within the limits; what was found is kept in `--junitxml`."""
    for key, value in found.items():
        record_property(key, value)
    assert found['params'] == 0
    assert found['logits'] < 1e-4
    assert max(found[key] for key in ('loss', 'batch_stats', 'gradients')) < 1e-3, found


@pytest.mark.crosscheck
@pytest.mark.slow
@pytest.mark.parametrize('size', [None, 97])
@pytest.mark.parametrize('name', REFERENCED)
def test_the_same_macs_as_torchs(name, size, torch_networks):
    reference = torch_networks.published(name)
    size = size or model_entry(name).image_size
    model, shapes = shapes_of(name, size)
    assert forward_count(model, shapes, size).dense_macs == dense_macs(reference, size)


@pytest.mark.crosscheck
@pytest.mark.slow
@pytest.mark.parametrize('name', REFERENCED)
def test_the_same_initial_values_and_chances_as_torchs(name, torch_networks):
    reference = torch_networks.published(name)
    ours, theirs = chances(name, reference)
    np.testing.assert_allclose(ours, theirs)
    assert not unlike_initial_values(name, reference)


@pytest.mark.crosscheck
@pytest.mark.slow
def test_torchs_networks_in_our_small_image_form_cost_the_same(torch_networks):
    for name in torch_networks.SMALL_FORMS:
        reference = torch_networks.create(name, 10, 32)
        row = count_network(name, image_size=32, num_classes=10)
        params = sum(value.numel() for value in reference.parameters())
        assert (row['params'], row['forward_dense_macs']) == (params, dense_macs(reference, 32)), name
