"""How a train step takes the gradient of its loss: in which precision, and in how many parts of the batch."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.training.dynamic_scale import DynamicScale
from ml_collections import ConfigDict

from efficiency.errors import UserError
from efficiency.layers.fixed_point import rounded_tree, rounding_layers
from efficiency.layers.precision import FIXED
from efficiency.metrics import NOISE

# (params, extra, batch, key) -> (loss, what else of the state is new).
LossOfStep = Callable[[Any, Any, Any, jax.Array], tuple[jax.Array, dict[str, Any]]]
# Of each step's estimates, in the moving averages that are kept of them.
_SHARE = 0.05


class Found(NamedTuple):
    """What a step finds.

    Attributes:
        loss: of the batch.
        new: what else of the state is.
        gradients: of the parameters.
        state: see `Gradients.init`, after the step.
        finite: whether the gradients are, as a () bool; None where nothing asks.
    """

    loss: jax.Array
    new: dict[str, Any]
    gradients: Any
    state: Any
    finite: jax.Array | None = None


class Gradients(NamedTuple):
    """The way in which the steps of a stage take gradients.

    Attributes:
        precision: as in `config.precision`. In float16 the loss is scaled up, so that small gradients are not 0 there,
            by a scale that is halved after a step whose gradients overflow, which then changes nothing else, and
            doubled after 2,000 without one (Micikevicius et al., 2018, arXiv:1710.03740, section 3.2).
        microbatches: in how many parts of the batch, one after the other. Of more than one the noise is measured.
    """

    precision: str = 'float32'
    microbatches: int = 1

    def init(self) -> Any:
        """What steps hand on for it: () for nothing."""
        held = {}
        if self.precision == 'float16':
            scale = DynamicScale()
            held['loss_scale'] = scale.replace(fin_steps=np.int32(scale.fin_steps), scale=np.float32(scale.scale))
        if self.microbatches > 1:
            held['noise'] = {'weight': np.float32(0), 'square': np.float32(0), 'variance': np.float32(0)}
        return held or ()

    def of(self, loss: LossOfStep, state: Any, batch: Any, key: jax.Array) -> Found:
        """The loss of a batch and its gradient.

        Args:
            loss: of which the batch's gradient is the mean over its parts' where they are several.
            state: see `efficiency.training.step.TrainState`.
            batch: arrays by name, whose first axis is of the examples; a number is of all of them.
            key: a jax key, of this step alone.
        """
        if self.precision == 'float16':
            scale, finite, (value, new), gradients = state.gradients['loss_scale'].value_and_grad(loss, has_aux=True)(
                state.params, state.extra, batch, key
            )  # fmt: skip
            return Found(value, new, gradients, {'loss_scale': scale}, finite)
        if self.precision not in FIXED:
            return self._found(loss, state, batch, key)
        loss = _in_fixed_point(loss, self._rounding_key(key, 0))
        # Initial values are the only parameters that are no such numbers yet.
        found = self._found(loss, state.replace(params=rounded_tree(state.params, None)), batch, key)
        return found._replace(gradients=rounded_tree(found.gradients, self._rounding_key(key, 1)))

    def _found(self, loss: LossOfStep, state: Any, batch: Any, key: jax.Array) -> Found:
        if self.microbatches > 1:
            return self._in_parts(loss, state, batch, key)
        (value, new), gradients = jax.value_and_grad(loss, has_aux=True)(state.params, state.extra, batch, key)
        return Found(value, new, gradients, state.gradients)

    def kept(self, params: Any, key: jax.Array) -> Any:
        """Parameters after a step, in the numbers that there are."""
        return rounded_tree(params, self._rounding_key(key, 2)) if self.precision in FIXED else params

    def _rounding_key(self, key: jax.Array, number: int) -> jax.Array | None:
        """Of one kind of numbers that are rounded in a step."""
        if FIXED[self.precision] == 'nearest':
            return None
        own = jax.random.fold_in(jax.random.fold_in(key, 2**16), number)
        # A generator of the device's own, as so many draws by jax's default take a minute to compile.
        return jax.random.wrap_key_data(jnp.tile(jax.random.key_data(own), 2), impl='rbg')

    def _in_parts(self, loss: LossOfStep, state: Any, batch: Any, key: jax.Array) -> Found:
        count = self.microbatches

        def split(x):
            # Every so many examples, so that each device has its share of each part.
            if not jnp.ndim(x):
                return jnp.broadcast_to(x, (count,))
            return jnp.moveaxis(x.reshape(-1, count, *x.shape[1:]), 1, 0)

        def part(carry, each):
            extra, total = carry
            number, examples = each
            own = jax.random.fold_in(key, number)
            (value, new), found = jax.value_and_grad(loss, has_aux=True)(state.params, extra, examples, own)
            return (new['extra'], jax.tree.map(jnp.add, total, found)), (value, _square(found))

        start = state.extra, jax.tree.map(jnp.zeros_like, state.params)
        (extra, total), (values, squares) = jax.lax.scan(part, start, (jnp.arange(count), jax.tree.map(split, batch)))
        mean = jax.tree.map(lambda x: x / count, total)
        size = max(len(x) for x in jax.tree.leaves(batch) if jnp.ndim(x))
        noise = _later(state.gradients['noise'], squares.mean(), _square(mean), size // count, size)
        return Found(values.mean(), {'extra': extra}, mean, {'noise': noise})


def gradients_of(config: ConfigDict) -> Gradients:
    """How the steps of a stage take gradients.

    Args:
        config: the stage's.

    Raises:
        UserError: if the parts do not divide the batch, or cannot be taken in this precision.
    """
    batch, parts = config.batch_size, config.microbatches
    if batch % parts:
        near = max(1, round(batch / parts)) * parts
        raise UserError(f'config.microbatches {parts} does not divide batch_size {batch}; {near} would be divided')
    if parts > 1 and config.precision == 'float16':
        raise UserError('config.microbatches is more than 1 in float16, whose loss is scaled by whole batches; take 1')
    group = config.get('batch_norm_group')
    if group and batch // parts % group:
        raise UserError(
            f'config.microbatches {parts} makes parts of {batch // parts} examples, which batch_norm_group {group} '
            'does not divide'
        )
    return Gradients(config.precision, parts)


def noise_found(held: Any) -> dict[str, float]:
    """The averages that steps have handed on, for a point of the curve; of steps without parts, nothing.

    Returns:
        Those of `efficiency.metrics.NOISE`; the second over the first is the simple noise scale, in examples.
    """
    if not held or 'noise' not in held:
        return {}
    weight, *found = (float(held['noise'][name]) for name in ('weight', 'square', 'variance'))
    return {name: value / weight for name, value in zip(NOISE, found, strict=True)} if weight else {}


def _later(noise: dict[str, jax.Array], small: jax.Array, big: jax.Array, few: int, many: int) -> dict[str, jax.Array]:
    """Moving averages of the noise after one step more (McCandlish et al., 2018, arXiv:1812.06162, appendix A.1).

    Args:
        noise: the averages before, and how much of them there is.
        small, big: the mean squared norm of the gradients of parts, and that of their mean.
        few, many: examples of a part and of all.
    """
    estimates = {
        'weight': jnp.ones(()),
        'square': (many * big - few * small) / (many - few),
        'variance': (small - big) / (1 / few - 1 / many),
    }
    return {name: noise[name] + _SHARE * (value - noise[name]) for name, value in estimates.items()}


def _square(gradients: Any) -> jax.Array:
    return sum(jnp.sum(jnp.square(leaf.astype(jnp.float32))) for leaf in jax.tree.leaves(gradients))


def _in_fixed_point(loss: LossOfStep, key: jax.Array | None) -> LossOfStep:
    """A loss of which layers' numbers are in fixed point.

    It raises UserError if the network has no layer that rounds.
    """

    def wrapped(params, extra, batch, own):
        with rounding_layers(key) as found_any:
            found = loss(params, extra, batch, own)
            if not found_any():
                raise UserError(
                    'config.precision is of fixed point, which rounds what convolutions, linear layers and norms of '
                    'efficiency.layers and flax.linen take and give, and the network has none of them'
                )
        return found

    return wrapped
