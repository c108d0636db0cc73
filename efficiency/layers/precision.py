"""The precisions that networks are trained in, by the names that configs have."""

import numpy as np

# In which parameters and the optimizer are kept in float32, of every task.
FLOATING = ('float32', 'bfloat16', 'float16')
# 16 bits of fixed point, simulated in float32 (`efficiency.layers.fixed_point`): how it rounds.
FIXED = {'fixed16': 'stochastic', 'fixed16_nearest': 'nearest'}


def dtype_of(precision: str) -> np.dtype:
    """The type of the arrays that layers multiply: of fixed point, that which it is simulated in."""
    import jax.numpy as jnp  # which knows bfloat16, and takes long to import where only the names are asked for

    return jnp.dtype('float32' if precision in FIXED else precision)
