"""Learning-rate schedules by the names that configs use.

`register_schedule` adds one of your own.
"""

import inspect
from collections.abc import Callable

import jax.numpy as jnp
import optax

from efficiency.errors import named
from efficiency.registration import registers

# The learning rate of a step; steps are counted from 0.
Schedule = Callable[[int], float]

_schedules: dict[str, Callable[[float, int], Schedule]] = {}


def register_schedule(name: str) -> Callable:
    """Registers a learning-rate schedule; a decorator for a function of (peak, steps).

    The function returns the rate as a function of the step, from `peak` at 0 on, over that many steps, and what it
    stays at after them. One that has a third parameter, `warmup_steps`, is told how many steps went before.

    Raises:
        ValueError: if the name is taken.
    """
    return registers(_schedules, 'a schedule', name)


@register_schedule('exponential')
def _exponential(peak: float, steps: int) -> Schedule:
    """Falls smoothly by 1,000 times (Hernandez & Brown, 2020, section 3: "smoothed", total 1000x)."""
    return lambda step: peak * 10 ** (-3 * jnp.minimum(step / steps, 1))


@register_schedule('steps')
def _steps(peak: float, steps: int) -> Schedule:
    """Falls by 10 times after the first and after the second third: every 30 epochs of 90, as AlexNet's."""
    return lambda step: peak * 10.0 ** -jnp.floor(3 * jnp.minimum(step / steps, 1 - 1e-6))


@register_schedule('cosine')
def _cosine(peak: float, steps: int) -> Schedule:
    """Falls to 0 along half a cosine (Loshchilov & Hutter, 2017, arXiv:1608.03983)."""
    return optax.cosine_decay_schedule(peak, steps)


@register_schedule('linear')
def _linear(peak: float, steps: int) -> Schedule:
    """Falls to 0 along a straight line."""
    return optax.linear_schedule(peak, 0.0, steps)


@register_schedule('wsd')
def _wsd(peak: float, steps: int) -> Schedule:
    """Warm-up, stable, decay: stays at its peak, and falls to 0 along a straight line over the last fifth.

    Named by Hu et al., 2024 (arXiv:2404.06395); that line and share are of Hägele et al., 2024 (arXiv:2405.18392).
    """
    decay = max(1, round(steps / 5))
    return optax.linear_schedule(peak, 0.0, decay, transition_begin=steps - decay)


@register_schedule('inverse_sqrt')
def _inverse_sqrt(peak: float, steps: int, warmup_steps: int) -> Schedule:
    """Falls as one over the square root of the run's step (Vaswani et al., 2017, arXiv:1706.03762, equation 3).

    Equation 3's peak, at the end of the warm-up, is (width x warm-up)^-0.5; here it is stated.
    """
    first = float(max(1, warmup_steps))
    return lambda step: peak * jnp.sqrt(first / (first + jnp.minimum(step, steps)))


@register_schedule('constant')
def _constant(peak: float, steps: int) -> Schedule:
    return optax.constant_schedule(peak)


def make_schedule(name: str, peak: float, steps: int, warmup_steps: int = 0) -> Schedule:
    """The learning rate of every step of a run.

    Args:
        name: 'exponential', 'steps', 'cosine', 'linear', 'wsd', 'inverse_sqrt', 'constant' or a registered one.
        peak: the learning rate at its highest.
        steps: after which the schedule is at its end, where the rate stays; fewer than 2**31. The decay covers what
            follows the warm-up.
        warmup_steps: steps in which the rate first rises linearly to `peak`.

    Raises:
        UserError: if there is no schedule of that name.
    """
    make = named(_schedules, 'schedule', name)
    before = {'warmup_steps': warmup_steps} if 'warmup_steps' in inspect.signature(make).parameters else {}
    decay = make(peak, max(1, steps - warmup_steps), **before)
    if warmup_steps == 0:
        return decay
    rise = optax.linear_schedule(peak / warmup_steps, peak, warmup_steps - 1)
    return optax.join_schedules([rise, decay], [warmup_steps])
