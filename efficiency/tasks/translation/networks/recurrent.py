"""What the networks of LSTMs are made of, and how it starts."""

from functools import partial

import jax
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.data.tokens import PADDING
from efficiency.layers.initializers import Initializer, normal, uniform
from efficiency.layers.modules import Dense
from efficiency.layers.recurrence import LSTM


def layers(init_bound: float | None, dtype: DTypeLike) -> tuple[partial, partial, partial]:
    """Makers of embeddings, LSTMs and linear layers.

    Args:
        init_bound: all parameters start uniform within it, as the papers have it at their sizes; where None, embeddings
            start normal with deviation 0.1 and all else as its layer has it.
        dtype: what they compute in.
    """
    if init_bound is None:
        embed = partial(nn.Embed, embedding_init=normal(0.1), dtype=dtype)
        return embed, partial(LSTM, dtype=dtype), partial(Dense, dtype=dtype)
    init = uniform(init_bound)
    return (
        partial(nn.Embed, embedding_init=init, dtype=dtype),
        partial(LSTM, kernel_init=init, recurrent_init=init, feed_init=init, bias_init=init, dtype=dtype),
        partial(Dense, kernel_init=init, bias_init=init, dtype=dtype),
    )


def kernel_init(init_bound: float | None, rows: int) -> Initializer:
    """As `layers`, of a matrix (rows, columns) that is used in a loop and is no layer; 1 / rows is its variance."""
    return normal(rows**-0.5) if init_bound is None else uniform(init_bound)


def is_token(source: jax.Array) -> jax.Array:
    """Which of the source's tokens are no padding, in its shape."""
    return source != PADDING
