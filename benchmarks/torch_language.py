"""The LSTMs and Transformers of language in torch: its own layers where it has them, its fused attention and LSTM.

Each is a module from tokens (n, t) to logits (n, t, vocabulary). `weights` gives its state of a tree of parameters of
ours, by differentiable operations, so that `torch.func.functional_call` with it has gradients in our tree too.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from efficiency.tasks.language.networks.lstm import RecurrentModel
from efficiency.tasks.language.networks.transformer import Transformer

Weights = dict[str, Tensor]
# Of a Newton-Schulz iteration (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon).
_ITERATION, _STEPS = (3.4445, -4.7750, 2.0315), 5


def create(model: Any) -> nn.Module:
    """Torch's network of a linen module of `efficiency.tasks.language.networks`, in training mode."""
    return (TorchLSTM if isinstance(model, RecurrentModel) else TorchTransformer)(model)


def _under(prefix: str, weights: Weights) -> Weights:
    return {f'{prefix}.{name}': value for name, value in weights.items()}


def _linear(p: Mapping[str, Tensor]) -> Weights:
    return {'weight': p['kernel'].T} | ({'bias': p['bias']} if 'bias' in p else {})


def _norm(p: Mapping[str, Tensor]) -> Weights:
    return {'weight': p['scale']} | ({'bias': p['bias']} if 'bias' in p else {})


class TorchLSTM(nn.Module):
    """Of `RecurrentModel`, by torch's `nn.LSTM` with all its layers; the second of its two biases is 0."""

    def __init__(self, model: RecurrentModel):
        super().__init__()
        self.embedding = nn.Embedding(model.vocabulary, model.embedding)
        self.lstm = nn.LSTM(
            model.embedding,
            model.width,
            model.layers,
            batch_first=True,
            dropout=model.dropout if model.layers > 1 else 0,
        )
        self.softmax, self.drop = nn.Linear(model.width, model.vocabulary), nn.Dropout(model.dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.softmax(self.drop(self.lstm(self.drop(self.embedding(tokens)))[0]))

    def weights(self, params: Mapping[str, Any]) -> Weights:
        weights = {'embedding.weight': params['embedding']['embedding']} | _under('softmax', _linear(params['softmax']))
        for i in range(self.lstm.num_layers):
            p = params[f'layer_{i}']
            weights |= {
                f'lstm.weight_ih_l{i}': p['kernel'].T, f'lstm.weight_hh_l{i}': p['recurrent_kernel'].T,
                f'lstm.bias_ih_l{i}': p['bias'], f'lstm.bias_hh_l{i}': torch.zeros_like(p['bias']),
            }  # fmt: skip
        return weights


class _Layer(nn.Module):
    """Attention and a feed-forward network, with norms in front."""

    def __init__(self, model: Transformer):
        super().__init__()
        width, bias, self.gated = model.width, model.bias, model.activation == 'swiglu'
        self.heads = model.heads
        self.query_key_value = nn.Linear(width, 3 * width, bias)
        self.out = nn.Linear(width, width, bias)
        self.first = nn.Linear(width, model.hidden * (2 if self.gated else 1), bias)
        self.second = nn.Linear(model.hidden, width, bias)
        self.norms = nn.ModuleList(_make_norm(model) for _ in range(2))
        self.drop = nn.Dropout(model.dropout)

    def forward(self, x: Tensor, waves: tuple[Tensor, Tensor] | None) -> Tensor:
        heads = self.query_key_value(self.norms[0](x)).unflatten(-1, (3, self.heads, -1)).transpose(1, 3)
        query, key, value = heads.unbind(2)
        if waves:
            query, key = _rotated(query, *waves), _rotated(key, *waves)
        y = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.drop(self.out(y.transpose(1, 2).flatten(2)))
        y = self.first(self.norms[1](x))
        if self.gated:
            gate, up = y.chunk(2, -1)
            y = functional.silu(gate) * up
        else:
            y = functional.gelu(y, approximate='tanh')
        return x + self.drop(self.second(y))

    @staticmethod
    def weights(p: Mapping[str, Any]) -> Weights:
        places = {
            'query_key_value': p['attention']['query_key_value'], 'out': p['attention']['out'],
            'first': p['feed_forward']['hidden'], 'second': p['feed_forward']['out'],
        }  # fmt: skip
        weights = {}
        for place, linear in places.items():
            weights |= _under(place, _linear(linear))
        return weights | _under('norms.0', _norm(p['norms_0'])) | _under('norms.1', _norm(p['norms_1']))


class TorchTransformer(nn.Module):
    """Of `Transformer` with tied embeddings and norms in front: GPT-2's parts, or rotary, RMS and SwiGLU."""

    def __init__(self, model: Transformer):
        super().__init__()
        told = model.position, model.norm, model.activation, model.tied, model.kv_heads, model.qk_norm, model.experts
        if told not in (('learned', 'pre', 'gelu', True, 0, False, 0), ('rope', 'rms', 'swiglu', True, 0, False, 0)):
            raise ValueError(f'there is no Transformer of these parts in torch here: {told}')
        self.rotary = model.width // model.heads if model.position == 'rope' else 0
        self.embedding = nn.Embedding(model.vocabulary, model.width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        if not self.rotary:
            self.positions = nn.Parameter(0.01 * torch.randn(model.context, model.width))
        self.layers = nn.ModuleList(_Layer(model) for _ in range(model.layers))
        self.norm, self.drop = _make_norm(model), nn.Dropout(model.dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        length, x, waves = tokens.shape[1], self.embedding(tokens), None
        if self.rotary:
            half = self.rotary // 2
            rates = 10_000 ** -(torch.arange(half, dtype=torch.float64) / half)
            angles = torch.arange(length)[:, None] * rates
            waves = angles.sin().to(x.dtype), angles.cos().to(x.dtype)
        else:
            x = x + self.positions[:length]
        x = self.drop(x)
        for layer in self.layers:
            x = layer(x, waves)
        return functional.linear(self.norm(x), self.embedding.weight)

    def weights(self, params: Mapping[str, Any]) -> Weights:
        weights = {'embedding.weight': params['embedding']['embedding']} | _under('norm', _norm(params['last_norm']))
        if not self.rotary:
            weights['positions'] = params['positions']
        for i in range(len(self.layers)):
            weights |= _under(f'layers.{i}', _Layer.weights(params[f'blocks_{i}']))
        return weights


def _make_norm(model: Transformer) -> nn.Module:
    make = nn.RMSNorm if model.norm == 'rms' else nn.LayerNorm
    return make(model.width, eps=1e-5)


def _rotated(x: Tensor, sine: Tensor, cosine: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)


class Muon(torch.optim.Optimizer):
    """Muon for matrices, in float32; `torch.optim.Muon` iterates in bfloat16, which few CPUs multiply quickly."""

    def __init__(self, matrices: Iterable[Tensor], lr: float, weight_decay: float, momentum: float = 0.95):
        super().__init__(matrices, {'lr': lr, 'weight_decay': weight_decay, 'momentum': momentum})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for matrix in group['params']:
                kept = self.state[matrix].setdefault('momentum', torch.zeros_like(matrix))
                kept.lerp_(matrix.grad, 1 - group['momentum'])
                update = _orthogonal(matrix.grad.lerp(kept, group['momentum']))
                scale = math.sqrt(max(1, matrix.shape[0] / matrix.shape[1]))
                matrix.mul_(1 - group['lr'] * group['weight_decay']).add_(update, alpha=-group['lr'] * scale)


def _orthogonal(x: Tensor) -> Tensor:
    a, b, c = _ITERATION
    turned = x.shape[0] > x.shape[1]
    x = x.T if turned else x
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(_STEPS):
        products = x @ x.T
        x = torch.addmm(x, torch.addmm(products, products, products, beta=b, alpha=c), x, beta=a)
    return x.T if turned else x
