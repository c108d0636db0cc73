"""Initial values, drawn on the host: a network of a hundred shapes starts without a hundred compilations.

Each is a flax initializer `(key, shape, dtype) -> array`, a function of the key alone and the same on every
platform; under a trace it becomes a callback, so `jax.eval_shape` and `jax.jit` of a network's `init` work too.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import mlir
from jax.interpreters import partial_eval as pe
from jax.typing import DTypeLike

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


def uniform(bound: float) -> Initializer:
    """Uniform within a bound on either side of 0."""
    return _on_host(lambda generator, shape: generator.uniform(-bound, bound, shape))


def uniform_fan_in(fan_in: int) -> Initializer:
    """Uniform within 1 / sqrt(fan_in), the initial value of torch's convolutions and linear layers, bias included."""
    return uniform(1 / math.sqrt(fan_in))


def unit_uniform() -> Initializer:
    """Uniform around 0, and then scaled so that the deviation of the very numbers drawn is 1, by n - 1."""

    def draw(generator, shape):
        drawn = generator.uniform(-1, 1, shape)
        return drawn / drawn.std(ddof=1)

    return _on_host(draw)


def dirac() -> Initializer:
    """Of a kernel (k, k, in, out) the first `in` outputs hand on their inputs; the others are as torch draws them.

    Zagoruyko & Komodakis, 2017, arXiv:1706.00388; in this part as in cifar10-airbench.
    """

    def draw(generator, shape):
        bound = 1 / math.sqrt(math.prod(shape[:3]))
        kernel = generator.uniform(-bound, bound, shape)
        same = range(min(shape[2:]))
        kernel[..., same] = 0
        kernel[shape[0] // 2, shape[1] // 2, same, same] = 1
        return kernel

    return _on_host(draw)


def xavier_uniform() -> Initializer:
    """Uniform with variance 2 / (in + out) for a kernel (in, out) (Glorot & Bengio, 2010)."""

    def draw(generator, shape):
        bound = math.sqrt(6 / sum(shape))
        return generator.uniform(-bound, bound, shape)

    return _on_host(draw)


def orthogonal_gates() -> Initializer:
    """For each gate of a kernel (h, gates x h) an orthogonal matrix, all equally likely (Saxe et al., 2014)."""

    def draw(generator, shape):
        gates = generator.standard_normal((shape[1] // shape[0], shape[0], shape[0]))
        q, r = np.linalg.qr(gates)
        # The factorisation prefers signs.
        q *= np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None]
        return np.concatenate(q, axis=1)

    return _on_host(draw)


def forget_bias(value: float) -> Initializer:
    """Of an LSTM's biases (4h,) those of the forget gate, the second quarter; 0 for the others."""
    return _on_host(lambda generator, shape: np.repeat([0, value, 0, 0], shape[0] // 4))


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


def drawn(model: nn.Module, key: jax.Array, *inputs: jax.ShapeDtypeStruct) -> tuple[dict, Any]:
    """The variables of `model.init`, at the cost of a trace: nothing of the forward pass is compiled or run.

    Compiling `init` takes 10 to 50 seconds on a CPU for a network of images, and running it operation by operation as
    long. Here it is traced, reduced to what the variables depend on, and that is evaluated, the draws on the host
    directly. With initializers from elsewhere it works too, slower.

    Args:
        model: takes the inputs and `train`.
        key: `jax.random.key`.
        inputs: of one example or more.

    Returns:
        {'params': ..., 'batch_stats': ...}, numpy arrays; and what the model gives, as shapes.
    """
    init = partial(model.init_with_output, train=False)
    with ops.override('stock'):  # the shortest to trace, of which nothing is kept
        closed, (given, shapes) = jax.make_jaxpr(init, return_shape=True)(key, *inputs)
    wanted = [False] * len(jax.tree.leaves(given)) + [True] * len(jax.tree.leaves(shapes))
    jaxpr, _ = pe.dce_jaxpr(closed.jaxpr, wanted, instantiate=[True] + [False] * len(jax.tree.leaves(inputs)))
    leaves = map(np.asarray, jax.core.eval_jaxpr(jaxpr, closed.consts, key))
    return jax.tree.unflatten(jax.tree.structure(shapes), leaves), given
