"""Networks as small as can be, with float64 weights that leave nothing at its initial value."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from efficiency.tasks.language.networks import create_model, model_entry

VOCAB, LENGTH = 11, 6
TRANSFORMER = {'layers': 2, 'width': 8, 'hidden': 12, 'heads': 2}
SIZES = {
    'transformer_lm': TRANSFORMER,
    'transformer_gpt': TRANSFORMER,
    'lstm': {'layers': 2, 'width': 5, 'embedding': 4},
    'bert': TRANSFORMER,
    't5': TRANSFORMER | {'head': 3},
}
# Each part that a Transformer's options choose, by itself.
OPTIONS = {
    'sinusoid': {'position': 'sinusoid', 'norm': 'post'},
    'learned': {'position': 'learned', 'norm': 'pre', 'activation': 'gelu', 'bias': True},
    'relu': {'activation': 'relu'},
    'squared_relu': {'activation': 'squared_relu'},
    'multi_query': {'kv_heads': 1, 'heads': 4, 'width': 16},
    'grouped_query': {'kv_heads': 2, 'heads': 4, 'width': 16},
    'untied': {'tied': False},
    'qk_norm': {'qk_norm': True},
    'experts': {'experts': 3},
    'two_experts': {'experts': 3, 'chosen': 2, 'activation': 'relu'},
}


def small(name, dtype=np.float64, context=LENGTH, **more):
    """A network of SIZES, or a Transformer with one of OPTIONS."""
    if name in OPTIONS:
        return create_model('transformer_lm', VOCAB, context, dtype, TRANSFORMER | OPTIONS[name] | more)
    return create_model(name, VOCAB, context, dtype, SIZES[name] | more)


def inputs_of(name, n=3, length=LENGTH, seed=1):
    """Tokens, and before them a source where the network reads one."""
    draw = np.random.RandomState(seed)
    own = [draw.randint(4, VOCAB, (n, length)).astype(np.int32)]
    reads = name in SIZES and model_entry(name).objective == 'spans'
    return [draw.randint(4, VOCAB, (n, length + 2)).astype(np.int32), *own] if reads else own


def shapes_of(model, *inputs):
    inputs = [jax.ShapeDtypeStruct(each.shape, jnp.int32) for each in inputs]
    with jax.enable_x64(model.dtype == np.float64):
        return {'params': jax.eval_shape(partial(model.init, train=False), jax.random.key(0), *inputs)['params']}


def filled(shapes, seed=0, scale=0.5):
    """Variables of these shapes, normal."""
    draw = np.random.RandomState(seed)
    return jax.tree.map(lambda leaf: scale * draw.standard_normal(leaf.shape), shapes)
