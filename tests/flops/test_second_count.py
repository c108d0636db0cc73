"""The count of train steps against two others: of their text, sharing no code, and by running each listed operation."""

import functools

import jax
import numpy as np
import pytest

from efficiency.costs import network_program
from efficiency.flops import check
from efficiency.models import list_models, ops
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
def program_of(name):
    """At 64 pixels, two examples: enough for every operation to be there, and few enough to run them all."""
    return network_program(name, 64, 10, batch_size=2)


def lowered_text(function, *shapes):
    with ops.override('stock'):
        # Another function than was counted, as jax remembers what it traced of that.
        return jax.jit(functools.partial(function)).lower(*shapes).as_text()


@pytest.mark.parametrize('name', all_but(('alexnet', 'efficientnet_b0', 'googlenet', 'shufflenet_v1_x0_25')))
def test_the_text_of_the_lowered_train_step_says_the_same(name):
    program = program_of(name)
    assert stablehlo_text.real_macs(lowered_text(program.step, program.state, program.batch)) == program.train.real_macs


@pytest.mark.slow
@pytest.mark.parametrize('name', list_models())
def test_the_text_of_the_lowered_train_step_at_its_own_size_says_the_same(name):
    program = network_program(name)
    assert stablehlo_text.real_macs(lowered_text(program.step, program.state, program.batch)) == program.train.real_macs


@pytest.mark.parametrize('name', all_but(FAMILIES))
def test_ones_through_every_operation_of_a_train_step_add_up_to_its_count(name):
    distinct = list({check.key(op): op for op in program_of(name).train.operations}.values())
    assert len(distinct) >= 8
    operands = [[np.ones(value.aval.shape, np.float32) for value in op.eqn.invars] for op in distinct]

    @_jit
    def run(operands):
        return [op.eqn.primitive.bind(*ones, **op.eqn.params) for op, ones in zip(distinct, operands, strict=True)]

    for op, out in zip(distinct, run(operands), strict=True):
        # Each result is a sum of ones, far below what a float32 holds exactly.
        assert int(np.asarray(out).sum(dtype=np.float64)) == op.real_macs, (op.layer, op.kind)
