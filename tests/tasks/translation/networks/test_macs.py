"""Multiply-adds are those of the closed forms, parameters those of the papers; each of a pair of so many tokens."""

import jax
import numpy as np
import pytest

from efficiency.flops import check_against_xla, count
from efficiency.tasks.translation.networks import list_models, model_entry
from tests.tasks.translation.networks.tiny import SIZES, named, shapes_of, tiny


def forward(model, s, t):
    variables, source, target = shapes_of(model, s, t)
    with jax.enable_x64(model.dtype == np.float64):
        return count(lambda *args: model.apply(*args, False), variables, source, target)


def lstm(inputs, width):
    """Of a layer, a token."""
    return 4 * width * (inputs + width)


def lstms(inputs, width, layers):
    return lstm(inputs, width) + (layers - 1) * lstm(width, width)


def seq2seq(s, t, v, layers, e, h):
    return (s + t) * lstms(e, h, layers) + t * h * v


def seq2seq_attention(s, t, v, e, h):
    encoder = 2 * lstm(e, h // 2) + h * h  # and the keys
    attention = 2 * s * h + 2 * h * h  # scores and mean, then what combines it with the output
    return s * encoder + t * (lstm(e + h, h) + attention + h * v)


def gnmt(s, t, v, layers, e, first, h):
    encoder = 2 * lstm(e, first) + lstms(2 * first, h, layers - 1)
    decoder = lstm(e + h, h) + (layers - 1) * lstm(2 * h, h)
    attention = h * h + s * h + s * h  # query, energies, mean
    return s * (encoder + h * h) + t * (decoder + attention + h * v)


def conv_s2s(s, t, v, blocks, e, out):
    total, before = (s + t) * e * blocks[0][0], blocks[0][0]
    for width, kernel in blocks:
        layer = kernel * before * 2 * width + (before * width if before != width else 0)
        total += (s + t) * layer + t * (2 * e * width + 2 * s * e)
        before = width
    return total + s * before * e + t * (before * out + out * v)


def transformer(s, t, v, encoder, decoder, d, ff):
    encoder_layer = s * (4 * d * d + 2 * d * ff + 2 * s * d)
    # Keys and values of the source are the source's: of 8 d^2 a layer, 2 d^2 for each token of it.
    decoder_layer = t * (6 * d * d + 2 * d * ff + 2 * t * d + 2 * s * d) + s * 2 * d * d
    return encoder * encoder_layer + decoder * decoder_layer + t * d * v


_EN_FR = [(512, 3)] * 6 + [(768, 3)] * 4 + [(1024, 3)] * 3 + [(2048, 1), (4096, 1)]
CLOSED_FORMS = {
    'seq2seq': (seq2seq, 4000, 1, 128, 256),
    'seq2seq_paper': (seq2seq, 80_000, 4, 1000, 1000),
    'seq2seq_ensemble': (lambda *sizes: 5 * seq2seq(*sizes), 4000, 1, 128, 256),
    'seq2seq_attention': (seq2seq_attention, 4000, 128, 256),
    'gnmt': (gnmt, 4000, 2, 128, 128, 256),
    'gnmt_paper': (gnmt, 32_000, 8, 1024, 1024, 1024),
    'conv_s2s': (conv_s2s, 4000, [(256, 3)] * 4, 128, 128),
    'conv_s2s_paper': (conv_s2s, 40_000, _EN_FR, 768, 512),
    'transformer': (transformer, 4000, 3, 3, 128, 256),
    'transformer_pre_norm': (transformer, 4000, 3, 3, 128, 256),
    'transformer_deep_encoder': (transformer, 4000, 6, 1, 128, 256),
    'transformer_base': (transformer, 37_000, 6, 6, 512, 2048),
    'transformer_big': (transformer, 37_000, 6, 6, 1024, 4096),
}
# At 25 + 25 tokens, as the networks' docstrings have them: parameters, and dense multiply-adds forward.
STATED = {
    'seq2seq': (2_840_480, 45_260_800),
    'seq2seq_paper': (384_112_000, 3_600_000_000),
    'seq2seq_ensemble': (14_202_400, 226_304_000),
    'seq2seq_attention': (3_168_160, 53_772_800),
    'gnmt': (4_415_648, 84_902_400),
    'gnmt_paper': (280_858_880, 5_381_785_600),
    'conv_s2s': (5_161_280, 101_913_600),
    'conv_s2s_paper': (258_111_616, 4_884_544_000),
    'transformer': (1_505_792, 38_816_000),
    'transformer_pre_norm': (1_506_304, 38_816_000),
    'transformer_deep_encoder': (1_505_664, 38_656_000),
    'transformer_base': (63_082_496, 1_586_124_800),
    'transformer_big': (214_245_376, 5_374_259_200),
}


@pytest.mark.parametrize('name', list_models())
def test_forward_macs_are_the_closed_form(name):
    form, *sizes = CLOSED_FORMS[name]
    for s, t in ((25, 25), (7, 4)):
        assert forward(named(name), s, t).dense_macs == form(s, t, *sizes)


@pytest.mark.parametrize('name', list_models())
def test_parameters_and_macs_are_what_the_docstrings_say(name):
    variables, *_ = shapes_of(named(name), 25, 25)
    params = sum(leaf.size for leaf in jax.tree.leaves(variables))
    assert (params, CLOSED_FORMS[name][0](25, 25, *CLOSED_FORMS[name][1:])) == STATED[name]
    lines = model_entry(name).network
    lines = (getattr(lines, 'func', None) or lines).__doc__.splitlines()
    row = next(line for line in lines if line.split()[:1] == [name])
    assert [int(cell.replace(',', '')) for cell in row.split()[1:3]] == list(STATED[name])


def sizes_of(name):
    """The size of every parameter by its path."""
    leaves = jax.tree_util.tree_leaves_with_path(shapes_of(named(name), 2, 2)[0]['params'])
    return {jax.tree_util.keystr(path, simple=True, separator='/'): leaf.size for path, leaf in leaves}


def test_published_parameters():
    # Sutskever et al., section 3.4: 384M, of which 64M are recurrent, half in each network; biases are not counted.
    sizes = {path: size for path, size in sizes_of('seq2seq_paper').items() if not path.endswith('bias')}
    assert sum(sizes.values()) == 384_000_000
    assert [sum(n for path, n in sizes.items() if path.startswith(part)) for part in ('encoder', 'decoder')] == [
        32_000_000
    ] * 2
    # Wu et al.: 278M as Epoch has it; here LSTMs, two embeddings and a softmax, and not biases, nor what attention has.
    sizes = sizes_of('gnmt_paper')
    attention = sizes.pop('query') + sizes.pop('energy') + sizes.pop('keys/kernel')
    assert sum(size for path, size in sizes.items() if not path.endswith('bias')) == 278_659_072
    assert attention == 2 * 1024**2 + 1024
    # Vaswani et al., table 3, prints 65M and 213M: all of ours, in whose 3 % is how many tokens they had.
    assert sum(sizes_of('transformer_base').values()) / 65e6 == pytest.approx(1, abs=0.03)
    assert sum(sizes_of('transformer_big').values()) / 213e6 == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize('name', SIZES)
def test_a_step_costs_three_forward_passes_and_xla_agrees(name):
    model = tiny(name, dropout=0.1)
    variables, source, target = shapes_of(model, 5, 4)

    def loss(variables, source, target, key):
        return model.apply(variables, source, target, True, rngs={'dropout': key}).sum()

    with jax.enable_x64(True):
        counted = count(jax.value_and_grad(loss), variables, source, target, jax.random.key(0))
        assert counted.dense_macs == 3 * forward(model, 5, 4).dense_macs
        assert check_against_xla(counted) > 0


def test_decoding_costs_what_its_steps_say():
    model = named('transformer')
    variables, source, _ = shapes_of(model, 9, 1)

    def decode(variables, source):
        memory = model.apply(variables, source, method='encode')
        carry = model.apply(variables, memory, 12, method='start')

        def step(carry, position):
            return model.apply(variables, memory, carry, source[:, 0], position, method='step')

        return jax.lax.scan(step, carry, jax.numpy.arange(12))[1]

    # Of each step attention sees the whole cache, of which the later part is masked.
    counted = count(decode, variables, source)
    assert counted.dense_macs == transformer(9, 12, 4000, 3, 3, 128, 256)
