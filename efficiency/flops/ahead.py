"""Compiling ahead of time, for the devices here or for TPUs that are not: what the executable costs, and sends."""

import dataclasses
import importlib.util
import math
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from jax.experimental import topologies

from efficiency.errors import UserError, out_of_memory
from efficiency.flops.xla import flops_when_compiled

# Slices of chips that can be had, by generation (cloud.google.com/tpu/docs, the page of each).
_FLAT = ('2x2', '4x4', '4x8', '8x8', '8x16', '16x16')
_CUBES = ('2x2x1', '2x2x2', '2x2x4', '2x4x4', '4x4x4', '4x4x8', '4x8x8', '8x8x8', '8x8x16', '8x16x16')
TOPOLOGIES: Mapping[str, Sequence[str]] = {
    'v2': _FLAT,
    'v3': (*_FLAT, '16x32', '32x32'),
    'v4': (*_CUBES, '8x8x12'),
    'v5e': ('1x1', '2x4', *_FLAT),
    'v5p': (*_CUBES, '16x16x16', '16x16x24'),
    'v6e': ('1x1', '2x4', *_FLAT),
    'tpu7x': _CUBES,
}
# libtpu looks for a machine otherwise; it reads these when it is loaded.
_ENVIRONMENT = {
    'TPU_SKIP_MDS_QUERY': '1',
    'TPU_WORKER_HOSTNAMES': 'localhost',
    'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',
}


@dataclasses.dataclass(frozen=True)
class Ahead:
    """An executable that was compiled and not run.

    Attributes:
        devices: how many it is for.
        flops: XLA's, over all devices, a loop's body counted once; None where XLA does not say.
        bytes_per_device: the most memory that it holds: its arguments, results and what lies between.
        bytes_moved: what a device's operations read and write, by XLA, whichever memory it lies in; None where XLA does
            not say.
        collectives: by kind ('all-reduce'), how many the program has and how many bytes a device's results of them
            take, a loop's body counted once.
        seconds: that compiling took.
    """

    devices: int
    flops: float | None
    bytes_per_device: int
    bytes_moved: float | None
    collectives: dict[str, tuple[int, int]]
    seconds: float


def compile_ahead(
    step: Callable,
    state: Any,
    batch: Any,
    replicated: jax.sharding.Sharding,
    split: jax.sharding.Sharding,
    donate: bool = False,
) -> Ahead:
    """Compiles a train step for the devices of its shardings; nothing is run, and no array is made.

    Args:
        step: (state, batch) -> anything.
        state, batch: as shapes.
        replicated, split: shardings of the state and of the batch, over the same devices.
        donate: whether the step's results take the place of the state, as in training.

    Raises:
        UserError: if it does not fit into the memory of a device.
    """

    def placed(tree, sharding):
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree)

    lowered = jax.jit(step, out_shardings=replicated, donate_argnums=(0,) if donate else ()).lower(
        placed(state, replicated), placed(batch, split)
    )
    before = time.perf_counter()
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        if sentence := out_of_memory(error):
            raise UserError(sentence) from error
        raise
    seconds = time.perf_counter() - before
    devices = len(replicated.device_set)
    memory = compiled.memory_analysis()
    held = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    return Ahead(
        devices=devices,
        flops=flops_when_compiled(compiled, devices),
        bytes_per_device=held - memory.alias_size_in_bytes,
        bytes_moved=(compiled.cost_analysis() or {}).get('bytes accessed'),
        collectives=collectives(compiled.as_text()),
        seconds=seconds,
    )


def leave_tpus_alone() -> None:
    """Has libtpu compile without a TPU, and jax keep to the CPU from here on; best before it is asked for anything."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    jax.config.update('jax_platforms', 'cpu')


def topology_devices(name: str) -> tuple[Sequence[Any], int]:
    """The devices of a slice of TPU chips that is not here, and how many chips they are on.

    Args:
        name: generation and shape, as 'v5e:16x16', see `TOPOLOGIES`; of several such slices, with the data centre's
            network between them, '4xv5e:16x16'. jax keeps to the CPU afterwards.

    Raises:
        UserError: if there is no such slice, or libtpu is not installed.
    """
    check_topology(name)
    leave_tpus_alone()
    slices, one = _slices(name)
    chips = math.prod(int(side) for side in one.partition(':')[2].split('x'))
    # A slice of one chip is a part of a host, which libtpu does not guess.
    options: dict[str, Any] = {'chips_per_host_bounds': (1, 1, 1)} if chips == 1 else {}
    if slices > 1:
        options['num_slices'] = slices
    return topologies.get_topology_desc(one, 'tpu', **options).devices, slices * chips


def _slices(name: str) -> tuple[int, str]:
    """How many slices, and what each is."""
    several = re.fullmatch(r'([2-9]|[1-5]\d|6[0-4])x(.*)', name)
    return (int(several[1]), several[2]) if several else (1, name)


def check_topology(name: str) -> None:
    """Raises UserError if there is no such slice, with those that there are, or if libtpu is not installed."""
    generation, _, shape = _slices(name)[1].partition(':')
    if generation not in TOPOLOGIES:
        examples = ', '.join(f'{known}:{shapes[0]} to {shapes[-1]}' for known, shapes in TOPOLOGIES.items())
        raise UserError(f'there is no TPU topology {name!r}; there are {examples}')
    if shape not in TOPOLOGIES[generation]:
        known = ', '.join(f'{generation}:{shape}' for shape in TOPOLOGIES[generation])
        raise UserError(f'there is no TPU topology {name!r}; of {generation} there are {known}')
    if importlib.util.find_spec('libtpu') is None:
        raise UserError('compiling for a TPU needs libtpu: pip install ".[tpu-aot]"')


# (f32[64]{0:T(256)}, f32[]) all-reduce-start(...): types, then the operation.
_COLLECTIVE = re.compile(
    r'= (.*?) (all-reduce|all-gather|reduce-scatter|(?:ragged-)?all-to-all|collective-(?:permute|broadcast)|send)'
    r'(-start)?\('
)
_ARRAY = re.compile(r'\b(pred|[a-z]+(\d+)\w*)\[([\d,]*)\]')


def collectives(hlo: str) -> dict[str, tuple[int, int]]:
    """How many collectives of each kind an HLO module has, and how many bytes their results take on a device.

    What goes to other slices, through the hosts, is of the kind 'send'.
    """
    found: dict[str, tuple[int, int]] = {}
    for line in hlo.splitlines():
        operation = _COLLECTIVE.search(line)
        if operation is None:
            continue
        types, kind, asynchronous = operation.groups()
        if kind == 'send' or (asynchronous and kind != 'all-reduce'):
            # What starts holds its operands, as many results but of a send, and maybe contexts.
            types = types.replace('u32[]', '')
        sizes = [math.prod(map(int, filter(None, dims.split(',')))) * _width(kind_of, bits)
                 for kind_of, bits, dims in _ARRAY.findall(types)]  # fmt: skip
        if asynchronous and kind != 'all-reduce':
            sizes = sizes[len(sizes) // 2 :]
        number, total = found.get(kind, (0, 0))
        found[kind] = number + 1, total + sum(sizes)
    return dict(sorted(found.items()))


def _width(name: str, bits: str) -> float:
    return 1 if name == 'pred' else int(bits) / 8
