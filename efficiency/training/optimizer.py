"""Optimizers and learning rate schedules by the names that configs use.

`register_optimizer` and `register_schedule` add one of your own.
"""

from collections.abc import Callable

import jax.numpy as jnp
import optax

from efficiency.errors import named
from efficiency.registration import register

Schedule = Callable[[int], float]

_optimizers: dict[str, Callable[[Schedule, float, float], optax.GradientTransformation]] = {}
_schedules: dict[str, Callable[[float, int], Schedule]] = {}


def _register(known: dict[str, Callable], kind: str, name: str) -> Callable:
    def add(function):
        register(known, kind, name, function)
        return function

    return add


def register_optimizer(name: str) -> Callable:
    """Registers an optimizer; a decorator for a function of (schedule, weight_decay, momentum).

    The function returns any optax transformation that makes updates of gradients, the learning rate included, which
    `schedule` gives by step.

    Raises:
        ValueError: if the name is taken.
    """
    return _register(_optimizers, 'an optimizer', name)


def register_schedule(name: str) -> Callable:
    """Registers a learning rate schedule; a decorator for a function of (peak, steps).

    The function returns the rate as a function of the step, from `peak` at 0 on, over that many steps.

    Raises:
        ValueError: if the name is taken.
    """
    return _register(_schedules, 'a schedule', name)


@register_schedule('exponential')
def _exponential(peak: float, steps: int) -> Schedule:
    """Falls smoothly by 1,000 times over the run (Hernandez & Brown, 2020, section 3: "smoothed", total 1000x)."""
    return lambda step: peak * 10 ** (-3 * jnp.minimum(step / steps, 1))


@register_schedule('steps')
def _steps(peak: float, steps: int) -> Schedule:
    """Falls by 10 times after each third of the run: every 30 epochs of 90, as AlexNet's."""
    return lambda step: peak * 10.0 ** -jnp.floor(3 * jnp.minimum(step / steps, 1 - 1e-6))


@register_schedule('cosine')
def _cosine(peak: float, steps: int) -> Schedule:
    """Falls to 0 along half a cosine (Loshchilov & Hutter, 2017, arXiv:1608.03983)."""
    return optax.cosine_decay_schedule(peak, steps)


@register_schedule('constant')
def _constant(peak: float, steps: int) -> Schedule:
    return optax.constant_schedule(peak)


def make_schedule(name: str, peak: float, steps: int, warmup_steps: int = 0) -> Schedule:
    """The learning rate of every step of a run.

    Args:
        name: 'exponential', 'steps', 'cosine', 'constant' or a registered one.
        peak: the learning rate at its highest.
        steps: length of the run, in optimizer steps; the decay covers what follows the warm-up.
        warmup_steps: steps in which the rate first rises linearly to `peak`.

    Raises:
        UserError: if there is no schedule of that name.
    """
    decay = named(_schedules, 'schedule', name)(peak, max(1, steps - warmup_steps))
    if warmup_steps == 0:
        return decay
    rise = optax.linear_schedule(peak / warmup_steps, peak, warmup_steps - 1)
    return optax.join_schedules([rise, decay], [warmup_steps])


@register_optimizer('sgd')
def _sgd(schedule, weight_decay, momentum):
    """SGD with momentum and L2 weight decay on every parameter, as torch's and the paper's."""
    return optax.chain(optax.add_decayed_weights(weight_decay), optax.sgd(schedule, momentum=momentum))


@register_optimizer('adamw')
def _adamw(schedule, weight_decay, momentum):
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019, arXiv:1711.05101); momentum is its beta 1."""
    return optax.adamw(schedule, b1=momentum, weight_decay=weight_decay)


def make_optimizer(
    name: str, schedule: Schedule, weight_decay: float, momentum: float, clip_norm: float = 0
) -> optax.GradientTransformation:
    """The optimizer of that name.

    Args:
        name: 'sgd', 'adamw' or a registered one.
        schedule: learning rate by step.
        weight_decay, momentum: the optimizer's.
        clip_norm: the norm that the gradient as a whole is scaled down to where it is larger; 0 for no bound.

    Raises:
        UserError: if there is no optimizer of that name.
    """
    optimizer = named(_optimizers, 'optimizer', name)(schedule, weight_decay, momentum)
    return optax.chain(optax.clip_by_global_norm(clip_norm), optimizer) if clip_norm else optimizer
