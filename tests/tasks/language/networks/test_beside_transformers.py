"""GPT-2, BERT and T5 beside those of transformers: logits of the same weights, parameters, and torch's count."""

import jax
import numpy as np
import pytest

from efficiency.tasks.language.alone import alone
from efficiency.tasks.language.networks import create_model
from efficiency.tasks.language.networks.t5 import distance_buckets

pytestmark = pytest.mark.crosscheck
transformers = pytest.importorskip('transformers', reason='needs the extra crosscheck')
torch = pytest.importorskip('torch', reason='needs the extra crosscheck')

TOKENS = np.random.RandomState(0).randint(4, 31, (2, 7))
WIDTH, HEADS = 12, 3


def gpt2(vocabulary, context, layers, width, heads):
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=vocabulary, n_positions=context, n_layer=layers, n_embd=width, n_head=heads,
            attn_implementation='eager',
        )
    )  # fmt: skip


def bert(vocabulary, context, layers, width, heads):
    return transformers.BertForMaskedLM(
        transformers.BertConfig(
            vocab_size=vocabulary, max_position_embeddings=context, num_hidden_layers=layers, hidden_size=width,
            num_attention_heads=heads, intermediate_size=4 * width, attn_implementation='eager',
        )
    )  # fmt: skip


def t5(vocabulary, context, layers, width, heads):
    return transformers.T5ForConditionalGeneration(
        transformers.T5Config(
            vocab_size=vocabulary, num_layers=layers, d_model=width, d_kv=width // heads, d_ff=4 * width,
            num_heads=heads, decoder_start_token_id=0,
        )
    )  # fmt: skip


def weights_of(theirs):
    """Of a torch network, drawn anew so that none is 0 or 1, by name."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(0, 0.3)
    return {name: array.detach().numpy() for name, array in theirs.eval().double().state_dict().items()}


def linear(weights, name, turned=True):
    kernel = weights[f'{name}.weight']
    return {'kernel': kernel.T if turned else kernel} | (
        {'bias': weights[f'{name}.bias']} if f'{name}.bias' in weights else {}
    )


def norm(weights, name):
    found = {'scale': weights[f'{name}.weight']}
    return found | ({'bias': weights[f'{name}.bias']} if f'{name}.bias' in weights else {})


def joined(*layers):
    """Linear layers side by side."""
    return jax.tree.map(lambda *leaves: np.concatenate(leaves, -1), *layers)


def gpt2_params(weights, layers):
    def block(i):
        # Its linear layers are written as products from the right already.
        own = {name: linear(weights, f'transformer.h.{i}.{name}', turned=False)
               for name in ('attn.c_attn', 'attn.c_proj', 'mlp.c_fc', 'mlp.c_proj')}  # fmt: skip
        return {
            'attention': {'query_key_value': own['attn.c_attn'], 'out': own['attn.c_proj']},
            'feed_forward': {'hidden': own['mlp.c_fc'], 'out': own['mlp.c_proj']},
            'norms_0': norm(weights, f'transformer.h.{i}.ln_1'),
            'norms_1': norm(weights, f'transformer.h.{i}.ln_2'),
        }

    return {
        'embedding': {'embedding': weights['transformer.wte.weight']},
        'positions': weights['transformer.wpe.weight'],
        'last_norm': norm(weights, 'transformer.ln_f'),
        **{f'blocks_{i}': block(i) for i in range(layers)},
    }


def bert_params(weights, layers):
    def block(i):
        where = f'bert.encoder.layer.{i}'
        projections = [linear(weights, f'{where}.attention.self.{part}') for part in ('query', 'key', 'value')]
        return {
            'attention': {
                'query_key_value': joined(*projections),
                'out': linear(weights, f'{where}.attention.output.dense'),
            },
            'feed_forward': {
                'hidden': linear(weights, f'{where}.intermediate.dense'),
                'out': linear(weights, f'{where}.output.dense'),
            },
            'norms_0': norm(weights, f'{where}.attention.output.LayerNorm'),
            'norms_1': norm(weights, f'{where}.output.LayerNorm'),
        }

    return {
        'embedding': {'embedding': weights['bert.embeddings.word_embeddings.weight']},
        'positions': weights['bert.embeddings.position_embeddings.weight'],
        'sentences': weights['bert.embeddings.token_type_embeddings.weight'],
        'norm': norm(weights, 'bert.embeddings.LayerNorm'),
        'head': linear(weights, 'cls.predictions.transform.dense'),
        'head_norm': norm(weights, 'cls.predictions.transform.LayerNorm'),
        'bias': weights['cls.predictions.bias'],
        **{f'blocks_{i}': block(i) for i in range(layers)},
    }


def t5_params(weights, layers):
    def attention(where):
        return {ours: linear(weights, f'{where}.{theirs}')
                for ours, theirs in (('query', 'q'), ('key', 'k'), ('value', 'v'), ('out', 'o'))}  # fmt: skip

    def stack(name, decodes):
        where = f'{name}.block.0.layer.0.SelfAttention.relative_attention_bias.weight'
        found = {'distances': weights[where], 'last_norm': norm(weights, f'{name}.final_layer_norm')}
        for i in range(layers):
            layer, last = f'{name}.block.{i}.layer', 2 if decodes else 1
            found[f'attention_{i}'] = attention(f'{layer}.0.SelfAttention')
            found[f'attention_{i}_norm'] = norm(weights, f'{layer}.0.layer_norm')
            if decodes:
                found[f'source_attention_{i}'] = attention(f'{layer}.1.EncDecAttention')
                found[f'source_attention_{i}_norm'] = norm(weights, f'{layer}.1.layer_norm')
            found[f'hidden_{i}'] = linear(weights, f'{layer}.{last}.DenseReluDense.wi')
            found[f'out_{i}'] = linear(weights, f'{layer}.{last}.DenseReluDense.wo')
            found[f'hidden_{i}_norm'] = norm(weights, f'{layer}.{last}.layer_norm')
        return found

    return {
        'embedding': {'embedding': weights['shared.weight']},
        'encoder': stack('encoder', False),
        'decoder': stack('decoder', True),
    }


FAMILIES = {
    'transformer_gpt': (gpt2, gpt2_params, {}),
    'bert': (bert, bert_params, {}),
    't5': (t5, t5_params, {'head': WIDTH // HEADS}),
}


@pytest.mark.parametrize('name', FAMILIES)
def test_logits_are_those_of_transformers(name):
    make, params_of, more = FAMILIES[name]
    theirs = make(31, 9, 2, WIDTH, HEADS)
    params = params_of(weights_of(theirs), 2)
    sizes = {'layers': 2, 'width': WIDTH, 'hidden': 4 * WIDTH, 'heads': HEADS}
    model = create_model(name, 31, 9, np.float64, sizes | more)
    inputs = [TOKENS[:, ::-1], TOKENS[:, :5]] if name == 't5' else [TOKENS]
    asked = [torch.tensor(each.copy()) for each in inputs]
    with torch.no_grad():
        expected = (
            theirs(input_ids=asked[0], decoder_input_ids=asked[1]) if name == 't5' else theirs(asked[0])
        ).logits.numpy()
    with jax.enable_x64(True):
        found = np.asarray(model.apply({'params': params}, *(each.astype(np.int32) for each in inputs), train=False))
    # T5's norms are in float32 there.
    tolerance = {'rtol': 1e-4, 'atol': 1e-4} if name == 't5' else {'rtol': 1e-9, 'atol': 1e-9}
    np.testing.assert_allclose(found, expected, **tolerance)
    assert np.ptp(expected, axis=(0, 1)).min() > 1e-3


@pytest.mark.parametrize(
    ('name', 'make', 'sizes'),
    [
        ('gpt2_124m', gpt2, (50_257, 1024, 12, 768, 12)),
        ('gpt2_355m', gpt2, (50_257, 1024, 24, 1024, 16)),
        ('gpt2_774m', gpt2, (50_257, 1024, 36, 1280, 20)),
        ('gpt2_1558m', gpt2, (50_257, 1024, 48, 1600, 25)),
        ('bert_base', bert, (30_522, 512, 12, 768, 12)),
        ('bert_large', bert, (30_522, 512, 24, 1024, 16)),
        ('t5_base', t5, (32_128, 512, 12, 768, 12)),
    ],
)
def test_parameters_and_torchs_count_are_those_of_transformers(name, make, sizes):
    from torch.utils.flop_counter import FlopCounterMode

    ours = alone(name, 1, {})
    with torch.device('meta'):
        theirs = make(*sizes).eval()
        inputs = [torch.zeros(each.shape, dtype=torch.long) for each in ours.forward.inputs]
        with FlopCounterMode(display=False) as mode, torch.no_grad():
            if name == 't5_base':
                theirs(input_ids=inputs[0], decoder_input_ids=inputs[1], use_cache=False)
            else:
                theirs(inputs[0])
    assert sum(parameter.numel() for parameter in theirs.parameters()) == sum(
        leaf.size for leaf in jax.tree.leaves(ours.variables)
    )
    from efficiency.flops import count

    macs = count(ours.forward.function, ours.variables, *ours.forward.inputs).dense_macs
    assert mode.get_total_flops() == 2 * macs


@pytest.mark.parametrize('both_ways', [True, False])
def test_buckets_of_distances_are_those_of_transformers(both_ways):
    from transformers.models.t5.modeling_t5 import T5Attention

    distance = torch.arange(300)[None] - torch.arange(300)[:, None]
    theirs = T5Attention._relative_position_bucket(distance, bidirectional=both_ways)
    np.testing.assert_array_equal(distance_buckets(300, both_ways), theirs.numpy())
