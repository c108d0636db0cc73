"""float32 is multiplied in all of its bits by every program that a command compiles or counts, whatever jax is told."""

import contextlib
import re

import jax
import pytest

from configs import lenet5
from efficiency import costs
from efficiency.models import create_model
from efficiency.models.initializers import initialise
from efficiency.tasks.images import task as images
from efficiency.training import peak
from efficiency.training.evaluation import evaluate
from efficiency.training.recipe import opened

pytestmark = pytest.mark.kind('precision')


def precisions(text):
    """What the products of a StableHLO text are asked for."""
    products = [line for line in text.splitlines() if re.search(r'stablehlo\.(dot_general|convolution)', line)]
    assert products
    return {precision for line in products for precision in re.findall('HIGHEST|HIGH|DEFAULT', line) or ['none']}


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
    return opened(config, None).trace()[0].step.lower().as_text()


@pytest.mark.parametrize(('precision', 'asked'), [('float32', 'HIGHEST'), ('bfloat16', 'DEFAULT')])
def test_what_trains_evaluates_and_is_counted_is_lowered_alike(lowered, monkeypatch, precision, asked):
    config = lenet5.get_config()
    config.precision, config.init_from = precision, 'weights'
    variables = initialise(create_model('lenet5', 10, 28), jax.random.key(0), 28)
    monkeypatch.setattr(images, 'load_torch_weights', lambda *_: variables)
    with jax.default_matmul_precision('tensorfloat32'):  # as a user's environment may say
        texts = [train_step(config)]
        with contextlib.suppress(_EnoughError):
            evaluate(config, None)
        program = costs.recipe_program(config, {'num_classes': 10})
        costs.xla_costs(program)
        with contextlib.suppress(_EnoughError):
            costs.compiled_costs(program)
    texts += lowered
    assert [precisions(text) for text in texts] == [{asked}] * 5


def test_a_network_counted_by_itself_and_the_peak_that_is_compared_with_are_of_full_precision(lowered):
    with contextlib.suppress(_EnoughError):
        costs.compiled_costs(costs.network_program('lenet5', batch_size=8))
    with contextlib.suppress(_EnoughError):
        peak.large_product('float32')
    assert [precisions(text) for text in lowered] == [{'HIGHEST'}] * 2
