"""What a TPU is given to do in a train step, found without one: libtpu compiles ahead of time.

pip install -c constraints.txt -e ".[test,tpu-aot]" && python -m pytest -m tpu_aot
"""

import dataclasses
import functools
import re
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import jax
import numpy as np
import pytest
from jax.experimental import topologies

from benchmarks.image_steps import make_step
from efficiency.flops import count_jaxpr
from efficiency.flops.ahead import leave_tpus_alone
from efficiency.layers import ops

# Depthwise and grouped convolutions, whose gradients compilers are apt to turn into dense ones.
NETWORKS = ('shufflenet_v2_x1_0', 'efficientnet_b0')
IMAGE_SIZE, BATCH_SIZE = 224, 32


@dataclasses.dataclass(frozen=True)
class Step:
    """A train step for one chip; `convolutions` are those of its StableHLO, by what it was lowered for."""

    compiled_flops: float
    real_macs: int
    convolutions: dict[str, Counter[str]]


def compile_step(name: str) -> Step:
    """By libtpu, from shapes alone."""
    chip = topologies.get_topology_desc('v5e:1x1', 'tpu', chips_per_host_bounds=(1, 1, 1)).devices[0]
    train_step, state = make_step(name, 1000, IMAGE_SIZE, (0.5,) * 3, (0.25,) * 3)
    batch = {
        'image': np.empty((BATCH_SIZE, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8),
        'label': np.empty(BATCH_SIZE, np.int32),
    }
    there = jax.sharding.SingleDeviceSharding(chip)
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=there),
        (state, batch),
    )

    def trace(train_step):
        return jax.jit(train_step, donate_argnums=0).trace(*shapes)

    with ops.override('stock'):
        # Another function object, since jax remembers what it has traced.
        stock = trace(functools.partial(train_step)).lower()
    traced = trace(train_step)
    lowered = traced.lower()
    on_cpu = traced.lower(lowering_platforms=('cpu',))
    return Step(
        compiled_flops=lowered.compile().cost_analysis()['flops'],
        real_macs=count_jaxpr(traced.jaxpr).real_macs,
        convolutions={'stock': convolutions(stock), 'tpu': convolutions(lowered), 'cpu': convolutions(on_cpu)},
    )


def convolutions(lowered: jax.stages.Lowered) -> Counter[str]:
    """All that is written of each, but for its operands' names."""
    found = re.findall(r'stablehlo\.convolution.*', lowered.as_text())
    return Counter(re.sub(r'%[\w#]+', '%', line) for line in found)


@pytest.fixture(scope='module', params=NETWORKS)
def step(request):
    """In a process of its own, as in this one jax may have started before."""
    pytest.importorskip('libtpu', reason='needs the extra tpu-aot')
    with ProcessPoolExecutor(1, get_context('spawn'), leave_tpus_alone) as pool:
        return pool.submit(compile_step, request.param).result()


@pytest.mark.tpu_aot
@pytest.mark.slow
def test_a_tpu_is_given_the_stock_formulation(step):
    assert step.convolutions['tpu'] == step.convolutions['stock']
    assert step.convolutions['cpu'].total() < step.convolutions['stock'].total() / 2


@pytest.mark.tpu_aot
@pytest.mark.slow
def test_a_tpu_computes_little_that_is_not_counted(step, record_property):
    ratio = step.compiled_flops / (2 * step.real_macs)
    record_property('compiled_over_real', ratio)
    # Above 1 by what is not a multiplication of the network: normalisation, activations, the optimizer.
    assert 1 <= ratio <= 1.3
