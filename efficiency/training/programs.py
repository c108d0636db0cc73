"""The compiled programs of a run and what they cost: each compiled once, counted once, checked once."""

import dataclasses
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from efficiency.flops import Count, Operation, check_against_xla, count, count_jaxpr, tracing
from efficiency.flops.xla import flops_when_compiled, flops_when_lowered

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


def trace_forward(model: nn.Module, state: Any, image_size: int, precision: str) -> jax.stages.Traced:
    """Traces a network's forward pass over one example, as in evaluation; of its `state` the shapes matter."""
    variables = {'params': state.params, 'batch_stats': state.batch_stats}
    with tracing(), multiplying(precision):
        return jax.jit(forward_pass(model)).trace(variables, _one_image(image_size))


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


def forward_count(model: nn.Module, variables: Any, image_size: int) -> Count:
    """What a network's forward pass over one example costs, as in evaluation; `variables` may be shapes."""
    return count(forward_pass(model), variables, _one_image(image_size))


def _one_image(image_size: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((1, image_size, image_size, 3), jnp.float32)


def forward_pass(model: nn.Module) -> Callable[[Any, jax.Array], jax.Array]:
    """(variables, images) -> logits, as in evaluation."""
    return lambda variables, images: model.apply(variables, images, train=False)
