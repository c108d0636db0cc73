"""How fast the devices multiply matrices at best: what a run's throughput is a share of."""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

from efficiency.layers.precision import dtype_of
from efficiency.training.programs import multiplying

_TRIES = 3


def rows_of_large_product() -> int:
    """Of two square matrices so large that one device is busy with nothing else than their product."""
    # 0.1 s on two CPU cores.
    return 2048 if jax.default_backend() == 'cpu' else 8192


def large_product(precision: str) -> Callable[[], None]:
    """A function that multiplies two such matrices on one device, and returns when it is done.

    Args:
        precision: the dtype of the matrices, as in `config.precision`.
    """
    rows = rows_of_large_product()
    a = jnp.ones((rows, rows), dtype_of(precision))
    with multiplying(precision):
        multiply = jax.jit(jnp.matmul).lower(a, a).compile()
    return lambda: multiply(a, a).block_until_ready()


def matmul_peak(precision: str) -> float:
    """Multiply-adds a second of all devices together, each as fast as the first of this host at one large product.

    Args:
        precision: the dtype of the matrices, as in `config.precision`.
    """
    multiply = large_product(precision)
    seconds = []
    for _ in range(_TRIES):
        before = time.perf_counter()
        multiply()
        seconds.append(time.perf_counter() - before)
    return rows_of_large_product() ** 3 / min(seconds) * jax.device_count()
