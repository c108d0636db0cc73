"""The compiled programs of a run and what they cost: each compiled once, counted once, checked once."""

import collections
import dataclasses
import itertools
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import jax

from efficiency.flops import Count, Operation, check_against_xla, count_jaxpr, tracing
from efficiency.flops.xla import flops_when_compiled, flops_when_lowered
from efficiency.tasks.task import Forward

# The scope under which an optimizer's own multiplications are counted.
OPTIMIZER_SCOPE = 'optimizer'


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one call of a compiled train step costs.

    Attributes:
        forward: of the network's forward pass over one example, as in evaluation.
        step: of the whole train step, traced with the stock formulations.
        lowered_flops: of the whole step in the stock formulations, by XLA before it compiles (its float32); None
            where XLA does not say.
        compiled_flops: of the executable that trains, by XLA, on all devices together, a loop's body counted once; None
            where XLA does not say.
    """

    forward: Count
    step: Count
    lowered_flops: float | None
    compiled_flops: float | None

    @property
    def optimizer(self) -> Count:
        """The part of `step` that is the optimizer's."""
        return Count(tuple(filter(_is_the_optimizers, self.step.operations)))


def without_optimizer(step: Count) -> Count:
    """The part of a train step's count that grows with the batch."""
    return Count(tuple(itertools.filterfalse(_is_the_optimizers, step.operations)))


def per_example(total: int, examples: int) -> int | float:
    """Each example's share of a total: whole, but where something does not grow with the batch."""
    return total / examples if total % examples else total // examples


def macs_per_example(stages: Iterable[tuple[int, int, Count, Count]]) -> dict[str, int | float]:
    """What an example took in a run, the optimizer's apart; where stages differ, the mean over examples.

    Args:
        stages: of each the steps taken, its batch size, the count of its forward pass over one example, of its step.

    Returns:
        'forward_dense', 'forward_real', 'train_dense', 'train_real'.
    """
    examples, sums = 0, collections.Counter()
    for steps, batch_size, forward, step in stages:
        examples += steps * batch_size
        for name, count, times in (('forward', forward, steps * batch_size), ('train', without_optimizer(step), steps)):
            sums[f'{name}_dense'] += times * count.dense_macs
            sums[f'{name}_real'] += times * count.real_macs
    return {name: per_example(total, examples) for name, total in sums.items()}


def _is_the_optimizers(op: Operation) -> bool:
    return op.layer.split('/')[0] == OPTIMIZER_SCOPE


def multiplying(precision: str) -> AbstractContextManager:
    """Within this, programs are traced as a config's precision asks: float32 is multiplied in all of its bits.

    An accelerator's default is fewer. The same on every platform, so that a program does not depend on where it is
    traced, nor on what jax was told otherwise.

    Args:
        precision: as in `config.precision`.
    """
    return jax.default_matmul_precision('highest' if precision == 'float32' else None)


def trace_train_step(train_step: Callable, state: Any, batch: Any, precision: str) -> jax.stages.Traced:
    """Traces the train step, as it is compiled and counted.

    Args:
        train_step: (state, batch) -> (state, loss); gives its state's buffers away.
        state, batch: arrays, or `jax.ShapeDtypeStruct`s, with their shardings; the state keeps its own.
        precision: as in `config.precision`.
    """
    shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
    step = jax.jit(train_step, donate_argnums=0, out_shardings=(shardings, None))
    with tracing(), multiplying(precision):
        return step.trace(state, batch)


def trace_forward(forward: Forward, variables: Any, precision: str) -> jax.stages.Traced:
    """Traces a task's forward pass over one example, as in evaluation; of its `variables` the shapes matter."""
    with tracing(), multiplying(precision):
        return jax.jit(forward.function).trace(variables, *forward.inputs)


def compile_train_steps(
    traced: Mapping[Any, tuple[jax.stages.Traced, jax.stages.Traced]], check_cache: str | os.PathLike
) -> dict[Any, tuple[jax.stages.Compiled, Cost]]:
    """See `compile_train_step`, of several programs by name, each its train step and its forward pass; two at a time.

    A compiler has cores of its own to use, and a second of these is what keeps two of them busy.
    """
    with ThreadPoolExecutor(2) as pool:
        compiled = pool.map(lambda each: compile_train_step(*each, check_cache), traced.values())
        return dict(zip(traced, compiled, strict=True))


def compile_train_step(
    traced: jax.stages.Traced, forward: jax.stages.Traced, check_cache: str | os.PathLike
) -> tuple[jax.stages.Compiled, Cost]:
    """Compiles the train step ahead of time, and counts the very program that was compiled.

    Compiler and counter work side by side on one trace. The count is checked operation by operation against
    XLA's before anything runs.

    Args:
        traced: the train step, of `trace_train_step`.
        forward: the forward pass, of `trace_forward`.
        check_cache: folder that remembers which programs were checked.

    Raises:
        CountError, DisagreementError: if the step cannot be counted, or XLA counts an operation differently.
    """

    def cost_without_compiling():
        step = count_jaxpr(traced.jaxpr)
        check_against_xla(step, check_cache)
        lowered = flops_when_lowered(traced)
        return count_jaxpr(forward.jaxpr), step, lowered

    with ThreadPoolExecutor(1) as pool:
        counted = pool.submit(cost_without_compiling)
        compiled = traced.lower().compile()
        forward, step, lowered_flops = counted.result()
    return compiled, Cost(forward, step, lowered_flops, flops_when_compiled(compiled, jax.device_count()))
