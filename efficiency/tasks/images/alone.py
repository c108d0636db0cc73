"""A network of images alone, to be counted."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from efficiency.data.batches import shapes_of_batch
from efficiency.tasks.images.data.splits import shapes_of_images
from efficiency.tasks.images.loss import loss_and_stats
from efficiency.tasks.images.networks import create_model, list_models, model_entry
from efficiency.tasks.images.networks.variables import shapes_and_forward
from efficiency.tasks.images.task import forward_pass
from efficiency.tasks.networks import Alone
from efficiency.tasks.task import Forward

__all__ = ['SIZES', 'alone', 'list_models', 'model_entry']

SIZES = ('image_size', 'num_classes')


def alone(
    name: str, batch_size: int, options: Mapping[str, Any], image_size: int | None = None, num_classes: int = 1000
) -> Alone:
    """See `efficiency.tasks.networks.alone`; `image_size` is the network's own where None.

    Raises:
        UserError: as there.
    """
    model = create_model(name, num_classes, image_size, options=options)
    size = model.image_size
    variables, evaluation = shapes_and_forward(model, size)

    def loss(params, extra, batch, key):
        return loss_and_stats(model, params, extra['batch_stats'], batch['image'], batch['label'], key)

    batch = shapes_of_batch(shapes_of_images((size, size, 3)), batch_size)
    batch['image'] = (batch['image'][0], jnp.float32)  # normalised already
    one = Forward(forward_pass(model), (jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32),))
    return Alone(model, {'batch_stats': {}, **variables}, evaluation, one, loss, batch, {'image_size': size})
