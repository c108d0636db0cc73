"""The devices as a mesh: the batch is split over all of them, everything else is on each."""

import collections
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from efficiency.data.batches import Host, Shapes
from efficiency.errors import UserError
from efficiency.training import hosts


class DataParallel:
    """All devices of all hosts, the batch split among them.

    Attributes:
        mesh: one axis, 'data'.
        replicated: the sharding of state: whole on every device.
        split: the sharding of batches: by their first axis.
    """

    def __init__(self, batch_size: int, devices: Sequence[jax.Device] | None = None):
        """Takes all devices that there are, or those; raises UserError if the batch does not divide over them."""
        if devices is None:
            if jax.process_index() != hosts.index():
                raise UserError(
                    f'the devices here are those of host {jax.process_index()}, not of host {hosts.index()}; where the '
                    'machines know which they are, leave --coordinator, --num_hosts and --host out'
                )
            # Those of a host side by side, as a host's part of a batch is one piece of it.
            devices = sorted(jax.devices(), key=lambda device: device.process_index)
            sizes = collections.Counter(device.process_index for device in devices)
            if len(set(sizes.values())) > 1:
                raise UserError(
                    f'the hosts have {sorted(sizes.values())} devices; each must have as many as the others'
                )
        self.mesh = Mesh(np.array(devices), ('data',), axis_types=(AxisType.Auto,))
        self.replicated = NamedSharding(self.mesh, P())
        self.split = NamedSharding(self.mesh, P('data'))
        self.check(batch_size)

    def check(self, batch_size: int) -> None:
        """Raises UserError if a batch does not divide over the devices."""
        count = self.mesh.size
        if batch_size % count:
            near = max(1, round(batch_size / count)) * count
            raise UserError(f'batch_size {batch_size} does not divide over {count} devices; {near} would')

    @property
    def host(self) -> Host:
        """Which part of each batch this host puts."""
        return Host(hosts.index(), hosts.count())

    def put_batch(self, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
        """A batch of which each host has its part, each device given its own; a number is whole on each."""
        shardings = {name: self.split if np.ndim(value) else self.replicated for name, value in batch.items()}
        if hosts.count() == 1:  # all of it in one call, which a small network's step would wait for
            return jax.device_put(batch, shardings)
        return {name: jax.make_array_from_process_local_data(shardings[name], value) for name, value in batch.items()}

    def shapes(self, arrays: Shapes) -> dict[str, jax.ShapeDtypeStruct]:
        """What `put_batch` makes of a batch of such arrays, each a shape and a dtype, without one."""
        return {
            name: jax.ShapeDtypeStruct(shape, dtype, sharding=self.split if shape else self.replicated)
            for name, (shape, dtype) in arrays.items()
        }

    def like(self, state: Any, carried: bool = False) -> Any:
        """What `put_state` makes of a pytree of arrays or shapes, without it."""

        def shape(leaf):
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=self._placed(leaf, carried))

        return jax.tree.map(shape, state)

    def put_state(self, state: Any, carried: bool = False) -> Any:
        """A pytree that every host has whole and alike (`hosts.agree`), given to each device.

        Args:
            state: of arrays.
            carried: whether it is what steps hand on, of which each device of one host takes its own part.
        """

        # `jax.device_put` would compile a comparison of the hosts for each shape.
        def put(leaf):
            return jax.make_array_from_process_local_data(self._placed(leaf, carried), np.asarray(leaf))

        return jax.tree.map(put, state)

    def _placed(self, leaf: Any, carried: bool) -> NamedSharding:
        """Of what is carried, whole where it does not divide; over several hosts always, as one of them saves it."""
        divides = np.ndim(leaf) > 0 and leaf.shape[0] % self.mesh.size == 0
        return self.split if carried and divides and hosts.count() == 1 else self.replicated
