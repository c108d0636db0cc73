"""float32 is multiplied in all of its bits by every program that a command compiles or counts, whatever jax is told;
bfloat16 is multiplied in bfloat16, kept in float32, and learns as float32 does.
"""

import contextlib
import re

import jax
import numpy as np
import pytest

import efficiency
from configs import lenet5
from efficiency import costs
from efficiency.tasks.images import task as images
from efficiency.tasks.images.networks import create_model
from efficiency.tasks.images.networks.variables import initialise
from efficiency.training import peak
from efficiency.training.evaluation import evaluate
from efficiency.training.loop import train
from efficiency.training.recipe import opened

pytestmark = pytest.mark.kind('precision')


def products(text):
    """The lines of a StableHLO text that multiply."""
    found = [line for line in text.splitlines() if re.search(r'stablehlo\.(dot_general|convolution)', line)]
    assert found
    return found


def precisions(text):
    """What the products of a StableHLO text are asked for."""
    return {found for line in products(text) for found in re.findall('HIGHEST|HIGH|DEFAULT', line) or ['none']}


def factors(text):
    """The types of what the products of a StableHLO text multiply."""
    operands = [re.search(r' : \((.*)\) -> ', line)[1] for line in products(text)]
    return {kind for each in operands for kind in re.findall(r'x([a-z]+[0-9]+)>', each)}


class _EnoughError(Exception):
    """What follows is the compiler's work."""


@pytest.fixture
def lowered(monkeypatch):
    """The texts of all that would be compiled, or is asked for its cost; nothing is compiled."""
    texts = []

    def compiling(self):
        texts.append(self.as_text())
        raise _EnoughError

    monkeypatch.setattr(jax.stages.Lowered, 'compile', compiling)
    monkeypatch.setattr(jax.stages.Lowered, 'cost_analysis', lambda self: texts.append(self.as_text()))
    return texts


def train_step(config):
    """As a run lowers it."""
    return opened(config, None).trace()[0, 0].step.lower().as_text()


@pytest.mark.parametrize(
    ('precision', 'asked', 'kind'), [('float32', 'HIGHEST', 'f32'), ('bfloat16', 'DEFAULT', 'bf16')]
)
def test_what_trains_evaluates_and_is_counted_is_lowered_alike(lowered, monkeypatch, precision, asked, kind):
    config = lenet5.get_config()
    config.precision, config.init_from = precision, 'weights'
    variables = initialise(create_model('lenet5', 10, 28), jax.random.key(0), 28)
    monkeypatch.setattr(images, 'load_torch_weights', lambda *_: variables)
    with jax.default_matmul_precision('tensorfloat32'):  # as a user's environment may say
        texts = [train_step(config)]
        with contextlib.suppress(_EnoughError):
            evaluate(config, None)
        counted = costs.counted_recipe(config, {'num_classes': 10})
        costs.xla_costs(counted)
        with contextlib.suppress(_EnoughError):
            costs.compiled_costs(counted)
    texts += lowered
    assert [precisions(text) for text in texts] == [{asked}] * 5
    assert [factors(text) for text in texts] == [{kind}] * 5


def test_bfloat16_learns_as_float32_does_and_is_billed_alike(tmp_path):
    runs = {}
    for precision in ('float32', 'bfloat16'):
        config = lenet5.get_config()
        config.precision, config.target.value = precision, 1.0
        config.num_epochs, config.eval_every = 1.0, 0.25
        runs[precision] = train(config, tmp_path / precision)
        assert runs[precision]['precision'] == precision
        # What is trained is kept in float32: a step of bfloat16 is too small to be added to it.
        kept = jax.tree.leaves(efficiency.load_run(tmp_path / precision).variables)
        assert {leaf.dtype.name for leaf in kept} == {'float32'}
    full, half = runs.values()
    losses = [[point['loss'] for point in run['curve']] for run in (full, half)]
    assert losses[0] != losses[1]
    # Half of what is learned in these steps would be 0.5.
    assert losses[0][-1] < losses[0][0] - 0.5
    np.testing.assert_allclose(*losses, rtol=0.02)
    assert full['macs_per_example'] == half['macs_per_example']
    for each in (full, half):
        each['steps_and_macs'] = [
            {key: value for key, value in program.items() if key == 'steps' or 'macs' in key}
            for program in each['programs']
        ]
    assert full['steps_and_macs'] == half['steps_and_macs']
    assert [point['train_macs'] for point in full['curve']] == [point['train_macs'] for point in half['curve']]


def test_a_network_counted_by_itself_and_the_peak_that_is_compared_with_are_of_full_precision(lowered):
    with contextlib.suppress(_EnoughError):
        costs.compiled_costs(costs.counted_network('lenet5', batch_size=8))
    with contextlib.suppress(_EnoughError):
        peak.large_product('float32')
    assert [precisions(text) for text in lowered] == [{'HIGHEST'}] * 2
