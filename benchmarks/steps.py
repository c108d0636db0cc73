"""Training steps as a benchmark takes them: ours compiled, and torch's."""

import os
from collections.abc import Callable, Mapping
from typing import Any

# Takes steps, and returns when they are done.
Steps = Callable[[int], None]
# (state, batch) -> (state, loss).
TrainStep = Callable[[Any, Any], tuple[Any, Any]]


def compiled(train_step: TrainStep, state: Any, batch: Mapping[str, Any]) -> tuple[TrainStep, Any]:
    """Our train step, compiled for such batches, and the state on its device."""
    import jax

    from efficiency.training.memory import give_back_free_memory

    state = jax.device_put(state)
    step = jax.jit(train_step, donate_argnums=0).lower(state, batch).compile()
    give_back_free_memory()
    return step, state


def ours(train_step: TrainStep, state: Any, batch: Mapping[str, Any]) -> Steps:
    """Our train step on one batch, again and again."""
    import jax
    import numpy as np

    from efficiency.training.cache import use_compilation_cache

    use_compilation_cache()
    batch = jax.device_put(batch)
    step, state = compiled(train_step, state, batch)

    def steps(count):
        nonlocal state
        for _ in range(count):
            state, loss = step(state, batch)
        if not np.isfinite(loss):
            raise FloatingPointError(f'the loss is {loss}')

    return steps


def of_network(found: Any, optimizer: Any, batch: Mapping[str, Any]) -> Steps:
    """Our train step of a network by itself (`efficiency.tasks.networks.alone`), from weights drawn by seed 0."""
    import jax

    from efficiency.layers.initializers import drawn
    from efficiency.training.step import init_state, make_train_step

    variables, _ = drawn(found.network, jax.random.key(0), *found.forward.inputs)
    state = init_state(variables, optimizer, jax.random.key(0))
    return ours(make_train_step(found.loss, optimizer), state, batch)


def use_all_cores() -> None:
    """Has torch begin with a seed and a thread a core."""
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(len(os.sched_getaffinity(0)))


def of_torch(loss_of_batch: Callable[[], Any], optimizer: Any, before_update: Callable[[], Any] | None = None) -> Steps:
    """Torch's on one batch: its loss, its gradients, what is done to them before the update, and that."""
    import torch

    def steps(count):
        for _ in range(count):
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of_batch()
            loss.backward()
            if before_update:
                before_update()
            optimizer.step()
        if not torch.isfinite(loss):
            raise FloatingPointError(f'the loss is {loss.item()}')

    return steps
