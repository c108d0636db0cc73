"""Every structure that the networks have, so small that a test of it takes a moment."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from efficiency.tasks.translation.networks import create_model, model_entry

VOCAB = 11
_RECURRENT = {'width': 6, 'embedding': 5}
_TRANSFORMER = {'width': 8, 'hidden': 12, 'heads': 2}
_CONVOLUTIONAL = {'embedding': 6, 'out': 5, 'positions': 9}
# By the name of a network what is smaller here. A `gnmt_paper` of fewer layers would have no residual connection.
SIZES = {
    'seq2seq': _RECURRENT,
    'seq2seq_paper': _RECURRENT | {'layers': 2},
    'seq2seq_ensemble': _RECURRENT | {'members': 2},
    'seq2seq_attention': _RECURRENT,
    'gnmt': _RECURRENT | {'first_width': 3},
    'gnmt_paper': _RECURRENT | {'layers': 3, 'first_width': 6},
    'conv_s2s': _CONVOLUTIONAL | {'blocks': ((6, 3), (6, 3))},
    'conv_s2s_paper': _CONVOLUTIONAL | {'blocks': ((6, 3), (8, 2), (8, 1))},
    'transformer': _TRANSFORMER | {'encoder_layers': 2, 'decoder_layers': 2},
    'transformer_pre_norm': _TRANSFORMER | {'encoder_layers': 2, 'decoder_layers': 2},
}

# Compiled as quickly as may be, for what runs a few times only.
once: Callable = partial(jax.jit, compiler_options={'xla_backend_optimization_level': 0})


def tiny(name: str, dtype=np.float64, dropout: float = 0.0):
    """The network of that name, its widths and layers made small."""
    sizes = SIZES[name] | {'dropout': dropout}
    return model_entry(name).network(source_vocab=VOCAB, target_vocab=VOCAB, dtype=dtype, **sizes)


def shapes_of(model, s: int, t: int):
    """The variables of a network, as shapes, and those of one source and one target."""
    source, target = (jax.ShapeDtypeStruct((1, length), jnp.int32) for length in (s, t))
    with jax.enable_x64(model.dtype == np.float64):
        return jax.eval_shape(partial(model.init, train=False), jax.random.key(0), source, target), source, target


def filled(shapes, seed: int = 0):
    """Variables of these shapes, in float64, none of which is 0, so that each takes part."""
    draw = np.random.RandomState(seed)
    return jax.tree.map(lambda leaf: draw.uniform(0.1, 0.6, leaf.shape) * draw.choice([-1, 1], leaf.shape), shapes)


def sentences(lengths, seed: int = 1) -> np.ndarray:
    """Sentences of these lengths, padded to the longest."""
    draw = np.random.RandomState(seed)
    tokens = draw.randint(3, VOCAB, (len(lengths), max(lengths)))
    return np.where(np.arange(max(lengths)) < np.array(lengths)[:, None], tokens, 0).astype(np.int32)


def named(name: str):
    """The network of that name as it is registered, of the paper's vocabularies or else of 4,000 tokens."""
    vocab = None if model_entry(name).vocabularies else 4000
    return create_model(name, vocab, vocab)
