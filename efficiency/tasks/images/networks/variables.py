"""The variables of a network of images: their shapes, and their first values, at the cost of a trace."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.extend.core import ClosedJaxpr, Var

from efficiency.errors import UserError, shown
from efficiency.layers import ops
from efficiency.layers.initializers import drawn


def variable_shapes(model: nn.Module, image_size: int) -> dict:
    """The variables of a network as `jax.ShapeDtypeStruct`s: {'params': ..., 'batch_stats': ...}; none is made."""
    return shapes_and_forward(model, image_size)[0]


def shapes_and_forward(model: nn.Module, image_size: int) -> tuple[dict, ClosedJaxpr | None]:
    """As `variable_shapes`, and by the same trace the forward pass over one image, as in evaluation.

    Its jaxpr takes a key and an image, which tracing had, and then the variables: what makes these is left out. None
    where that is not apart from the pass, as in a network that makes them inside of a jit or scan of its own.
    """
    init = partial(model.init_with_output, train=False)
    image = jax.ShapeDtypeStruct((1, image_size, image_size, 3), jnp.float32)
    with ops.override('stock'):  # the shortest to trace
        closed, (logits, shapes) = jax.make_jaxpr(init, return_shape=True)(jax.random.key(0), image)
    jaxpr, results = closed.jaxpr, len(jax.tree.leaves(logits))
    variables = {var for var in jaxpr.outvars[results:] if isinstance(var, Var)}
    rest = [eqn for eqn in jaxpr.eqns if not variables.issuperset(eqn.outvars)]
    if not variables.isdisjoint(var for eqn in rest for var in eqn.outvars):
        return shapes, None
    forward = jaxpr.replace(invars=[*jaxpr.invars, *variables], outvars=jaxpr.outvars[:results], eqns=rest)
    return shapes, ClosedJaxpr(forward, closed.consts)


def initialise(model: nn.Module, key: jax.Array, image_size: int) -> dict:
    """The variables of `model.init`, see `efficiency.layers.initializers.drawn`.

    Args:
        model: takes (n, size, size, 3) images and `train`. With initializers from elsewhere it works too, slower.
        key: `jax.random.key`.
        image_size: pixels a side.

    Returns:
        {'params': ..., 'batch_stats': ...}, numpy arrays.

    Raises:
        UserError: if the network does not give one row of logits, one for each of its `num_classes`, for an image.
    """
    image = jax.ShapeDtypeStruct((1, image_size, image_size, 3), jnp.float32)
    variables, logits = drawn(model, key, image)
    if getattr(logits, 'shape', None) != (1, model.num_classes):
        raise UserError(
            f'for one image {type(model).__name__} gives {shown(jax.tree.map(lambda leaf: leaf.shape, logits))}; '
            f'it must give logits of shape (1, {model.num_classes})'
        )
    return variables
