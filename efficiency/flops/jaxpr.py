"""An exact count of a program's multiply-adds, from its jaxpr.

A jaxpr is the program as JAX traced it, before any compiler: the count is the same on every platform and for
every sharding. Matrix multiplies and convolutions are counted, in integers; element-wise work is not (on an
accelerator it is a few per cent, and no convention in use counts it).
"""

import collections
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal

import jax
import jax.extend.core.primitives as standard
from jax.extend.core import Var
from jax.interpreters import partial_eval as pe

from efficiency.errors import UserError
from efficiency.flops import convolution
from efficiency.flops.names import Place

Kind = Literal['forward', 'input_gradient', 'weight_gradient', 'matmul']
KINDS: tuple[Kind, ...] = ('forward', 'input_gradient', 'weight_gradient', 'matmul')


class CountError(UserError):
    """A program that cannot be counted; the message names the operation and the layer."""


@dataclasses.dataclass(frozen=True)
class Operation:
    """One convolution or matrix multiply of a program.

    Attributes:
        kind: of a convolution the pass it belongs to, or 'matmul'.
        layer: names of the scopes around it, joined by '/'.
        times: how often the program runs it.
        dense_macs, real_macs: of running it once (`efficiency.flops.convolution`; the same for a matmul).
        eqn: the jaxpr equation.
    """

    kind: Kind
    layer: str
    times: int
    dense_macs: int
    real_macs: int
    eqn: Any


@dataclasses.dataclass(frozen=True)
class Count:
    """What a program costs: its operations, and their sums in multiply-adds."""

    operations: tuple[Operation, ...]

    @property
    def dense_macs(self) -> int:
        return sum(op.times * op.dense_macs for op in self.operations)

    @property
    def real_macs(self) -> int:
        return sum(op.times * op.real_macs for op in self.operations)

    def by_kind(self) -> dict[Kind, 'Count']:
        """Split into convolutions' forward passes and two gradients, and matrix multiplies."""
        return {kind: Count(tuple(op for op in self.operations if op.kind == kind)) for kind in KINDS}

    def by_layer(self) -> dict[str, 'Count']:
        """Split by the name of the layer, in the order of the program."""
        layers = collections.defaultdict(list)
        for op in self.operations:
            layers[op.layer].append(op)
        return {layer: Count(tuple(ops)) for layer, ops in layers.items()}


def count(fn: Callable, *args: Any, trip_count: int | None = None, **kwargs: Any) -> Count:
    """Counts the multiply-adds of a JAX function, without running or compiling it.

    Counted: every matrix multiply and convolution, inside jit, scan (times its length), cond (its dearest
    branch), remat (what is recomputed counts again), vmap, shard_map (all devices), custom_jvp and custom_vjp.
    A switch by platform counts its default branch. What does not reach a result is not counted. Not counted:
    element-wise work, reductions, gathers, sorting, random numbers.

    Args:
        fn: any function that jax can trace.
        *args, **kwargs: its arguments: arrays or `jax.ShapeDtypeStruct`s.
        trip_count: how often the body of a `while` loop runs, where fn has one that multiplies.

    Raises:
        CountError: for a loop of unknown length, or an operation whose cost is not known here.
        ValueError: if trip_count is negative.
    """
    return count_jaxpr(jax.make_jaxpr(fn)(*args, **kwargs), trip_count)


def count_jaxpr(closed_jaxpr: Any, trip_count: int | None = None) -> Count:
    """As `count`, of a jaxpr (of `jax.make_jaxpr(fn)(...)` or `jax.jit(fn).trace(...).jaxpr`)."""
    if trip_count is not None and trip_count < 0:
        raise ValueError(f'trip_count is {trip_count}; a loop runs 0 times or more')
    jaxpr, _ = pe.dce_jaxpr(closed_jaxpr.jaxpr, [True] * len(closed_jaxpr.jaxpr.outvars))
    return Count(tuple(_walk(jaxpr, Place(), 1, trip_count)))


# Cost linear in their operands, or run on anything but multipliers.
_LIGHT = {p.name for p in vars(standard).values() if isinstance(p, jax.extend.core.Primitive)} | {
    'all_gather_invariant', 'copy_p', 'debug_callback', 'debug_print', 'layout_constraint', 'mesh_cast',
    'optimization_barrier', 'platform_index', 'psum_invariant', 'pvary', 'random_clone', 'random_unwrap',
    'random_wrap', 'reduce_scatter', 'reshard', 'split', 'stack', 'tile', 'unstack',
}  # fmt: skip
# Multiply in ways that are not counted here.
_LIGHT -= {
    'cholesky', 'custom_linear_solve', 'eig', 'eigh', 'fft', 'hessenberg', 'householder_product', 'lu', 'qr',
    'schur', 'svd', 'triangular_solve', 'tridiagonal', 'tridiagonal_solve',
}  # fmt: skip
# Between the reversal of a kernel and the convolution with it, in an input gradient: vmap folds examples into channels.
_SAME_VALUES = {'broadcast_in_dim', 'convert_element_type', 'copy', 'reshape', 'squeeze', 'transpose'}
# Their inner programs are one combining operation on scalars.
_SCALAR_BODIES = {'reduce', 'reduce_window', 'select_and_scatter', 'sort', 'reduce_precision'}


_Origin = Literal['reversed', 'gradient']


def _walk(
    jaxpr: Any, around: Place, times: int, trip_count: int | None, origins: Mapping[int, _Origin] = MappingProxyType({})
) -> Iterator[Operation]:
    origins = dict(origins)
    for eqn in jaxpr.eqns:
        name = eqn.primitive.name
        place = around.of(eqn)
        layer = '/'.join(place.scopes)

        def inner(body, more=1, place=place, eqn=eqn):
            body = getattr(body, 'jaxpr', body)
            # What an equation gives to its body comes last, behind a switch's index.
            given = zip(reversed(body.invars), reversed(eqn.invars), strict=False)
            there = {id(theirs): origins[id(ours)] for theirs, ours in given if id(ours) in origins}
            return _walk(body, place, times * more, trip_count, there)

        def fail(why, layer=layer, name=name):
            return CountError(f'cannot count {name!r} in {layer or "the program"}: {why}')

        if origin := _origin(eqn, place, origins):
            origins.update((id(var), origin) for var in eqn.outvars)
        if name == 'dot_general':
            yield _matmul(eqn, layer, times)
        elif name == 'conv_general_dilated':
            yield _convolution(eqn, layer, times, place, origins.get(id(eqn.invars[1])) == 'reversed')
        elif name == 'scan':
            yield from inner(eqn.params['jaxpr'], eqn.params['length'])
        elif name == 'while':
            condition, body = list(inner(eqn.params['cond_jaxpr'])), list(inner(eqn.params['body_jaxpr']))
            if (condition or body) and trip_count is None:
                raise fail('it multiplies, and how often it runs is not known before it runs; pass trip_count')
            # The condition is asked once more than the body runs.
            for ops, turns in ((condition, (trip_count or 0) + 1), (body, trip_count or 0)):
                yield from (dataclasses.replace(op, times=op.times * turns) for op in ops)
        elif name == 'cond':
            yield from _branch(eqn, inner, fail)
        elif name == 'shard_map':
            mesh, manual = eqn.params['mesh'], eqn.params['newly_manual_axes']
            yield from inner(eqn.params['jaxpr'], math.prod(mesh.shape[axis] for axis in manual))
        elif name in ('custom_jvp_call', 'custom_vjp_call'):
            yield from inner(eqn.params['call_jaxpr'])
        elif name.startswith('scatter') or name in _SCALAR_BODIES:
            continue
        elif bodies := list(_subjaxprs(eqn.params)):
            if name not in ('jit', 'pjit', 'closed_call', 'call', 'core_call', 'remat2', 'checkpoint'):
                raise fail('it holds a program of its own, and how often that runs is not known here')
            for body in bodies:
                yield from inner(body)
        elif name not in _LIGHT:
            raise fail('what it multiplies is not known here; write it with matrix multiplies or convolutions')


def _origin(eqn, place: Place, origins: Mapping[int, _Origin]) -> _Origin | None:
    """Whether what an equation gives is a kernel that was reversed, or a gradient, which may be reversed as well."""
    if eqn.primitive.name == 'rev' or eqn.primitive.name in _SAME_VALUES:
        known = origins.get(id(eqn.invars[0]))
        if eqn.primitive.name == 'rev' and (known is None or place.by_rule):
            return 'reversed'
        if known is not None or isinstance(eqn.invars[0], Var):
            return known
    return 'gradient' if place.transposes else None


def _subjaxprs(params: dict[str, Any]) -> Iterator[Any]:
    for value in params.values():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            if hasattr(item, 'eqns') or hasattr(getattr(item, 'jaxpr', None), 'eqns'):
                yield item


def _branch(eqn, inner, fail) -> list[Operation]:
    branches, platforms = eqn.params['branches'], eqn.params.get('branches_platforms')
    if platforms is not None:
        if None not in platforms:
            raise fail('a switch by platform without a default; add one')
        return list(inner(branches[platforms.index(None)]))
    return max(map(list, map(inner, branches)), key=lambda ops: sum(op.times * op.dense_macs for op in ops))


def _shapes(eqn) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    return eqn.invars[0].aval.shape, eqn.invars[1].aval.shape, eqn.outvars[0].aval.shape


def _matmul(eqn, layer: str, times: int) -> Operation:
    lhs, _, out = _shapes(eqn)
    (contracted, _), _ = eqn.params['dimension_numbers']
    macs = math.prod(out) * math.prod(lhs[axis] for axis in contracted)
    return Operation('matmul', layer, times, macs, macs, eqn)


def _convolution(eqn, layer: str, times: int, place: Place, rhs_is_reversed: bool) -> Operation:
    transposes = None if place.by_rule else place.transposes
    roles = convolution.roles(eqn.params, transposes, rhs_is_reversed)
    dense = convolution.dense_macs(eqn.params, *_shapes(eqn), roles)
    real = convolution.real_macs(eqn.params, *_shapes(eqn))
    return Operation(convolution.KIND_OF_RESULT[roles[2]], layer, times, dense, real, eqn)
