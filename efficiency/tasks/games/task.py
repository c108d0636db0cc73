"""What the tasks of games share: a network of one input, a million moves or frames as an epoch, and a date."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from efficiency.layers.initializers import drawn
from efficiency.tasks.games import EPOCH
from efficiency.tasks.task import Forward, Task


class GameTask(Task):
    """A network on a game, which makes its own examples.

    What has a date is the way it learns, and not the network: `efficiency.tasks.games.published`.

    Attributes:
        shape: of what the network sees, (height, width, planes or channels).
    """

    epoch_examples = EPOCH
    network: nn.Module
    shape: tuple[int, ...]

    def _one(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((1, *self.shape), jnp.float32)

    def init(self, key: jax.Array) -> dict[str, Any]:
        return drawn(self.network, key, self._one())[0]

    def outline(self) -> tuple[dict[str, Any], Any]:
        return jax.eval_shape(self.network.init, jax.random.key(0), self._one()), None

    def _forward(self) -> Forward:
        return Forward(functools.partial(self.network.apply, train=False), (self._one(),))
