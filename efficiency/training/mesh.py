"""The devices as a mesh: the batch is split over all of them, everything else is on each."""

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from efficiency.errors import UserError


class DataParallel:
    """All devices of all hosts, the batch split among them.

    Attributes:
        mesh: one axis, 'data'.
        replicated: the sharding of state: whole on every device.
        split: the sharding of batches: by their first axis.
    """

    def __init__(self, batch_size: int):
        """Raises UserError if the batch does not divide over the devices."""
        devices = jax.devices()
        if batch_size % len(devices):
            near = max(1, round(batch_size / len(devices))) * len(devices)
            raise UserError(f'batch_size {batch_size} does not divide over {len(devices)} devices; {near} would')
        self.mesh = Mesh(np.array(devices), ('data',))
        self.replicated = NamedSharding(self.mesh, P())
        self.split = NamedSharding(self.mesh, P('data'))

    def put_batch(self, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
        """A batch that every host has whole, each device given its part."""
        return {
            name: jax.make_array_from_callback(value.shape, self.split, value.__getitem__)
            for name, value in batch.items()
        }

    def put_state(self, state):
        """A pytree that every host has whole, given to each device."""
        return jax.device_put(state, self.replicated)
