"""The compiled programs of a run and what they cost: each compiled once, counted once, checked once."""

import collections
import contextlib
import dataclasses
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import jax

from efficiency.flops import Count, Operation, check_against_xla, count_jaxpr, tracing
from efficiency.flops.xla import flops_when_compiled, flops_when_lowered
from efficiency.layers.fixed_point import rounding_layers
from efficiency.layers.precision import FIXED
from efficiency.tasks.task import Forward
from efficiency.training.cache import remembered
from efficiency.training.step_hash import step_hash

# The scope under which an optimizer's own multiplications are counted.
OPTIMIZER_SCOPE = 'optimizer'


class TracedPart(NamedTuple):
    """A program that a train step calls, traced.

    Attributes:
        name: '' where it is the whole step.
        calls: how often a step calls it.
        trains: whether its loss is the step's.
        traced: of (state, batch) -> (state, loss).
    """

    name: str
    calls: int
    trains: bool
    traced: jax.stages.Traced


class Traced(NamedTuple):
    """The traces of a train step's programs, and of the forward pass that the paper's convention counts."""

    parts: Sequence[TracedPart]
    forward: jax.stages.Traced

    @property
    def step(self) -> jax.stages.Traced:
        """Of a train step that is one program."""
        (part,) = self.parts
        return part.traced


class CompiledPart(NamedTuple):
    """A program that a train step calls, compiled; see `TracedPart`."""

    calls: int
    trains: bool
    compiled: jax.stages.Compiled


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
        parts: of a step that is several programs, the name, the calls and the count of one call of each.
    """

    forward: Count
    step: Count
    lowered_flops: float | None
    compiled_flops: float | None
    parts: Sequence[tuple[str, int, Count]] = ()

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


@contextlib.contextmanager
def evaluating(precision: str) -> Iterator[None]:
    """Within this, evaluations are traced as a config's precision asks: in fixed point they round to nearest.

    Args:
        precision: as in `config.precision`.
    """
    fixed = rounding_layers(None) if precision in FIXED else contextlib.nullcontext()
    with multiplying(precision), fixed:
        yield


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
    traced: Mapping[Any, Traced],
    cache: str | os.PathLike,
    progress: Callable[[int, int], None] = lambda done, total: None,
    beside: Callable[[], None] = lambda: None,
) -> dict[Any, tuple[Sequence[CompiledPart], Cost]]:
    """The train steps of several programs by name, compiled and counted; two programs at a time, each once.

    A compiler has cores of its own to use, and a second of these is what keeps two of them busy.

    Args:
        traced: their traces, in which parts that several of them have are the same.
        cache: see `compile_train_step`.
        progress: told how many of how many programs are compiled, first of none; from threads of its own.
        beside: what else is to be done, in this thread; where it raises, nothing more is waited for.
    """
    programs = {id(part.traced): part.traced for each in traced.values() for part in each.parts}
    done = itertools.count(1)

    def compiled_one(each):
        found = compile_train_step(each, cache)
        progress(next(done), len(programs))
        return found

    progress(0, len(programs))
    pool = ThreadPoolExecutor(2)
    try:
        found = pool.map(compiled_one, programs.values())
        beside()
        compiled = dict(zip(programs, found, strict=True))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return {
        name: (
            [CompiledPart(part.calls, part.trains, compiled[id(part.traced)][0]) for part in each.parts],
            _cost(each, [compiled[id(part.traced)][1] for part in each.parts]),
        )
        for name, each in traced.items()
    }


class _Counted(NamedTuple):
    """One call of a program; see `Cost`."""

    count: Count
    lowered_flops: float | None
    compiled_flops: float | None


def _cost(traced: Traced, found: Sequence[_Counted]) -> Cost:
    """Of a train step, of its programs."""
    calls = [part.calls for part in traced.parts]
    step = Count(tuple(
        dataclasses.replace(op, times=op.times * n) if n > 1 else op
        for n, each in zip(calls, found, strict=True)
        for op in each.count.operations
    ))  # fmt: skip

    def flops(key):
        each = [getattr(one, key) for one in found]
        return None if None in each else sum(n * one for n, one in zip(calls, each, strict=True))

    named = [(part.name, part.calls, one.count) for part, one in zip(traced.parts, found, strict=True) if part.name]
    forward = count_jaxpr(traced.forward.jaxpr)
    return Cost(forward, step, flops('lowered_flops'), flops('compiled_flops'), named)


def compile_train_step(traced: jax.stages.Traced, cache: str | os.PathLike) -> tuple[jax.stages.Compiled, _Counted]:
    """Compiles a program ahead of time, and counts the very program that was compiled.

    Compiler and counter work side by side on one trace. The count is checked operation by operation against
    XLA's before anything runs.

    Args:
        traced: of `trace_train_step`.
        cache: folder that remembers which programs were checked, and what XLA said of them.

    Raises:
        CountError, DisagreementError: if the step cannot be counted, or XLA counts an operation differently.
    """

    def cost_without_compiling():
        step = count_jaxpr(traced.jaxpr)
        check_against_xla(step, pathlib.Path(cache, 'checked'))
        key = f'{jax.__version__} {jax.lib.__version__} {jax.device_count()} {step_hash(traced.jaxpr)}'
        # Lowering once more takes a second or more of Python, which the lowering of what runs waits for.
        return step, remembered(pathlib.Path(cache, 'lowered'), key, lambda: flops_when_lowered(traced))

    with ThreadPoolExecutor(1) as pool:
        counted = pool.submit(cost_without_compiling)
        compiled = traced.lower().compile()
        step, lowered_flops = counted.result()
    return compiled, _Counted(step, lowered_flops, flops_when_compiled(compiled, jax.device_count()))
