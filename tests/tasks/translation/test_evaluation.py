"""An evaluation's figures, each held against another way to it: sacreBLEU on the text, float64, counting by hand."""

import json
import math
import os
import subprocess
import sys
from functools import partial

import jax
import numpy as np
import pytest
import sacrebleu

from efficiency.data.tokens import BEGIN, END, PADDING
from efficiency.data.vocabulary import learn
from efficiency.tasks.translation.data.buckets import Tokens
from efficiency.tasks.translation.data.text import Pairs
from efficiency.tasks.translation.decoding import beam_search, greedy
from efficiency.tasks.translation.evaluation import Sentences, TranslationEvaluator, bleu, chrf
from efficiency.tasks.translation.networks import create_model
from efficiency.training.mesh import DataParallel
from tests.conftest import ROOT
from tests.tasks.translation.networks.test_macs import transformer
from tests.tasks.translation.networks.tiny import filled, once, shapes_of
from tests.tasks.translation.synthetic import WORDS

LENGTHS, PIECES, COUNT = (5, 8), 40, 23
SIZES = {'width': 8, 'hidden': 12, 'heads': 2, 'encoder_layers': 1, 'decoder_layers': 1, 'dropout': 0.0}
BEAM, PENALTY = 2, 0.6


def made():
    """A network, variables under which it writes many sentences, a vocabulary, and sentences, as text and as tokens."""
    draw = np.random.RandomState(0)
    lines = [' '.join(draw.choice(list(WORDS), draw.randint(1, 8))) for _ in range(COUNT)]
    pieces = learn([*lines, *WORDS.values()], PIECES)
    network = create_model('transformer', PIECES, PIECES, options=SIZES)
    shapes = shapes_of(network, 4, 4)[0]
    variables = jax.tree.map(lambda leaf: (2 * leaf).astype(np.float32), filled(shapes, seed=21))
    return network, variables, pieces, lines, Tokens(pieces.encode(lines), LENGTHS[-1])


def bucket_of(count):
    return next(length for length in LENGTHS if count <= length)


def written(search):
    """What a search, of the variables, of sources and of a length, writes of each sentence.

    The length that a translation may have is that of its source's bucket, and ten more.
    """
    _, variables, pieces, _, source = made()
    rows = source.padded(range(COUNT), LENGTHS[-1])
    by_length = {
        length: np.asarray(once(partial(search, length=length + 10))(variables, rows)).tolist() for length in LENGTHS
    }
    chosen = [by_length[bucket_of(count)][i] for i, count in enumerate(source.lengths)]
    return pieces.decode([[token for token in row if token not in (END, PADDING)] for row in chosen])


def evaluator_of(target, batch_size, count=1):
    """By so many sentences together, on so many devices, compiled; and the variables where it wants them."""
    network, variables, pieces, lines, source = made()
    split = Sentences(Pairs(lines, target), source, Tokens(pieces.encode(target), LENGTHS[-1]))
    devices = DataParallel(count, jax.devices()[:count])
    evaluator = TranslationEvaluator(network, pieces, split, LENGTHS, batch_size, devices)
    variables = devices.put_state(variables)
    evaluator.compile(variables)
    return evaluator, variables


@pytest.fixture(scope='module', autouse=True)
def compiled_quickly():
    jax.config.update('jax_disable_most_optimizations', True)
    yield
    jax.config.update('jax_disable_most_optimizations', False)


@pytest.fixture(scope='module')
def texts():
    """What the network writes of each sentence, by asking it beside the evaluator."""
    network = made()[0]
    return written(lambda variables, rows, length: greedy(network, variables, rows, length))


@pytest.fixture(scope='module')
def target(texts):
    """References: of every third sentence what the network writes, so that it is right of some and wrong of others."""
    return [
        text if i % 3 == 0 and text.strip() else ' '.join(reversed(line.split()))
        for i, (text, line) in enumerate(zip(texts, made()[3], strict=True))
    ]


@pytest.fixture(scope='module')
def evaluator(target):
    return evaluator_of(target, batch_size=6)


@pytest.fixture(scope='module')
def found(evaluator):
    return evaluator[0](evaluator[1])


def test_bleu_is_sacrebleus_of_each_translation_beside_its_reference(texts, target, found):
    assert len(set(texts)) > 10
    score = sacrebleu.corpus_bleu(texts, [target]).score
    assert found.metrics['bleu'] == score
    assert 5 < score < 95
    assert found.metrics['chrf'] == sacrebleu.corpus_chrf(texts, [target]).score
    assert found.examples == COUNT
    # Of pairs in another order it would be another.
    assert sacrebleu.corpus_bleu(texts[1:] + texts[:1], [target]).score < score / 2


def test_bleu_says_how_it_was_computed():
    hypotheses, references = ['The cat sat on the mat .', 'It rains.'], ['The cat sat on the mat.', 'It is raining.']
    score, signature = bleu(hypotheses, references)
    assert score == sacrebleu.corpus_bleu(hypotheses, [references]).score
    assert signature == f'nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{sacrebleu.__version__}'
    assert chrf(hypotheses, references) == sacrebleu.corpus_chrf(hypotheses, [references]).score
    assert bleu(references, references)[0] == pytest.approx(100)


def test_loss_and_bits_per_byte_are_those_of_the_logits_in_float64(target, found):
    network, variables, pieces, _, source = made()
    references = Tokens(pieces.encode(target), LENGTHS[-1])
    padded = references.padded(range(COUNT), LENGTHS[-1], BEGIN)
    call = once(partial(network.apply, train=False))
    logits = np.asarray(call(variables, source.padded(range(COUNT), LENGTHS[-1]), padded[:, :-1]), np.float64)
    nats = 0.0
    for row, wanted in zip(logits, padded[:, 1:], strict=True):
        for at in range(wanted.tolist().index(END) + 1):  # the end is a token to be foretold, as any other
            nats += math.log(np.exp(row[at] - row[at].max()).sum()) + row[at].max() - row[at, wanted[at]]
    assert found.metrics['loss'] == pytest.approx(nats / sum(map(len, references.rows)), rel=1e-5)
    # Of a reference that was cut the bytes that are foretold.
    begun = pieces.decode([row[:-1] for row in references.rows])
    assert all(text.startswith(beginning) for text, beginning in zip(target, begun, strict=True))
    count = len(''.join(begun).encode())
    assert count < len(''.join(target).encode())
    assert found.metrics['bits_per_byte'] == pytest.approx(nats / math.log(2) / count, rel=1e-5)


def network_macs(s, t):
    return transformer(s, t, PIECES, 1, 1, SIZES['width'], SIZES['hidden'])


def test_macs_are_those_of_every_sentence_by_hand_and_none_of_a_batchs_copies(target, found):
    _, _, pieces, lines, _ = made()
    pairs = [
        [min(len(tokens) + 1, LENGTHS[-1]) for tokens in pair]
        for pair in zip(pieces.encode(lines), pieces.encode(target), strict=True)
    ]
    assert {bucket_of(max(pair)) == bucket_of(pair[0]) for pair in pairs} == {True, False}
    # The references are scored at the pair's length; a translation is written at its source's, each token attending
    # to room for ten more.
    scored = sum(network_macs(bucket_of(max(pair)), bucket_of(max(pair))) for pair in pairs)
    greedily = sum(network_macs(bucket_of(count), bucket_of(count) + 10) for count, _ in pairs)
    assert found.dense_macs == scored + greedily


def test_a_beams_translations_are_in_the_sentences_order_and_its_macs_by_hand(texts, evaluator):
    network, source = made()[0], made()[4]
    evaluate, variables = evaluator
    evaluate.compile_beam(variables, BEAM, PENALTY)
    by_beam, macs = evaluate.beam(variables)
    assert by_beam == written(
        lambda variables, rows, length: beam_search(network, variables, rows, length, BEAM, PENALTY)
    )
    assert by_beam != texts

    def of_beam(length):
        # The source is read once, whatever the width.
        read = network_macs(length, 0)
        return read + BEAM * (network_macs(length, length + 10) - read)

    assert macs == sum(of_beam(bucket_of(count)) for count in source.lengths)


def test_an_evaluation_ends_when_it_is_asked_to(evaluator):
    evaluate, variables = evaluator
    for batches in (1, 6):  # while references are scored, and while translations are written
        asked = iter([False] * (batches - 1) + [True])
        assert evaluate(variables, lambda asked=asked: next(asked)) is None
        assert list(asked) == []


PROGRAM = """
import json, sys
from tests.tasks.translation.test_evaluation import evaluator_of
evaluate, variables = evaluator_of(json.loads(sys.argv[1]), batch_size=10, count=4)
print(json.dumps(evaluate(variables)._asdict()))
"""


def test_figures_depend_neither_on_the_batch_nor_on_the_devices(target, found):
    """Ten sentences at a time, or rather twelve, as four devices share them."""
    env = {
        'XLA_FLAGS': '--xla_force_host_platform_device_count=4', 'JAX_PLATFORMS': 'cpu',
        'JAX_DISABLE_MOST_OPTIMIZATIONS': '1',
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM, json.dumps(target)],
        cwd=ROOT, env=os.environ | env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    other = json.loads(done.stdout)
    assert (other['examples'], other['dense_macs']) == (found.examples, found.dense_macs)
    assert [other['metrics'][name] for name in ('bleu', 'chrf')] == [found.metrics['bleu'], found.metrics['chrf']]
    for name in ('loss', 'bits_per_byte'):
        assert other['metrics'][name] == pytest.approx(found.metrics[name], rel=1e-6)
