"""The networks are torchvision's and timm's: the same function, gradients and statistics for the same weights.

    pip install -c constraints.txt -e ".[test,crosscheck]" && python -m pytest -m crosscheck

compares them side by side; without torch, logits are compared with those that torch gave (`make_golden.py`).
"""

import pathlib

import jax
import numpy as np
import pytest

from efficiency.errors import UserError
from efficiency.models import create_model, list_models, model_entry
from efficiency.models.initializers import variable_shapes
from efficiency.models.torch_weights import from_torch, load_torch_weights
from efficiency.training.programs import forward_count
from tests.models.crosscheck import dense_macs, differences, reference_of, seeded_images, seeded_state

GOLDEN = pathlib.Path(__file__).parent / 'golden_logits.npz'
GOLDEN_SIZE = 96
QUICK = ('alexnet', 'googlenet', 'resnet18', 'squeezenet1_1', 'mobilenet_v1', 'mobilenet_v2', 'shufflenet_v2_x1_0')


def shapes_of(name, image_size):
    model = create_model(name, 1000, image_size)
    return model, variable_shapes(model, image_size)


def golden_names():
    with np.load(GOLDEN, allow_pickle=False) as golden:
        return sorted(golden)


@pytest.mark.parametrize(
    'name', [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in golden_names()]
)
def test_logits_are_those_that_torch_gave(name):
    model, shapes = shapes_of(name, GOLDEN_SIZE)
    variables = from_torch(name, shapes, seeded_state(name, shapes))
    logits = np.asarray(jax.jit(lambda v, x: model.apply(v, x, False))(variables, seeded_images(GOLDEN_SIZE)))
    with np.load(GOLDEN, allow_pickle=False) as golden:
        theirs = golden[name]
    assert np.abs(logits[:, : theirs.shape[1]] - theirs).max() < 1e-4 * np.abs(theirs).max()


def test_weights_from_a_safetensors_file(tmp_path):
    from safetensors.numpy import save_file

    _, shapes = shapes_of('squeezenet1_1', 224)
    state = seeded_state('squeezenet1_1', shapes)
    save_file(state, tmp_path / 'weights.safetensors')
    variables = load_torch_weights('squeezenet1_1', tmp_path / 'weights.safetensors')
    kernel = variables['params']['features.0']['kernel']
    np.testing.assert_array_equal(kernel, state['features.0.weight'].transpose(2, 3, 1, 0))
    with pytest.raises(UserError, match='are they of another network'):
        load_torch_weights('resnet18', tmp_path / 'weights.safetensors')
    (tmp_path / 'pickle.pth').write_bytes(b'\x80\x04\x95 a pickle')
    with pytest.raises(UserError, match='no safetensors file'):
        load_torch_weights('resnet18', tmp_path / 'pickle.pth')


REFERENCED = [name for name in list_models() if not name.startswith(('inception', 'lenet', 'resnet50_fixup'))]


def reference_or_skip(name):
    pytest.importorskip('torchvision', reason='needs the extra crosscheck')
    reference = reference_of(name)
    if reference is None:
        pytest.skip('neither torchvision nor timm has it')
    return reference


@pytest.mark.crosscheck
@pytest.mark.slow
@pytest.mark.parametrize('size', [96, 131])
@pytest.mark.parametrize('name', REFERENCED)
def test_the_same_function_as_torchs(name, size):
    found = differences(name, reference_or_skip(name), size)
    assert found['params'] == 0
    assert found['logits'] < 1e-4
    assert max(found[key] for key in ('loss', 'batch_stats', 'gradients')) < 1e-3, found


@pytest.mark.crosscheck
@pytest.mark.slow
@pytest.mark.parametrize('size', [None, 97])
@pytest.mark.parametrize('name', REFERENCED)
def test_the_same_macs_as_torchs(name, size):
    reference = reference_or_skip(name)
    size = size or model_entry(name).image_size
    model, shapes = shapes_of(name, size)
    assert forward_count(model, shapes, size).dense_macs == dense_macs(reference, size)
