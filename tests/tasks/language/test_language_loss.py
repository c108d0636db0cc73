"""The loss and the evaluation beside numpy's in float64, and what is weighed and added."""

import functools

import jax
import numpy as np
import pytest

from efficiency.data.tokens import PADDING
from efficiency.tasks.language.data.objectives import Next, Spans
from efficiency.tasks.language.data.rows import next_windows
from efficiency.tasks.language.evaluation import WindowsEvaluator
from efficiency.tasks.language.loss import token_loss, token_scores
from efficiency.training.mesh import DataParallel
from tests.tasks.language.networks.small import VOCAB, filled, inputs_of, shapes_of, small


@pytest.fixture
def network():
    model, (tokens,) = small('transformer_lm'), inputs_of('transformer_lm')
    return model, filled(shapes_of(model, tokens)), tokens


def logs_of(model, variables, tokens):
    logits = np.asarray(model.apply(variables, tokens, train=False), np.float64)
    normaliser = np.log(np.exp(logits).sum(-1))
    return logits - normaliser[..., None], normaliser


def test_the_loss_is_the_mean_over_wanted_tokens_and_z_loss_adds_the_normalisers_square(network):
    model, variables, tokens = network
    wanted = np.roll(tokens, -1, axis=1)
    wanted[0, :4] = wanted[2, 1:] = PADDING
    batch = {'tokens': tokens, 'wanted': wanted}
    with jax.enable_x64(True):
        logs, normaliser = logs_of(model, variables, tokens)
        plain, with_z = (
            float(token_loss(model, weight, variables['params'], {}, batch, jax.random.key(0))[0])
            for weight in (0.0, 0.01)
        )
    real = wanted != PADDING
    likely = np.take_along_axis(logs, wanted[..., None], -1)[..., 0]
    assert plain == pytest.approx(-likely[real].mean(), rel=1e-12)
    assert with_z == pytest.approx((-likely + 0.01 * normaliser**2)[real].mean(), rel=1e-12)


def test_what_a_network_adds_is_in_the_loss_and_not_in_what_is_evaluated():
    model, (tokens,) = small('experts'), inputs_of('experts')
    variables = filled(shapes_of(model, tokens))
    batch = {'tokens': tokens, 'wanted': np.roll(tokens, -1, axis=1)}
    with jax.enable_x64(True):
        trained = float(token_loss(model, 0.0, variables['params'], {}, batch, jax.random.key(0))[0])
        nats = np.asarray(token_scores(model, range(3, 20), variables, batch))[:, 0].sum() / tokens.size
        _, added = model.apply(variables, tokens, train=True, mutable=['losses'])
        added = [float(each) for each in jax.tree.leaves(added)]
    assert len(added) == 2
    assert trained == pytest.approx(nats + sum(added), rel=1e-12)


@pytest.mark.parametrize(('knows_text', 'right'), [(False, 0), (True, 5)])
def test_signs_and_ends_are_no_words_guessed(knows_text, right):
    """Of 16 tokens 5 are taken out; what is written of them has their signs and an end, too."""
    objective = Spans(16, 20, 0.3, 2.0)
    rows = np.random.RandomState(0).randint(4, 20, (3, 16)).astype(np.int32)
    batch = objective.batch(rows, [np.random.default_rng(i) for i in range(3)])

    class Writes:
        def apply(self, variables, source, tokens, train):
            guess = np.where((batch['wanted'] >= 4) & (batch['wanted'] < 20) & (not knows_text), 0, batch['wanted'])
            return jax.nn.one_hot(guess, objective.size)

    assert token_scores(Writes(), range(3, 20), {}, batch)[:, 1].tolist() == [right] * 3


def test_an_evaluation_adds_up_every_document_as_if_each_were_read_alone(network):
    model, variables, _ = network
    draw = np.random.RandomState(5)
    documents = [draw.randint(4, VOCAB, n).astype(np.int32) for n in (14, 1, 0, 6, 5)]
    windows = next_windows(documents, Next(6, VOCAB), 3)
    found = {}

    def metrics(nats, tokens, right):
        found.update(nats=nats, tokens=tokens, right=right)
        return {'loss': nats / tokens}

    evaluator = WindowsEvaluator(model, windows, range(3, 20), 5, 4, DataParallel(4, jax.devices()[:1]), metrics)
    with jax.enable_x64(True):
        evaluator.compile(variables)
        evaluated = evaluator(variables)
        nats = right = 0
        for tokens in documents:
            whole = np.array([2, *tokens, 2], np.int32)
            for place in range(len(whole) - 1):
                # From a document's start, or, beyond the first window, from where its own begins.
                first = 0 if place < 6 else (place - 6) // 3 * 3 + 3
                logs = logs_of(model, variables, whole[None, first : place + 1])[0][0, -1]
                nats -= logs[whole[place + 1]]
                right += int(logs.argmax() == whole[place + 1])
    assert found['nats'] == pytest.approx(nats, rel=1e-9)
    assert (found['tokens'], found['right']) == (sum(map(len, documents)) + 5, right)
    assert evaluated.examples == 5
    one = evaluator_macs(model, variables)
    assert evaluated.dense_macs == len(windows.split) * one
    asked = iter([False, True])
    with jax.enable_x64(True):
        assert evaluator(variables, lambda: next(asked)) is None


def evaluator_macs(model, variables):
    """Of a window, by the counter that the closed forms are held to."""
    from efficiency.flops import count

    with jax.enable_x64(True):
        apply = functools.partial(model.apply, train=False)
        return count(apply, variables, np.zeros((1, 6), np.int32)).dense_macs
