"""The networks once more, in torch, of the parameters of ours: torch's own layers, and the papers' equations by loops.

Each takes the parameters as a tree of torch tensors, so that gradients come in our tree too, and gives the logits
(n, t, vocabulary) of a source and a target. No dropout.
"""

import math

import torch
from torch.func import functional_call
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def dense(p, x):
    return functional.linear(x, p['kernel'].T, p.get('bias'))


def _lengths(source):
    return (source != 0).sum(1)


def _turned(source):
    """Each sentence from its last token to its first, its padding still at the end."""
    rows = [
        torch.cat([row[:length].flip(0), row[length:]]) for row, length in zip(source, _lengths(source), strict=True)
    ]
    return torch.stack(rows)


def _cell_weights(p, suffix=''):
    bias = p['bias']
    weights = (p['kernel'].T, p['recurrent_kernel'].T, bias, torch.zeros_like(bias))
    return dict(zip((f'{of}{suffix}' for of in ('weight_ih', 'weight_hh', 'bias_ih', 'bias_hh')), weights, strict=True))


def _stack(layers, x, lengths=None, state=None, both_ways=False):
    """torch's LSTM of so many layers, over packed sequences if they have lengths: outputs and states."""
    weights = {}
    for i, layer in enumerate(layers):
        ways = {'': layer['forward'], '_reverse': layer['backward']} if both_ways else {'': layer}
        for suffix, way in ways.items():
            weights |= _cell_weights(way, f'_l{i}{suffix}')
    inputs, width = weights['weight_ih_l0'].shape[1], weights['weight_hh_l0'].shape[1]
    module = torch.nn.LSTM(inputs, width, len(layers), batch_first=True, bidirectional=both_ways, dtype=x.dtype)
    if lengths is None:
        return functional_call(module, weights, (x, state))
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    y, state = functional_call(module, weights, (packed, state))
    return pad_packed_sequence(y, batch_first=True, total_length=x.shape[1])[0], state


def _numbered(params, name):
    return [
        params[f'{name}_{i}'] for i in range(sum(key.startswith(f'{name}_') and key[-1].isdigit() for key in params))
    ]


def seq2seq(params, source, target):
    x = params['source_embedding']['embedding'][_turned(source)]
    _, state = _stack(_numbered(params, 'encoder'), x, _lengths(source))
    y, _ = _stack(_numbered(params, 'decoder'), params['target_embedding']['embedding'][target], state=state)
    return dense(params['softmax'], y)


def _fed_cell(p):
    """torch's cell, for an input beside what is fed back."""
    weights = _cell_weights(p | {'kernel': torch.cat([p['kernel'], p['feed_kernel']])})
    rows, width = weights['weight_ih'].shape[1], weights['weight_hh'].shape[1]
    module = torch.nn.LSTMCell(rows, width, dtype=p['bias'].dtype)
    return lambda x, fed, state: functional_call(module, weights, (torch.cat([x, fed], -1), state))


def _mean(scores, mask, values):
    weights = scores.masked_fill(~mask, -math.inf).softmax(-1)
    return (weights[:, None] @ values)[:, 0]


def seq2seq_attention(params, source, target):
    """Luong, equations 5 to 8, a word at a time."""
    x, mask = params['source_embedding']['embedding'][source], source != 0
    values, (hidden, remembered) = _stack([params['encoder']], x, _lengths(source), both_ways=True)
    state = torch.cat([*hidden], -1), torch.cat([*remembered], -1)
    keys, cell = dense(params['keys'], values), _fed_cell(params['decoder'])
    fed, outputs = torch.zeros_like(state[0]), []
    for x in params['target_embedding']['embedding'][target].unbind(1):
        state = cell(x, fed, state)
        context = _mean((keys @ state[0][:, :, None])[..., 0], mask, values)
        fed = torch.tanh(torch.cat([context, state[0]], -1) @ params['combine'])
        outputs.append(fed)
    return dense(params['softmax'], torch.stack(outputs, 1))


def gnmt(params, source, target, residual_from):
    """Wu et al., section 3: every layer of the decoder a word at a time."""
    x, mask = params['source_embedding']['embedding'][source], source != 0
    x, _ = _stack([params['encoder_first']], x, _lengths(source), both_ways=True)
    for number, layer in enumerate(_numbered(params, 'encoder'), 2):
        y, _ = _stack([layer], x, _lengths(source))
        x = x + y if number >= residual_from else y
    values, keys = x, dense(params['keys'], x)
    first, rest = _fed_cell(params['decoder_first']), _numbered(params, 'decoder')
    zero = torch.zeros(len(source), params['query'].shape[0], dtype=x.dtype)
    states, outputs = [(zero, zero)] * (1 + len(rest)), []
    for word in params['target_embedding']['embedding'][target].unbind(1):
        energies = torch.tanh((states[0][0] @ params['query'])[:, None] + keys) @ params['energy'][:, None]
        context = _mean(energies[..., 0], mask, values)
        states[0] = first(word, context, states[0])
        y = states[0][0]
        for i, layer in enumerate(rest, 1):
            weights = _cell_weights(layer)
            module = torch.nn.LSTMCell(weights['weight_ih'].shape[1], zero.shape[1], dtype=x.dtype)
            states[i] = functional_call(module, weights, (torch.cat([y, context], -1), states[i]))
            y = y + states[i][0] if i + 1 >= residual_from else states[i][0]
        outputs.append(y)
    return dense(params['softmax'], torch.stack(outputs, 1))


def _normed(p):
    return torch._weight_norm(p['kernel'].T, p['scale'][:, None], 0)


def _linear(p, x):
    return functional.linear(x, _normed(p), p['bias'])


def _gated_conv(p, x, kernel, padding):
    """torch's convolution over (n, channels, t), and its gated linear unit."""
    p, channels = p['conv'], x.shape[2]
    weight = _normed(p).reshape(-1, kernel, channels).transpose(1, 2)
    return functional.glu(functional.conv1d(functional.pad(x.mT, padding), weight, p['bias']).mT, -1)


def conv_s2s(params, source, target, blocks):
    """Gehring et al., sections 3.1 to 3.4; its gradients are other than ours, which scales those of the encoder."""
    half, mask = math.sqrt(0.5), source != 0

    def stack(side, x, padding, attend=lambda i, y: y):
        for i, (_, kernel) in enumerate(blocks):
            x = x * mask[..., None] if side == 'encoder' else x
            y = attend(i, _gated_conv(params[f'{side}_{i}'], x, kernel, padding(kernel)))
            residual = params.get(f'{side}_residuals_{i}')
            x = (y + (_linear(residual, x) if residual else x)) * half
        return x

    def embedded(side, tokens):
        return (
            params[f'{side}_embedding']['embedding'][tokens]
            + params[f'{side}_positions']['embedding'][: tokens.shape[1]]
        )

    e = embedded('source', source)
    z = stack('encoder', _linear(params['encoder_in'], e), lambda kernel: ((kernel - 1) // 2, kernel // 2))
    z = _linear(params['encoder_out'], z)
    g = embedded('target', target)

    def attend(i, y):
        scores = (_linear(params[f'queries_{i}'], y) + g) * half @ z.mT
        weights = scores.masked_fill(~mask[:, None], -math.inf).softmax(-1)
        context = weights @ ((z + e) * half) * _lengths(source).to(z.dtype).sqrt()[:, None, None]
        return (y + _linear(params[f'contexts_{i}'], context)) * half

    y = stack('decoder', _linear(params['decoder_in'], g), lambda kernel: (kernel - 1, 0), attend)
    return _linear(params['softmax'], _linear(params['decoder_out'], y))


def _attention_weights(prefix, projections, out):
    return {
        f'{prefix}.in_proj_weight': torch.cat([p['kernel'] for p in projections], 1).T,
        f'{prefix}.in_proj_bias': torch.cat([p['bias'] for p in projections]),
        f'{prefix}.out_proj.weight': out['kernel'].T,
        f'{prefix}.out_proj.bias': out['bias'],
    }


def transformer(params, source, target, heads, pre_norm):
    """torch's `nn.Transformer`; as published it has no norms after the last layers."""
    table = params['embedding']['embedding']
    width, encoders, decoders = table.shape[1], _numbered(params, 'encoder'), _numbered(params, 'decoder')
    hidden = encoders[0]['feed_forward']['hidden']['bias'].shape[0]
    how = {'batch_first': True, 'norm_first': pre_norm, 'dropout': 0.0, 'dtype': table.dtype}

    def norm():
        return torch.nn.LayerNorm(width, dtype=table.dtype) if pre_norm else None

    encoder = torch.nn.TransformerEncoder(
        torch.nn.TransformerEncoderLayer(width, heads, hidden, **how), len(encoders), norm(), enable_nested_tensor=False
    )
    decoder = torch.nn.TransformerDecoder(
        torch.nn.TransformerDecoderLayer(width, heads, hidden, **how), len(decoders), norm()
    )
    module = torch.nn.Transformer(width, heads, custom_encoder=encoder, custom_decoder=decoder, batch_first=True)
    weights = {}
    for side, layers in (('encoder', encoders), ('decoder', decoders)):
        for i, layer in enumerate(layers):
            prefix = f'{side}.layers.{i}'
            own = layer['attention']
            weights |= _attention_weights(f'{prefix}.self_attn', [own['query_key_value']], own['out'])
            if side == 'decoder':
                other = layer['source_attention']
                both = [other['query'], other['key_value']]
                weights |= _attention_weights(f'{prefix}.multihead_attn', both, other['out'])
            norms = [(f'norm{j + 1}', r['norm']) for j, r in enumerate(_numbered(layer, 'residuals'))]
            for name, p in (
                *norms,
                ('linear1', layer['feed_forward']['hidden']),
                ('linear2', layer['feed_forward']['out']),
            ):
                weights[f'{prefix}.{name}.weight'] = p['kernel'].T if 'kernel' in p else p['scale']
                weights[f'{prefix}.{name}.bias'] = p['bias']
        if pre_norm:
            weights |= {
                f'{side}.norm.weight': params[f'{side}_norm']['scale'],
                f'{side}.norm.bias': params[f'{side}_norm']['bias'],
            }
    assert weights.keys() == dict(module.named_parameters()).keys()

    def embedded(tokens):
        at = torch.arange(tokens.shape[1], dtype=table.dtype)[:, None]
        waves = at / 10_000 ** (torch.arange(width, dtype=table.dtype) // 2 * 2 / width)
        even = torch.arange(width) % 2 == 0
        return table[tokens] * math.sqrt(width) + torch.where(even, waves.sin(), waves.cos())

    padding, causal = source == 0, torch.ones(2 * target.shape[1:], dtype=torch.bool).triu(1)
    y = functional_call(
        module, weights, (embedded(source), embedded(target)),
        {'tgt_mask': causal, 'src_key_padding_mask': padding, 'memory_key_padding_mask': padding},
    )  # fmt: skip
    return functional.linear(y, table)
