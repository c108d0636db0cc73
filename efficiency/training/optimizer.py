"""Optimizers and learning rate schedules by the names that configs use."""

from collections.abc import Callable

import jax.numpy as jnp
import optax

from efficiency.errors import named

Schedule = Callable[[int], float]


def _exponential(peak: float, steps: int) -> Schedule:
    """Falls smoothly by 1,000 times over the run (Hernandez & Brown, 2020, section 3: "smoothed", total 1000x)."""
    return lambda step: peak * 10 ** (-3 * jnp.minimum(step / steps, 1))


def _steps(peak: float, steps: int) -> Schedule:
    """Falls by 10 times after each third of the run: every 30 epochs of 90, as AlexNet's."""
    return lambda step: peak * 10.0 ** -jnp.floor(3 * jnp.minimum(step / steps, 1 - 1e-6))


def _cosine(peak: float, steps: int) -> Schedule:
    """Falls to 0 along half a cosine (Loshchilov & Hutter, 2017, arXiv:1608.03983)."""
    return optax.cosine_decay_schedule(peak, steps)


def _constant(peak: float, steps: int) -> Schedule:
    return optax.constant_schedule(peak)


_schedules = {'exponential': _exponential, 'steps': _steps, 'cosine': _cosine, 'constant': _constant}


def make_schedule(name: str, peak: float, steps: int, warmup_steps: int = 0) -> Schedule:
    """The learning rate of every step of a run.

    Args:
        name: 'exponential', 'steps', 'cosine' or 'constant'.
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


def _sgd(schedule, weight_decay, momentum):
    """SGD with momentum and L2 weight decay on every parameter, as torch's and the paper's."""
    return optax.chain(optax.add_decayed_weights(weight_decay), optax.sgd(schedule, momentum=momentum))


def _adamw(schedule, weight_decay, momentum):
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019, arXiv:1711.05101); momentum is its beta 1."""
    return optax.adamw(schedule, b1=momentum, weight_decay=weight_decay)


_optimizers = {'sgd': _sgd, 'adamw': _adamw}


def make_optimizer(
    name: str, schedule: Schedule, weight_decay: float, momentum: float, clip_norm: float = 0
) -> optax.GradientTransformation:
    """The optimizer of that name.

    Args:
        name: 'sgd' or 'adamw'.
        schedule: learning rate by step.
        weight_decay, momentum: the optimizer's.
        clip_norm: the norm that the gradient as a whole is scaled down to where it is larger; 0 for no bound.

    Raises:
        UserError: if there is no optimizer of that name.
    """
    optimizer = named(_optimizers, 'optimizer', name)(schedule, weight_decay, momentum)
    return optax.chain(optax.clip_by_global_norm(clip_norm), optimizer) if clip_norm else optimizer
