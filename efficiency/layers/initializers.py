"""Initial values, drawn on the host: a network of a hundred shapes starts without a hundred compilations.

Each is a flax initializer `(key, shape, dtype) -> array`, a function of the key alone and the same on every
platform; under a trace it becomes a callback, so `jax.eval_shape` and `jax.jit` of a network's `init` work too.
"""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.core import ShapedArray
from jax.extend.core import ClosedJaxpr, Primitive, Var
from jax.interpreters import mlir
from jax.interpreters import partial_eval as pe
from jax.typing import DTypeLike

from efficiency.errors import UserError, shown
from efficiency.layers import ops

Initializer = Callable[..., jax.Array]


# A primitive of our own, because only that runs on the host at once when it is evaluated outside a trace.
_draw_p = Primitive('draw_on_host')


@_draw_p.def_impl
def _draw(key_data, *, draw, shape, dtype):
    seeds = np.asarray(key_data).tolist()
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(seeds)))
    return np.asarray(draw(generator, shape), dtype)


@_draw_p.def_abstract_eval
def _draw_shape(key_data, *, draw, shape, dtype):
    return ShapedArray(shape, dtype)


def _draw_in_program(key_data, **params):
    result = jax.ShapeDtypeStruct(params['shape'], params['dtype'])
    return jax.pure_callback(partial(_draw, **params), result, key_data)


mlir.register_lowering(_draw_p, mlir.lower_fun(_draw_in_program, multiple_results=False))


def _on_host(draw: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]) -> Initializer:
    def init(key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> jax.Array:
        return _draw_p.bind(jax.random.key_data(key), draw=draw, shape=tuple(shape), dtype=np.dtype(dtype))

    return init


def constant(value: float) -> Initializer:
    """The same value everywhere."""
    return _on_host(lambda generator, shape: np.full(shape, value))


def normal(stddev: float) -> Initializer:
    """Normal around 0."""
    return _on_host(lambda generator, shape: stddev * generator.standard_normal(shape))


def uniform_fan_in(fan_in: int) -> Initializer:
    """Uniform within 1 / sqrt(fan_in), the initial value of torch's convolutions and linear layers, bias included."""
    bound = 1 / math.sqrt(fan_in)
    return _on_host(lambda generator, shape: generator.uniform(-bound, bound, shape))


def kaiming_normal_fan_out() -> Initializer:
    """Normal with variance 2 / (kernel area x output channels) for a kernel (kh, kw, in / groups, out).

    He et al., 2015 (arXiv:1502.01852), with torch's reading of the fan of a grouped convolution.
    """

    def draw(generator, shape):
        return math.sqrt(2 / (shape[0] * shape[1] * shape[3])) * generator.standard_normal(shape)

    return _on_host(draw)


def kaiming_normal_fan_in() -> Initializer:
    """Normal with variance 2 / (kernel area x input channels of a group) for a kernel (kh, kw, in / groups, out)."""
    return _on_host(lambda generator, shape: math.sqrt(2 / math.prod(shape[:3])) * generator.standard_normal(shape))


def kaiming_uniform_fan_in() -> Initializer:
    """Uniform with variance 2 / (kernel area x input channels of a group) for a kernel (kh, kw, in / groups, out)."""

    def draw(generator, shape):
        bound = math.sqrt(6 / math.prod(shape[:3]))
        return generator.uniform(-bound, bound, shape)

    return _on_host(draw)


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
    """The variables of `model.init`, at the cost of a trace: nothing of the forward pass is compiled or run.

    Compiling `init` takes 10 to 50 seconds on a CPU for a network of this kind, and running it operation by
    operation as long. Here it is traced, reduced to what the variables depend on, and that is evaluated, the
    draws on the host directly.

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
    init = partial(model.init_with_output, train=False)
    with ops.override('stock'):  # the shortest to trace, of which nothing is kept
        closed, (logits, shapes) = jax.make_jaxpr(init, return_shape=True)(key, image)
    if getattr(logits, 'shape', None) != (1, model.num_classes):
        raise UserError(
            f'for one image {type(model).__name__} gives {shown(jax.tree.map(lambda leaf: leaf.shape, logits))}; '
            f'it must give logits of shape (1, {model.num_classes})'
        )
    jaxpr, _ = pe.dce_jaxpr(closed.jaxpr, [False] + [True] * len(jax.tree.leaves(shapes)))  # all but the logits
    leaves = map(np.asarray, jax.core.eval_jaxpr(jaxpr, closed.consts, key))
    return jax.tree.unflatten(jax.tree.structure(shapes), leaves)
