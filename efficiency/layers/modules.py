"""The layers that the networks are built of, on the operations of `ops` and with torch's definitions.

The networks measured here were published or reproduced in torch, so padding is explicit, initial values are
those of torch's layers unless a network says otherwise, and batch norm keeps the unbiased variance.
"""

import contextvars
import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike

from efficiency.layers import ops
from efficiency.layers.downsampling import Downsampling
from efficiency.layers.initializers import Initializer, constant, uniform_fan_in
from efficiency.layers.normalisation import Moments, moments, normalised


class Conv(nn.Module):
    """2-D convolution, kernel, stride and padding the same in both directions. (n, h, w, in) -> (n, h', w', features).

    Attributes:
        kernel_init, bias_init: of the kernel (kh, kw, in / groups, features) and the bias; torch's default where None.
    """

    features: int
    kernel: int
    stride: int = 1
    padding: int = 0
    groups: int = 1
    bias: bool = True
    kernel_init: Initializer | None = None
    bias_init: Initializer | None = None
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.kernel, self.kernel, x.shape[3] // self.groups, self.features)
        default_init = uniform_fan_in(math.prod(shape[:3]))
        kernel = self.param('kernel', self.kernel_init or default_init, shape)
        padding = (self.padding, self.padding)
        x = ops.conv2d(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            strides=(self.stride, self.stride),
            padding=(padding, padding),
            groups=self.groups,
        )
        if self.bias:
            x = x + self.param('bias', self.bias_init or default_init, (self.features,)).astype(self.dtype)
        return x


def product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """x @ kernel, (..., in) and (in, features) -> (..., features), as a product of two matrices.

    So is the kernel's gradient then. With more axes to add up over XLA would copy both factors first, transposed.
    """
    return (x.reshape(-1, x.shape[-1]) @ kernel).reshape(*x.shape[:-1], kernel.shape[1])


class Dense(nn.Module):
    """Linear layer. (..., in) -> (..., features)."""

    features: int
    kernel_init: Initializer | None = None
    bias_init: Initializer | None = None
    dtype: DTypeLike = jnp.float32
    bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        default_init = uniform_fan_in(x.shape[-1])
        kernel = self.param('kernel', self.kernel_init or default_init, (x.shape[-1], self.features))
        x = product(x.astype(self.dtype), kernel.astype(self.dtype))
        if self.bias:
            x = x + self.param('bias', self.bias_init or default_init, (self.features,)).astype(self.dtype)
        return x


# How many examples in a row batch norm normalises together in training, 0 for the whole batch; see `NormInGroups`.
_norm_group: contextvars.ContextVar[int] = contextvars.ContextVar('norm_group', default=0)


class BatchNorm(nn.Module):
    """Batch normalisation over everything but channels (Ioffe & Szegedy, 2015), statistics in float32.

    Under `jit` over a sharded batch the mean and variance are those of the whole batch, on all devices, or, inside of
    a `NormInGroups`, those of each group of examples: the result does not depend on how many devices there are.

    Attributes:
        train: normalise by this batch's statistics and update the running ones, or use the running ones.
        momentum: weight of this batch in the running statistics (torch's meaning).
    """

    train: bool
    momentum: float = 0.1
    epsilon: float = 1e-5
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, known: Moments | None = None) -> jax.Array:
        """(..., c) -> the same.

        Args:
            known: in training, what `batch_moments` says of x, where that is known.
        """
        channels = x.shape[-1:]
        running_mean = self.variable('batch_stats', 'mean', np.zeros, channels, np.float32)
        running_var = self.variable('batch_stats', 'var', np.ones, channels, np.float32)
        scale = self.param('scale', constant(1), channels)
        bias = self.param('bias', constant(0), channels)

        def normalise(x, mean, var):
            return normalised(self.epsilon, self.dtype, x, mean, var, scale, bias)

        if not self.train:
            return normalise(x, running_mean.value, running_var.value)
        mean, var = known or batch_moments(x)
        groups = len(mean) if mean.ndim == 2 else 1
        if not self.is_initializing():
            count = math.prod(x.shape[:-1]) // groups
            unbiased = var * (count / max(1, count - 1))
            of_batch = (mean, unbiased) if mean.ndim == 1 else (mean.mean(0), unbiased.mean(0))
            for running, value in zip((running_mean, running_var), of_batch, strict=True):
                running.value += self.momentum * (value - running.value)
        if mean.ndim == 1:
            return normalise(x, mean, var)
        return jax.vmap(normalise)(x.reshape(groups, -1, *x.shape[1:]), mean, var).reshape(x.shape)


def batch_moments(x: jax.Array) -> Moments:
    """Mean and variance by which batch norm normalises in training, of each channel: (n, ..., c) -> (c,), (c,).

    Inside of a `NormInGroups` of each group of examples, (groups, c).
    """
    group = _norm_group.get() or len(x)
    if len(x) % group:
        raise ValueError(f'{len(x)} examples are no whole number of groups of {group} to normalise')
    return moments(x) if group == len(x) else jax.vmap(moments)(x.reshape(-1, group, *x.shape[1:]))


class NormInGroups(nn.Module):
    """A network whose batch norms take, in training, each group of examples for itself; the variables are its own.

    A group is `size` examples that follow one another in the whole batch, on however many devices that is: torch's
    DataParallel and DistributedDataParallel, which normalise each device's part, made a matter of the recipe. The
    running statistics move towards the mean over the groups of their means and unbiased variances, so that every
    example counts; torch's keep those of the first device's part. With groups that divide a device's part, no example's
    value waits for another device's.

    Attributes:
        grouped_network: takes (n, h, w, c) images and `train`; in training n must be a multiple of `size`.
        size: examples of a group.
    """

    grouped_network: nn.Module  # a name that no network has for a layer, as they share one scope
    size: int

    @property
    def num_classes(self) -> int:
        """The width of the network's last layer."""
        return self.grouped_network.num_classes

    def setup(self):
        nn.share_scope(self, self.grouped_network)

    def __call__(self, images: jax.Array, train: bool):
        token = _norm_group.set(self.size)
        try:
            return self.grouped_network(images, train=train)
        finally:
            _norm_group.reset(token)


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, activation. (n, h, w, in) -> (n, h', w', features).

    Attributes:
        padding: half the kernel where None, which keeps a map's size at stride 1.
        activation: None for none.
        names: of the convolution and of the batch norm.
        momentum, epsilon: of the batch norm.
    """

    features: int
    kernel: int
    stride: int = 1
    padding: int | None = None
    groups: int = 1
    activation: Callable[[jax.Array], jax.Array] | None = nn.relu
    kernel_init: Initializer | None = None
    names: tuple[str, str] = ('0', '1')
    momentum: float = 0.1
    epsilon: float = 1e-5
    train: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        conv, norm = self.names
        padding = (self.kernel - 1) // 2 if self.padding is None else self.padding
        x = Conv(
            self.features, self.kernel, self.stride, padding, self.groups, bias=False, kernel_init=self.kernel_init,
            dtype=self.dtype, name=conv,
        )(x)  # fmt: skip
        x = BatchNorm(self.train, self.momentum, self.epsilon, self.dtype, name=norm)(x)
        return self.activation(x) if self.activation else x


class SqueezeExcite(nn.Module):
    """Scales each channel by what the means of all say (Hu et al., 2018, arXiv:1709.01507). (n, h, w, c) -> the same.

    Attributes:
        features: in between.
        activation: in between; the scale is a sigmoid.
    """

    features: int
    activation: Callable[[jax.Array], jax.Array] = nn.relu
    kernel_init: Initializer | None = None
    bias_init: Initializer | None = None
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        conv = partial(Conv, kernel=1, kernel_init=self.kernel_init, bias_init=self.bias_init, dtype=self.dtype)
        scale = jnp.mean(x, axis=(1, 2), keepdims=True)
        scale = self.activation(conv(self.features, name='fc1')(scale))
        return x * nn.sigmoid(conv(x.shape[3], name='fc2')(scale))


class StochasticDepth(nn.Module):
    """Leaves a residual branch out for some images of a batch (Huang et al., 2016, arXiv:1603.09382).

    Attributes:
        rate: the share left out in training; what stays is scaled up by 1 / (1 - rate).
    """

    rate: float
    train: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if not self.train or self.rate == 0:
            return x
        kept = jax.random.bernoulli(self.make_rng('dropout'), 1 - self.rate, (x.shape[0], *[1] * (x.ndim - 1)))
        return jnp.where(kept, x / (1 - self.rate), 0).astype(x.dtype)


def max_pool(x: jax.Array, kernel: int, stride: int, padding: int = 0, ceil: bool = False) -> jax.Array:
    """The largest value of every square window; `ceil` as torch's ceil_mode. (n, h, w, c) -> (n, h', w', c)."""
    pads = []
    for size in x.shape[1:3]:
        count = Downsampling(kernel, stride, padding, ceil=ceil).output_size(size)
        pads.append((padding, max(padding, (count - 1) * stride + kernel - size - padding)))
    return ops.max_pool(x, (kernel, kernel), (stride, stride), tuple(pads))


def adaptive_avg_pool(x: jax.Array, size: int) -> jax.Array:
    """Averages to a map of size x size, each over its even share of the input (torch's AdaptiveAvgPool2d).

    Args:
        x: (n, h, w, c), any h and w.

    Returns:
        (n, size, size, c).
    """
    for axis in (1, 2):
        length = x.shape[axis]
        if length != size:
            shares = [(i * length // size, -(-(i + 1) * length // size)) for i in range(size)]
            x = jnp.concatenate(
                [jax.lax.slice_in_dim(x, *share, axis=axis).mean(axis, keepdims=True) for share in shares], axis
            )
    return x
