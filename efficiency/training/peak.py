"""How fast the devices multiply matrices at best: what a run's throughput is a share of."""

import time

import jax
import jax.numpy as jnp

# Rows of the square matrices: large enough that a device is busy with nothing else, 0.1 s on two CPU cores.
_ROWS = {'cpu': 2048}
_ROWS_OF_ACCELERATORS = 8192
_TRIES = 3


def matmul_peak(precision: str) -> float:
    """Multiply-adds a second of all devices together, each as fast as the first of this host at one large product.

    Args:
        precision: the dtype of the matrices, as in `config.precision`.
    """
    rows = _ROWS.get(jax.default_backend(), _ROWS_OF_ACCELERATORS)
    a = jnp.ones((rows, rows), jnp.dtype(precision))
    multiply = jax.jit(jnp.matmul).lower(a, a).compile()
    seconds = []
    for _ in range(_TRIES):
        before = time.perf_counter()
        multiply(a, a).block_until_ready()
        seconds.append(time.perf_counter() - before)
    return rows**3 / min(seconds) * jax.device_count()
