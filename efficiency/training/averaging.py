"""Averages of the weights of a run, to be evaluated in place of the newest.

An average is a state beside the network's variables, which every train step updates. Parameters and other variables,
such as batch statistics, are averaged alike, in float32 at least; what is no floating-point number has no average, and
its newest value stands. Nothing of it multiplies matrices: no count of multiply-adds changes.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from efficiency.errors import UserError, named
from efficiency.training.own_keys import check_own_keys

Variables = Any
Average = Any
# Examples are counted in int32, up to one batch over those from one of the averaged times to the next.
_MOST_EXAMPLES = 2**30


class Averaging(NamedTuple):
    """How weights are averaged: pure functions of pytrees.

    Attributes:
        init: (variables) -> the average before the first step.
        update: (average, variables) -> the average after a step, which has left these variables.
        weights: (average, variables) -> the variables to evaluate, in the shapes and types of the newest ones, which
            are given and stand for what there is no average of (yet).
    """

    init: Callable[[Variables], Average]
    update: Callable[[Average, Variables], Average]
    weights: Callable[[Average, Variables], Variables]


# The newest weights; the average has no arrays.
NO_AVERAGING = Averaging(
    init=lambda variables: (), update=lambda average, variables: (), weights=lambda average, variables: variables
)


def _none(batch_size: int, epoch_examples: int) -> Averaging:
    return NO_AVERAGING


def _ema(batch_size: int, epoch_examples: int, decay: float = 0.999) -> Averaging:
    """The exponential moving average of the weights after each step (Polyak averaging with a memory).

    After step t the weights of step i count (1 - decay) decay^(t - i) / (1 - decay^t): with Adam's bias correction
    (Kingma & Ba, 2015, section 3), so that the values before the first step count nothing, and the average of few steps
    is that of these. It takes the memory of the variables once more, and three operations a weight a step.
    """
    log_decay = math.log(decay)

    def init(variables):
        return {'steps': jnp.zeros((), jnp.int32), 'mean': jax.tree.map(_copy, variables)}

    def update(average, variables):
        steps = average['steps'] + 1
        # 1 - decay^steps, exact to rounding for the first of them too.
        share = (1 - decay) / -jnp.expm1(steps * log_decay)

        def towards(newest, mean):
            return None if mean is None else mean + share * (newest.astype(mean.dtype) - mean)

        return {'steps': steps, 'mean': jax.tree.map(towards, variables, average['mean'])}

    def weights(average, variables):
        return jax.tree.map(_in_place_of, variables, average['mean'])

    return Averaging(init, update, weights)


def _last(batch_size: int, epoch_examples: int, count: int = 5, every: float = 1.0) -> Averaging:
    """The mean of the weights at the last `count` times, `every` epochs apart (Kaddour, 2022, arXiv:2209.14981).

    A time is after the first step that has the examples of its epochs, as an evaluation is due. Before the first the
    newest weights stand, and before there were `count` times the mean is of those there were. It takes the memory of
    the variables `count` times more; a step reads and writes as much as they are.
    """
    apart = max(1, round(every * epoch_examples))
    if apart > _MOST_EXAMPLES:
        raise UserError(
            f'config.averaging.every of {every:g} epochs are {apart} examples; they must be {_MOST_EXAMPLES} at most'
        )

    def init(variables):
        def slots(leaf):
            empty = _copy(leaf)
            return None if empty is None else jnp.zeros((count, *empty.shape), empty.dtype)

        return {
            'examples': jnp.zeros((), jnp.int32),
            'times': jnp.zeros((), jnp.int32),
            'weights': jax.tree.map(slots, variables),
        }

    def update(average, variables):
        examples = average['examples'] + batch_size
        is_time, slot = examples >= apart, average['times'] % count

        def kept(newest, slots):
            if slots is None:
                return None
            # The slot is written each time, where it is, as a choice between two whole arrays would copy them.
            here = jnp.where(is_time, newest.astype(slots.dtype), slots[slot])
            return jax.lax.dynamic_update_index_in_dim(slots, here, slot, 0)

        return {
            'examples': examples % apart,
            'times': average['times'] + is_time,
            'weights': jax.tree.map(kept, variables, average['weights']),
        }

    def weights(average, variables):
        there_are = jnp.minimum(average['times'], count)

        def mean(newest, slots):
            if slots is None:
                return newest
            # Slots that were not written yet are zeros.
            of_slots = slots.sum(axis=0) / jnp.maximum(there_are, 1)
            return jnp.where(there_are > 0, of_slots.astype(newest.dtype), newest)

        return jax.tree.map(mean, variables, average['weights'])

    return Averaging(init, update, weights)


_averagings: dict[str, Callable[..., Averaging]] = {'none': _none, 'ema': _ema, 'last': _last}


def make_averaging(section: dict[str, Any], batch_size: int, epoch_examples: int) -> Averaging:
    """The averaging of a config.

    Args:
        section: `config.averaging`, as a dict: `name` is 'none', 'ema' (with `decay`) or 'last' (`count`, `every`).
        batch_size: examples of a step. An averaging of another size goes on with the average of this one.
        epoch_examples: of one pass over the data.

    Raises:
        UserError: if there is no averaging of that name, or it has no such keys, or not with such values.
    """
    # Without one there are no keys of it, as where a command line takes a file's averaging away.
    keys = {key: value for key, value in section.items() if key != 'name' and section['name'] != 'none'}
    function = named(_averagings, 'averaging', section['name'])
    check_own_keys('averaging', section['name'], function, keys, 'config.averaging')
    return function(batch_size, epoch_examples, **keys)


def _copy(leaf: jax.Array) -> jax.Array | None:
    """A copy, as a train step gives away the buffers of what it is given; None of what has no average."""
    if not jnp.issubdtype(leaf.dtype, jnp.inexact):
        return None
    return jnp.array(leaf, jnp.promote_types(leaf.dtype, jnp.float32), copy=True)


def _in_place_of(newest: jax.Array, mean: jax.Array | None) -> jax.Array:
    return newest if mean is None else mean.astype(newest.dtype)
