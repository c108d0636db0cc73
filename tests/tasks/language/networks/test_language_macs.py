"""Multiply-adds are those of the closed forms, parameters the published ones to the last, of every network."""

import functools
import math

import jax
import numpy as np
import pytest

from efficiency.flops import check_against_xla, count
from efficiency.tasks.language.alone import alone
from efficiency.tasks.language.networks import list_models, model_entry
from efficiency.training.optimizer import make_optimizer
from tests.tasks.language.networks.small import (
    LENGTH,
    OPTIONS,
    SIZES,
    TRANSFORMER,
    VOCAB,
    filled,
    inputs_of,
    shapes_of,
    small,
)


def attention(t, s, d, inner, shared=None):
    """Of t places that look at s, projections included; keys and values of `shared` features, if not as many."""
    shared = inner if shared is None else shared
    return 2 * t * d * inner + 2 * s * d * shared + 2 * t * s * inner


def transformer(t, v, layers, d, ff, heads=1, kv_heads=0, gated=False, experts=0, chosen=1):
    shared = d // heads * (kv_heads or heads)
    feed_forward = t * (3 if gated else 2) * d * ff
    if experts:
        room = min(math.ceil(1.25 * t * chosen / experts), t)
        feed_forward = t * d * experts + 2 * t * experts * room * d
        feed_forward += experts * room * (3 if gated else 2) * d * ff
    return layers * (attention(t, t, d, d, shared) + feed_forward) + t * d * v


def lstm(t, v, layers, e, h):
    return t * (4 * h * (e + h) + (layers - 1) * 8 * h * h + h * v)


def bert(t, v, layers, d, ff):
    return transformer(t, v, layers, d, ff) + t * d * d


def t5(length, v, layers, d, ff, inner):
    out = round(0.15 * length)
    spans = round(out / 3)
    s, t = length - out + spans + 1, out + spans + 1
    reads = layers * (attention(s, s, d, inner) + 2 * s * d * ff)
    writes = layers * (attention(t, t, d, inner) + attention(t, s, d, inner) + 2 * t * d * ff)
    return reads + writes + t * d * v


# At the networks' own lengths: tokens, closed form and its sizes; parameters, and macs, as their docstrings have them.
STATED = {
    'gpt2_124m': (1024, transformer, (50_257, 12, 768, 3072), 124_439_808, 145_824_153_600),
    'gpt2_355m': (1024, transformer, (50_257, 24, 1024, 4096), 354_823_168, 413_475_536_896),
    'gpt2_774m': (1024, transformer, (50_257, 36, 1280, 5120), 774_030_080, 887_285_350_400),
    'gpt2_1558m': (1024, transformer, (50_257, 48, 1600, 6400), 1_557_611_200, 1_753_351_782_400),
    'transformer_gpt': (256, transformer, (4000, 6, 256, 1024), 5_828_608, 1_671_430_144),
    'transformer_lm': (256, transformer, (4000, 6, 256, 683, 1, 0, True), 5_747_456, 1_671_823_360),
    'lstm': (256, lstm, (4000, 2, 256, 512), 6_750_112, 1_463_812_096),
    'lstm_large': (35, lstm, (10_000, 2, 1500, 1500), 66_022_000, 1_785_000_000),
    'bert_base': (512, bert, (30_522, 12, 768, 3072), 109_514_298, 60_622_110_720),
    'bert_large': (512, bert, (30_522, 24, 1024, 4096), 335_174_458, 184_042_913_792),
    'bert': (256, bert, (4001, 6, 256, 1024), 5_899_681, 1_688_272_896),
    't5_base': (512, t5, (32_128, 12, 768, 3072, 768), 222_903_552, 63_670_493_184),
    't5': (256, t5, (4013, 3, 256, 1024, 256), 6_536_960, 940_491_776),
}


@pytest.mark.parametrize('name', list_models())
def test_parameters_and_macs_are_the_closed_form_and_what_the_docstring_says(name):
    length, form, sizes, params, macs = STATED[name]
    made = alone(name, 1, {})
    assert form(length, *sizes) == macs
    assert count(made.forward.function, made.variables, *made.forward.inputs).dense_macs == macs
    assert sum(leaf.size for leaf in jax.tree.leaves(made.variables)) == params
    network = model_entry(name).network
    lines = (network.func if isinstance(network, functools.partial) else network).__doc__.splitlines()
    row = next(line for line in lines if line.split()[:1] == [name])
    assert [int(cell.replace(',', '')) for cell in row.split()[1:3]] == [params, macs]


def form_of(name):
    """The closed form of a small Transformer with one of OPTIONS."""
    options = TRANSFORMER | {'activation': 'swiglu'} | OPTIONS[name]
    return transformer(
        LENGTH, VOCAB, options['layers'], options['width'], options['hidden'], options['heads'],
        options.get('kv_heads', 0), options['activation'] == 'swiglu', options.get('experts', 0),
        options.get('chosen', 1),
    )  # fmt: skip


@pytest.mark.parametrize('name', OPTIONS)
def test_every_option_costs_what_its_closed_form_says(name):
    model, inputs = small(name), inputs_of(name, n=1)
    with jax.enable_x64(True):
        found = count(lambda *args: model.apply(*args, train=False), shapes_of(model, *inputs), *inputs)
    assert found.dense_macs == form_of(name)


@pytest.mark.parametrize('name', [*SIZES, 'learned', 'grouped_query', 'experts', 'two_experts'])
def test_a_step_costs_three_forward_passes_and_xla_agrees(name):
    model, inputs = small(name, dropout=0.1), inputs_of(name)
    variables = shapes_of(model, *inputs)

    def forward(variables, *inputs):
        return model.apply(variables, *inputs, train=False)

    def loss(variables, key, *inputs):
        return model.apply(variables, *inputs, train=True, rngs={'dropout': key}).sum()

    with jax.enable_x64(True):
        counted = count(jax.value_and_grad(loss), variables, jax.random.key(0), *inputs)
        # What sends and fetches tokens to and from experts is zeros and ones: no gradient is wanted of sending.
        once = count(forward, variables, *inputs).dense_macs
        assert check_against_xla(counted) > 0
    spared = 0
    if 'experts' in name:
        options = TRANSFORMER | OPTIONS[name]
        room = min(math.ceil(1.25 * LENGTH * options.get('chosen', 1) / options['experts']), LENGTH)
        spared = options['layers'] * len(inputs[0]) * LENGTH * options['experts'] * room * options['width']
    assert counted.dense_macs == 3 * once - spared


def test_muon_takes_each_experts_matrix_by_itself_and_is_counted_so():
    model = small('experts', layers=1)
    (tokens,) = inputs_of('experts')
    params = filled(shapes_of(model, tokens))['params']['blocks_0']['feed_forward']
    optimizer = make_optimizer('muon', lambda step: 1.0, 0.0)
    with jax.enable_x64(True):
        updates = optimizer.update(params, optimizer.init(params), params)[0]
        counted = count(optimizer.update, params, optimizer.init(params), params)

    def macs(rows, columns):
        least = min(rows, columns)
        return 5 * (2 * least**2 * max(rows, columns) + least**3)

    # Three experts of width 8 and 12 hidden, the first of whose matrices are twice as wide for the gate.
    assert counted.dense_macs == macs(8, 3) + 3 * (macs(8, 24) + macs(12, 8))
    for name, update in updates.items():
        # Near an orthogonal one, each, as large as its outputs over its inputs ask for.
        rows, columns = update.shape
        values = np.linalg.svd(np.asarray(update), compute_uv=False) / max(1, columns / rows) ** 0.5
        assert 0.3 < values.min() <= values.max() < 1.6, name


def test_tokens_are_looked_up_for_nothing():
    model = small('untied', layers=1)
    (tokens,) = inputs_of('untied', n=1)
    with jax.enable_x64(True):
        few = count(lambda *args: model.apply(*args, train=False), shapes_of(model, tokens), tokens)
    assert few.dense_macs == transformer(LENGTH, VOCAB, 1, 8, 12, gated=True)
    assert np.ndim(tokens) == 2
