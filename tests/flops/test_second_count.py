"""The count of whole networks' train steps against two others that share no code with it: by text, and by execution."""

import functools

import jax
import numpy as np
import pytest

from efficiency.costs import counted_network
from efficiency.layers import ops
from efficiency.tasks.images.networks import list_models
from tests.flops import stablehlo_text

# The smallest of each family.
FAMILIES = (
    'alexnet', 'densenet121', 'efficientnet_b0', 'googlenet', 'inception_bn', 'lenet5', 'mobilenet_v1_x0_25',
    'mobilenet_v2_x0_35', 'resnet18', 'resnet50_fixup', 'resnext50_32x4d', 'shufflenet_v1_x0_25', 'shufflenet_v2_x0_5',
    'squeezenet1_1', 'vgg11',
)  # fmt: skip


# Each runs once, and compiling takes longest.
_jit = functools.partial(jax.jit, compiler_options={'xla_backend_optimization_level': 0})


def all_but(names):
    return [name if name in names else pytest.param(name, marks=pytest.mark.slow) for name in list_models()]


@functools.cache
def counted_of(name):
    """At 64 pixels, two examples: enough for every operation to be there, and few enough to run them all."""
    return counted_network(name, 2, image_size=64, num_classes=10)


def lowered_text(function, *shapes):
    with ops.override('stock'):
        # Another function than was counted, as jax remembers what it traced of that.
        return jax.jit(functools.partial(function)).lower(*shapes).as_text()


@pytest.mark.parametrize('name', all_but(('alexnet', 'efficientnet_b0', 'googlenet', 'shufflenet_v1_x0_25')))
def test_the_text_of_the_lowered_train_step_says_the_same(name):
    counted = counted_of(name)
    assert stablehlo_text.real_macs(lowered_text(counted.step, counted.state, counted.batch)) == counted.train.real_macs


@pytest.mark.slow
@pytest.mark.parametrize('name', list_models())
def test_the_text_of_the_lowered_train_step_at_its_own_size_says_the_same(name):
    counted = counted_network(name)
    assert stablehlo_text.real_macs(lowered_text(counted.step, counted.state, counted.batch)) == counted.train.real_macs


@pytest.mark.parametrize('name', all_but(FAMILIES))
def test_ones_through_every_operation_of_a_train_step_add_up_to_its_count(name):
    counted = counted_of(name)
    found = stablehlo_text.operations(lowered_text(counted.step, counted.state, counted.batch))
    assert len(found) >= 8
    runs, *ones = zip(*map(stablehlo_text.on_ones, found), strict=True)

    @_jit
    def run(*operands):
        return [run(*each) for run, *each in zip(runs, *operands, strict=True)]

    total = 0
    for (line, times), out in zip(found.items(), run(*ones), strict=True):
        # Each result is a sum of ones, far below what a float32 holds exactly.
        macs = int(np.asarray(out).sum(dtype=np.float64))
        assert macs == stablehlo_text.real_macs_of(line), line
        total += times * macs
    assert total == counted.train.real_macs
