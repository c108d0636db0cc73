"""What steps and passes cost: by our count, by XLA's of what is lowered, and by what compilers make of them."""

import functools
from typing import Any

import jax

from efficiency.costs.counted import Counted
from efficiency.flops.ahead import Ahead, compile_ahead, topology_devices
from efficiency.flops.xla import flops_when_lowered
from efficiency.layers import ops
from efficiency.training.mesh import DataParallel
from efficiency.training.programs import multiplying, per_example, without_optimizer


def costs(counted: Counted) -> dict[str, Any]:
    """What a network or recipe costs for one example, in multiply-adds.

    Returns:
        'params', 'forward_dense_macs', 'forward_real_macs', 'train_dense_macs', 'train_real_macs', and
        'train_over_forward', a ratio of dense ones. What the optimizer multiplies is left out: it does not grow with
        the batch.
    """
    forward, train = counted.forward, without_optimizer(counted.train)
    train_dense, train_real = (per_example(macs, counted.batch_size) for macs in (train.dense_macs, train.real_macs))
    return {
        'params': counted.params,
        'forward_dense_macs': forward.dense_macs,
        'forward_real_macs': forward.real_macs,
        'train_dense_macs': train_dense,
        'train_real_macs': train_real,
        'train_over_forward': ratio(train_dense, forward.dense_macs),
    }


def ratio(part: float | None, whole: float) -> float | None:
    """None where there is nothing to compare, or nothing to compare with."""
    return part / whole if part is not None and whole else None


def xla_costs(counted: Counted) -> dict[str, Any]:
    """XLA's count of what is lowered, before it compiles, and how it compares.

    Returns:
        XLA's own floats 'xla_forward_flops', of one example, and 'xla_train_flops', of the step over its batch; each
        with half of it over the real multiply-adds, 'xla_forward_over_real' and 'xla_train_over_real'.
    """
    one = counted.pass_over_one
    traces = {
        'forward': (one.function, (counted.variables, *one.inputs), counted.forward),
        # Another function than the one that was counted, as jax remembers what it traced of that.
        'train': (functools.partial(counted.step), (counted.state, counted.batch), counted.train),
    }
    found = {}
    for name, (function, shapes, count) in traces.items():
        with ops.override('stock'), multiplying(counted.precision):
            flops = flops_when_lowered(jax.jit(function).trace(*shapes))
        found |= {f'xla_{name}_flops': flops, f'xla_{name}_over_real': ratio(flops, 2 * count.real_macs)}
    return found


def _compiled(counted: Counted, devices: DataParallel) -> Ahead:
    with multiplying(counted.precision):
        return compile_ahead(
            counted.step, counted.state, counted.batch, devices.replicated, devices.split, counted.trains
        )


def compiled_costs(counted: Counted) -> dict[str, Any]:
    """What the compiler makes of the train step on the devices here, the batch split among them.

    Returns:
        'devices', 'compiled_train_flops' (XLA's float, of one device, times devices; a loop's body is counted once;
        None where XLA does not say), 'compiled_over_real' (half of it over the real multiply-adds of the step),
        'compiled_mib_per_device', 'compile_seconds'.

    Raises:
        UserError: if the batch does not divide over the devices.
    """
    ahead = _compiled(counted, DataParallel(counted.batch_size))
    flops = ahead.flops
    return {
        'devices': ahead.devices,
        'compiled_train_flops': flops,
        'compiled_over_real': ratio(flops, 2 * counted.train.real_macs),
        'compiled_mib_per_device': ahead.bytes_per_device / 2**20,
        'compile_seconds': ahead.seconds,
    }


def topology_costs(counted: Counted, topology: str) -> dict[str, Any]:
    """What libtpu makes of the train step for a slice of TPU chips that is not here, the batch split among its devices.

    Returns:
        'topology', 'chips', 'flops_per_chip' (XLA's float), 'compiled_over_real' (half of that times chips, over the
        real multiply-adds of the step), 'mib_per_chip', 'collectives' (how many of each kind a step has),
        'collective_mib' (what a device gets of them in a step), 'compile_seconds'.

    Raises:
        UserError: if there is no such slice, the batch does not divide over its devices, or libtpu is not installed.
    """
    there, chips = topology_devices(topology)
    ahead = _compiled(counted, DataParallel(counted.batch_size, there))
    return {
        'topology': topology,
        'chips': chips,
        'flops_per_chip': ratio(ahead.flops, chips),
        'compiled_over_real': ratio(ahead.flops, 2 * counted.train.real_macs),
        'mib_per_chip': ahead.bytes_per_device * ahead.devices / chips / 2**20,
        'collectives': ', '.join(f'{number} {kind}' for kind, (number, _) in ahead.collectives.items()) or None,
        'collective_mib': sum(size for _, size in ahead.collectives.values()) / 2**20,
        'compile_seconds': ahead.seconds,
    }
