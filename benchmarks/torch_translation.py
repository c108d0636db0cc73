"""The networks of translation in torch: its own layers where it has them, else the papers' equations.

Each is a module from a source (n, s) and a target (n, t) to logits (n, t, vocabulary), written to be quick: no more is
done a word at a time than must be. `weights` gives its state of a tree of parameters of ours, by differentiable
operations, so that `torch.func.functional_call` with it has gradients in our tree too.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from efficiency.data.tokens import PADDING
from efficiency.tasks.translation.networks.conv_s2s import ConvS2S
from efficiency.tasks.translation.networks.gnmt import GNMT
from efficiency.tasks.translation.networks.seq2seq import Seq2Seq
from efficiency.tasks.translation.networks.seq2seq_attention import Seq2SeqAttention
from efficiency.tasks.translation.networks.transformer import Transformer

Weights = dict[str, Tensor]
State = tuple[Tensor, Tensor]


def create(model: Any) -> nn.Module:
    """Torch's network of a linen module of `efficiency.tasks.translation.networks`, in training mode."""
    return _TWINS[type(model)](model)


def _lengths(tokens: Tensor) -> Tensor:
    return (tokens != PADDING).sum(1)


def _turned(tokens: Tensor) -> Tensor:
    """Each sentence from its last token to its first, its padding still at the end."""
    at = torch.arange(tokens.shape[1])
    lengths = _lengths(tokens)[:, None]
    return tokens.gather(1, torch.where(at < lengths, lengths - 1 - at, at))


def _numbered(params: Mapping[str, Any], name: str) -> list:
    count = sum(key.startswith(f'{name}_') and key[-1].isdigit() for key in params)
    return [params[f'{name}_{i}'] for i in range(count)]


def _under(prefix: str, weights: Weights) -> Weights:
    return {f'{prefix}.{name}': value for name, value in weights.items()}


def _linear(p: Mapping[str, Tensor]) -> Weights:
    return {'weight': p['kernel'].T} | ({'bias': p['bias']} if 'bias' in p else {})


def _norm(p: Mapping[str, Tensor]) -> Weights:
    return {'weight': p['scale'], 'bias': p['bias']}


def _embedding(params: Mapping[str, Any], *names: str) -> Weights:
    return {f'{name}.weight': params[name]['embedding'] for name in names}


def _lstm(layers: Sequence[Mapping[str, Any]], both_ways: bool = False) -> Weights:
    """Of torch's LSTM; the second of its two biases is 0."""
    weights = {}
    for i, layer in enumerate(layers):
        for suffix, p in {'': layer['forward'], '_reverse': layer['backward']}.items() if both_ways else [('', layer)]:
            weights |= {
                f'weight_ih_l{i}{suffix}': p['kernel'].T, f'weight_hh_l{i}{suffix}': p['recurrent_kernel'].T,
                f'bias_ih_l{i}{suffix}': p['bias'], f'bias_hh_l{i}{suffix}': torch.zeros_like(p['bias']),
            }  # fmt: skip
    return weights


def _read(lstm: nn.LSTM, x: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
    """Outputs and states of an LSTM over sentences of these lengths, (n, s, features) each."""
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    y, state = lstm(packed)
    return pad_packed_sequence(y, batch_first=True, total_length=x.shape[1])[0], state


class FedCell(nn.Module):
    """An LSTM whose input is known before but for what is fed back, and projected before the loop."""

    def __init__(self, inputs: int, feed: int, width: int):
        super().__init__()
        self.input, self.recurrent = nn.Linear(inputs, 4 * width), nn.Linear(feed + width, 4 * width, bias=False)

    def forward(self, projected: Tensor, fed: Tensor, state: State) -> State:
        gates = torch.addmm(projected, torch.cat([fed, state[0]], 1), self.recurrent.weight.T)
        enter, keep, candidate, leave = gates.chunk(4, 1)
        remembered = keep.sigmoid() * state[1] + enter.sigmoid() * candidate.tanh()
        return leave.sigmoid() * remembered.tanh(), remembered

    @staticmethod
    def weights(p: Mapping[str, Tensor]) -> Weights:
        recurrent = torch.cat([p['feed_kernel'], p['recurrent_kernel']])
        return _under('input', _linear(p)) | {'recurrent.weight': recurrent.T}


def _mean(scores: Tensor, mask: Tensor, values: Tensor) -> Tensor:
    weights = scores.masked_fill(~mask, -math.inf).softmax(-1)
    return (weights[:, None] @ values)[:, 0]


class TorchSeq2Seq(nn.Module):
    """Two LSTMs of torch's, the first over packed sentences turned around."""

    def __init__(self, model: Seq2Seq):
        super().__init__()
        self.source_embedding = nn.Embedding(model.source_vocab, model.embedding)
        self.target_embedding = nn.Embedding(model.target_vocab, model.embedding)
        within = model.dropout if model.layers > 1 else 0.0
        self.encoder, self.decoder = (
            nn.LSTM(model.embedding, model.width, model.layers, batch_first=True, dropout=within) for _ in range(2)
        )
        self.softmax, self.drop = nn.Linear(model.width, model.target_vocab), nn.Dropout(model.dropout)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        x = self.drop(self.source_embedding(_turned(source)))
        packed = pack_padded_sequence(x, _lengths(source), batch_first=True, enforce_sorted=False)
        _, state = self.encoder(packed)
        y, _ = self.decoder(self.drop(self.target_embedding(target)), state)
        return self.softmax(self.drop(y))

    def weights(self, params: Mapping[str, Any]) -> Weights:
        weights = _embedding(params, 'source_embedding', 'target_embedding')
        for side in ('encoder', 'decoder'):
            weights |= _under(side, _lstm(_numbered(params, side)))
        return weights | _under('softmax', _linear(params['softmax']))


class TorchSeq2SeqAttention(nn.Module):
    """Luong, equations 5 to 8, a word at a time; the encoder is torch's."""

    def __init__(self, model: Seq2SeqAttention):
        super().__init__()
        width, embedding = model.width, model.embedding
        self.source_embedding = nn.Embedding(model.source_vocab, embedding)
        self.target_embedding = nn.Embedding(model.target_vocab, embedding)
        self.encoder = nn.LSTM(embedding, width // 2, batch_first=True, bidirectional=True)
        self.keys, self.decoder = nn.Linear(width, width, bias=False), FedCell(embedding, width, width)
        self.combine = nn.Linear(2 * width, width, bias=False)
        self.softmax, self.drop = nn.Linear(width, model.target_vocab), nn.Dropout(model.dropout)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        mask = source != PADDING
        values, state = _read(self.encoder, self.drop(self.source_embedding(source)), _lengths(source))
        hidden, remembered = (torch.cat([*each], 1) for each in state)
        keys, fed, outputs = self.keys(values), torch.zeros_like(hidden), []
        for projected in self.decoder.input(self.drop(self.target_embedding(target))).unbind(1):
            hidden, remembered = self.decoder(projected, fed, (hidden, remembered))
            context = _mean((keys @ hidden[:, :, None])[..., 0], mask, values)
            fed = self.combine(torch.cat([context, hidden], 1)).tanh()
            outputs.append(fed)
        return self.softmax(self.drop(torch.stack(outputs, 1)))

    def weights(self, params: Mapping[str, Any]) -> Weights:
        return (
            _embedding(params, 'source_embedding', 'target_embedding')
            | _under('encoder', _lstm([params['encoder']], both_ways=True))
            | _under('keys', _linear(params['keys']))
            | _under('decoder', FedCell.weights(params['decoder']))
            | {'combine.weight': params['combine'].T}
            | _under('softmax', _linear(params['softmax']))
        )


class TorchGNMT(nn.Module):
    """Wu et al., section 3: of the decoder the first layer and its attention a word at a time, the others torch's."""

    def __init__(self, model: GNMT):
        super().__init__()
        width, embedding = model.width, model.embedding
        self.residual_from = model.residual_from
        self.source_embedding = nn.Embedding(model.source_vocab, embedding)
        self.target_embedding = nn.Embedding(model.target_vocab, embedding)
        self.encoder_first = nn.LSTM(embedding, model.first_width, batch_first=True, bidirectional=True)
        inputs = [2 * model.first_width, *[width] * (model.layers - 2)]
        self.encoder = nn.ModuleList(nn.LSTM(size, width, batch_first=True) for size in inputs)
        self.keys, self.query = (nn.Linear(width, width, bias=False) for _ in range(2))
        self.energy = nn.Linear(width, 1, bias=False)
        self.decoder_first = FedCell(embedding, width, width)
        self.decoder = nn.ModuleList(nn.LSTM(2 * width, width, batch_first=True) for _ in inputs)
        self.softmax, self.drop = nn.Linear(width, model.target_vocab), nn.Dropout(model.dropout)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        mask = source != PADDING
        x, _ = _read(self.encoder_first, self.drop(self.source_embedding(source)), _lengths(source))
        # What comes after a sentence's end changes nothing before it, and nobody looks at it.
        for number, lstm in enumerate(self.encoder, 2):
            x = self._joined(number, x, lstm(self.drop(x))[0])
        values, keys = x, self.keys(x)
        hidden = remembered = x.new_zeros(len(x), self.query.in_features)
        outputs, contexts = [], []
        for projected in self.decoder_first.input(self.drop(self.target_embedding(target))).unbind(1):
            context = _mean(self.energy((self.query(hidden)[:, None] + keys).tanh())[..., 0], mask, values)
            hidden, remembered = self.decoder_first(projected, context, (hidden, remembered))
            outputs.append(hidden)
            contexts.append(context)
        x, context = torch.stack(outputs, 1), torch.stack(contexts, 1)
        for number, lstm in enumerate(self.decoder, 2):
            x = self._joined(number, x, lstm(self.drop(torch.cat([x, context], 2)))[0])
        return self.softmax(self.drop(x))

    def _joined(self, number, x, y):
        return x + y if number >= self.residual_from else y

    def weights(self, params: Mapping[str, Any]) -> Weights:
        weights = _embedding(params, 'source_embedding', 'target_embedding')
        weights |= _under('encoder_first', _lstm([params['encoder_first']], both_ways=True))
        for side in ('encoder', 'decoder'):
            for i, layer in enumerate(_numbered(params, side)):
                weights |= _under(f'{side}.{i}', _lstm([layer]))
        return (
            weights
            | _under('keys', _linear(params['keys']))
            | {'query.weight': params['query'].T, 'energy.weight': params['energy'][None]}
            | _under('decoder_first', FedCell.weights(params['decoder_first']))
            | _under('softmax', _linear(params['softmax']))
        )


class NormedLinear(nn.Module):
    """Linear layer, weights normalised by row."""

    def __init__(self, inputs: int, features: int):
        super().__init__()
        linear = nn.Linear(inputs, features)
        self.direction, self.bias = linear.weight, linear.bias
        self.scale = nn.Parameter(linear.weight.detach().norm(dim=1, keepdim=True))

    @property
    def weight(self) -> Tensor:
        """(features, inputs)."""
        return torch._weight_norm(self.direction, self.scale, 0)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight, self.bias)

    @staticmethod
    def weights(p: Mapping[str, Tensor]) -> Weights:
        return {'direction': p['kernel'].T, 'scale': p['scale'][:, None], 'bias': p['bias']}


class GatedConv(NormedLinear):
    """Torch's convolution over (n, t, channels) and its gated linear unit; `padding` before and after."""

    def __init__(self, channels: int, features: int, kernel: int, padding: tuple[int, int]):
        super().__init__(kernel * channels, 2 * features)
        self.kernel, self.padding = kernel, padding

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.reshape(-1, self.kernel, x.shape[2]).transpose(1, 2)
        return functional.glu(functional.conv1d(functional.pad(x.mT, self.padding), weight, self.bias).mT, -1)


class TorchConvS2S(nn.Module):
    """Gehring et al., sections 3.1 to 3.4, and fairseq's scaling of the encoder's gradient."""

    def __init__(self, model: ConvS2S):
        super().__init__()
        e, self.blocks = model.embedding, model.blocks
        widths = [width for width, _ in model.blocks]
        ins = [widths[0], *widths[:-1]]
        for name, size in (
            ('source_embedding', model.source_vocab), ('source_positions', model.positions),
            ('target_embedding', model.target_vocab), ('target_positions', model.positions),
        ):  # fmt: skip
            setattr(self, name, nn.Embedding(size, e))
        for side, padding in (('encoder', lambda k: ((k - 1) // 2, k // 2)), ('decoder', lambda k: (k - 1, 0))):
            convolutions = (GatedConv(a, w, k, padding(k)) for a, (w, k) in zip(ins, model.blocks, strict=True))
            setattr(self, side, nn.ModuleList(convolutions))
            residuals = (NormedLinear(a, w) if a != w else nn.Identity() for a, w in zip(ins, widths, strict=True))
            setattr(self, f'{side}_residuals', nn.ModuleList(residuals))
        self.encoder_in, self.decoder_in = NormedLinear(e, widths[0]), NormedLinear(e, widths[0])
        self.encoder_out, self.decoder_out = NormedLinear(widths[-1], e), NormedLinear(widths[-1], model.out)
        self.queries = nn.ModuleList(NormedLinear(width, e) for width in widths)
        self.contexts = nn.ModuleList(NormedLinear(e, width) for width in widths)
        self.softmax, self.drop = NormedLinear(model.out, model.target_vocab), nn.Dropout(model.dropout)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        half, mask = math.sqrt(0.5), source != PADDING
        e = self.drop(self.source_embedding(source) + self.source_positions.weight[: source.shape[1]])
        x = self.encoder_in(e)
        for conv, residual in zip(self.encoder, self.encoder_residuals, strict=True):
            x = x * mask[..., None]
            x = (conv(self.drop(x)) + residual(x)) * half
        share, z = 1 / (2 * len(self.blocks)), self.encoder_out(x)
        z = z * share + z.detach() * (1 - share)
        values = (z + e) * half * _lengths(source).to(z.dtype).sqrt()[:, None, None]
        g = self.drop(self.target_embedding(target) + self.target_positions.weight[: target.shape[1]])
        x = self.decoder_in(g)
        stages = (self.decoder, self.decoder_residuals, self.queries, self.contexts)
        for conv, residual, query, context in zip(*stages, strict=True):
            y = conv(self.drop(x))
            attended = functional.scaled_dot_product_attention(
                (query(y) + g) * half, z, values, mask[:, None], scale=1.0
            )
            y = (y + context(attended)) * half
            x = (y + residual(x)) * half
        return self.softmax(self.drop(self.decoder_out(x)))

    def weights(self, params: Mapping[str, Any]) -> Weights:
        embeddings = [f'{side}_{of}' for side in ('source', 'target') for of in ('embedding', 'positions')]
        weights = _embedding(params, *embeddings)
        for name in params.keys() - set(embeddings):
            # What is a list here is numbered there.
            list_of, _, number = name.rpartition('_')
            place = f'{list_of}.{number}' if number.isdigit() else name
            p = params[name]
            weights |= _under(place, NormedLinear.weights(p.get('conv', p)))
        return weights


class TorchTransformer(nn.Module):
    """Torch's `nn.Transformer`, dropping nothing inside of a sublayer; as published, no norms after the last ones."""

    def __init__(self, model: Transformer):
        super().__init__()
        width, sizes = model.width, (model.width, model.heads, model.hidden)
        how = {'dropout': model.dropout, 'batch_first': True, 'norm_first': model.pre_norm}
        norms = [nn.LayerNorm(width) if model.pre_norm else None for _ in range(2)]
        encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(*sizes, **how), model.encoder_layers, norms[0], enable_nested_tensor=False
        )
        decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(*sizes, **how), model.decoder_layers, norms[1])
        for layer in (*encoder.layers, *decoder.layers):
            layer.dropout.p = 0.0
            for attention in layer.children():
                if isinstance(attention, nn.MultiheadAttention):
                    attention.dropout = 0.0
        self.layers = nn.Transformer(width, custom_encoder=encoder, custom_decoder=decoder, batch_first=True)
        self.embedding, self.drop = nn.Embedding(model.source_vocab, width), nn.Dropout(model.dropout)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.width = width

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        padding, t = source == PADDING, target.shape[1]
        y = self.layers(
            self._embedded(source), self._embedded(target), tgt_is_causal=True,
            tgt_mask=torch.ones(t, t, dtype=torch.bool).triu(1),
            src_key_padding_mask=padding, memory_key_padding_mask=padding,
        )  # fmt: skip
        return functional.linear(y, self.embedding.weight)

    def _embedded(self, tokens):
        x = self.embedding(tokens) * math.sqrt(self.width)
        at = torch.arange(tokens.shape[1], dtype=torch.float64)[:, None]
        waves = at / 10_000 ** (torch.arange(self.width, dtype=torch.float64) // 2 * 2 / self.width)
        even = torch.arange(self.width) % 2 == 0
        return self.drop(x + torch.where(even, waves.sin(), waves.cos()).to(x.dtype))

    def weights(self, params: Mapping[str, Any]) -> Weights:
        weights = _embedding(params, 'embedding')
        for side in ('encoder', 'decoder'):
            for i, p in enumerate(_numbered(params, side)):
                weights |= _under(f'layers.{side}.layers.{i}', self._layer(p))
            if f'{side}_norm' in params:
                weights |= _under(f'layers.{side}.norm', _norm(params[f'{side}_norm']))
        return weights

    @staticmethod
    def _layer(p):
        weights = _under('linear1', _linear(p['feed_forward']['hidden']))
        weights |= _under('linear2', _linear(p['feed_forward']['out']))
        for i, residual in enumerate(_numbered(p, 'residuals'), 1):
            weights |= _under(f'norm{i}', _norm(residual['norm']))
        own = p['attention']
        weights |= _under('self_attn', _attention([own['query_key_value']], own['out']))
        if 'source_attention' in p:
            other = p['source_attention']
            weights |= _under('multihead_attn', _attention([other['query'], other['key_value']], other['out']))
        return weights


def _attention(projections: Sequence[Mapping[str, Tensor]], out: Mapping[str, Tensor]) -> Weights:
    """Of torch's `nn.MultiheadAttention`."""
    return {
        'in_proj_weight': torch.cat([p['kernel'] for p in projections], 1).T,
        'in_proj_bias': torch.cat([p['bias'] for p in projections]),
    } | _under('out_proj', _linear(out))


_TWINS = {
    Seq2Seq: TorchSeq2Seq,
    Seq2SeqAttention: TorchSeq2SeqAttention,
    GNMT: TorchGNMT,
    ConvS2S: TorchConvS2S,
    Transformer: TorchTransformer,
}
