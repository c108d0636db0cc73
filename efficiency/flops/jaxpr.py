"""An exact count of a program's multiply-adds, from its jaxpr.

A jaxpr is the program as JAX traced it, before any compiler: the count is the same on every platform and for
every sharding. Matrix multiplies and convolutions are counted, in integers; element-wise work is not (on an
accelerator it is a few per cent, and no convention in use counts it).
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any

import numpy as np

from efficiency.errors import shown
from efficiency.flops import convolution
from efficiency.flops.counts import Count, Kernel, Operation
from efficiency.flops.known import Known, turns
from efficiency.flops.loops import Loops, TripCount
from efficiency.flops.names import Place, is_transposed_convolution
from efficiency.flops.reach import Block, open_jaxpr, reaching, takes_operands
from efficiency.flops.rules import LIGHT, STATED, Rules, advice, check_rules, is_light, macs_by, real_products
from efficiency.flops.tracing import CountError, trace

# Matrix multiplies by other names, whose last dimension of the first operand is summed over.
_SCALED = {'scaled_dot', 'scaled_matmul_wrapper', 'scaled_matmul'}
# A kernel's grid of more elements is not gone through one by one.
_MOST_ELEMENTS = 4096
_NO_RULES: Rules = MappingProxyType({})


def count(fn: Callable, /, *args: Any, trip_count: TripCount = None, rules: Rules = _NO_RULES, **kwargs: Any) -> Count:
    """Counts the multiply-adds of a JAX function, without running or compiling it.

    Counted: every matrix multiply and convolution, inside jit, scan (times its length), while (times its turns, where
    constants bound them), cond (its dearest branch), remat (what is recomputed counts again), vmap, shard_map (all
    devices), custom derivatives, Pallas kernels (their body times their grid). A switch by platform counts its default
    branch. A complex product is four. What reaches neither a result nor anything that is changed in place (NNX modules,
    `jax.Ref`s) is not counted. Not counted: element-wise work, a product that sums over nothing (an outer product is
    element-wise), reductions, gathers, sorting, random numbers. FFTs and factorisations are counted by the rules in
    `efficiency.flops.rules.STATED`.

    Args:
        fn: any function that jax can trace.
        *args, **kwargs: its arguments; arrays or `jax.ShapeDtypeStruct`s in them stand for any of their shape, all else
            is taken as it is.
        trip_count: how often the body of a `while` loop runs, where fn has one that multiplies and does not say: for
            all such loops, or a list in their order, or by their scope.
        rules: of operations by name, what running each costs: a number of multiply-adds, or a function of its equation.

    Raises:
        CountError: for a loop of unknown length, an operation whose cost is not known here, or no function.
        ValueError: if a trip_count is no whole number, or negative.
    """
    return count_jaxpr(trace(fn, args, kwargs), trip_count, rules)


def count_jaxpr(closed_jaxpr: Any, trip_count: TripCount = None, rules: Rules = _NO_RULES) -> Count:
    """As `count`, of a jaxpr (of `jax.make_jaxpr(fn)(...)` or `jax.jit(fn).trace(...).jaxpr`).

    A gradient with convolutions has to be made within `efficiency.flops.tracing`, so that its passes can be told apart.
    """
    jaxpr = open_jaxpr(closed_jaxpr)
    if not hasattr(jaxpr, 'eqns'):
        raise CountError(f'only a jaxpr can be counted here, not {shown(closed_jaxpr)}; count() takes a function')
    check_rules(rules)
    block, loops = reaching(jaxpr), Loops(trip_count)
    constants = dict(zip(jaxpr.constvars, getattr(closed_jaxpr, 'consts', ()), strict=False))
    known = Known(jaxpr, {var: (lambda value=value: value) for var, value in constants.items()})

    def walk() -> Count:
        return Count(tuple(_Walk(rules, loops).operations(block, Place(), 1, known)))

    counted = walk()
    return walk() if loops.settle() else counted


@dataclasses.dataclass(frozen=True)
class _Walk:
    """A walk over the equations that reach a result.

    Attributes:
        rules: the user's.
        loops: whose turns the user says.
        kernel: that the equations are part of.
        within: the scopes around the innermost loop or branch that they are in, with those that loops and branches are.
        scopes_within: how many of them a place has as well.
    """

    rules: Rules
    loops: Loops
    kernel: Kernel | None = None
    within: tuple[str, ...] = ()
    scopes_within: int = 0

    def operations(self, block: Block, around: Place, times: int, known: Known) -> Iterator[Operation]:
        """Those of a block that runs so often."""
        for node in block.nodes:
            eqn, name = node.eqn, node.eqn.primitive.name
            if name in LIGHT and not node.blocks and name not in self.rules:
                continue
            place = around.of(eqn)
            layer = '/'.join(place.scopes)

            def inner(body, more=1, place=place, eqn=eqn, walk=self):
                return walk.operations(body, place, times * more, known.inside(eqn, body.jaxpr))

            def fail(why, layer=layer, name=name):
                return CountError(f'cannot count {name!r} in {layer or "the program"}: {why}')

            def operation(kind, dense, real=None, rule=None, conv_pass=None, layer=layer, eqn=eqn):
                real = dense if real is None else real
                return Operation(kind, layer, times, dense, real, eqn, rule, self.kernel, conv_pass)

            if name in self.rules:
                yield operation('rule', macs_by(self.rules[name], eqn), rule='given with the call')
            elif name == 'dot_general':
                if macs := _matmul(eqn, place):
                    yield operation('matmul', macs)
            elif name == 'conv_general_dilated':
                conv_pass, dense, real = _convolution(eqn, place, fail)
                yield operation('convolution', dense, real, conv_pass=conv_pass)
            elif name == 'ragged_dot_general':
                yield operation('matmul', _ragged(eqn))
            elif name in _SCALED:
                yield operation('matmul', _scaled(eqn))
            elif name == 'scan':
                yield from inner(node.blocks[0], eqn.params['length'])
            elif name == 'while':
                yield from self._while(eqn, node.blocks, inner, place, known)
            elif name == 'cond':
                yield from self._branch(eqn, node.blocks, inner, place, fail)
            elif name == 'shard_map':
                mesh, manual = eqn.params['mesh'], eqn.params['newly_manual_axes']
                yield from inner(node.blocks[0], math.prod(mesh.shape[axis] for axis in manual))
            elif name == 'pallas_call':
                yield from self._kernel(eqn, node.blocks[0], place, times, layer, fail)
            elif name == 'custom_linear_solve':
                yield from inner(next(b for b in node.blocks if b.jaxpr is open_jaxpr(eqn.params['jaxprs'].solve)))
            elif node.blocks:
                yield from _once(eqn, node.blocks, inner, fail)
            elif name in STATED:
                macs, statement = STATED[name]
                yield operation('rule', macs(eqn), rule=statement)
            elif not is_light(eqn):
                raise fail(advice(name))

    def _scope(self, place: Place) -> str:
        """What a loop's name begins with: the scopes, loops and branches around it."""
        return '/'.join((*self.within, *place.scopes[self.scopes_within :]))

    def _within(self, place: Place, label: str) -> '_Walk':
        within = (*self.within, *place.scopes[self.scopes_within :], label)
        return dataclasses.replace(self, within=within, scopes_within=len(place.scopes))

    def _branch(self, eqn, blocks, inner, place, fail) -> list[Operation]:
        platforms = eqn.params.get('branches_platforms')
        if platforms is not None:
            if None not in platforms:
                raise fail('a switch by platform without a default; add one')
            return list(inner(blocks[platforms.index(None)]))
        branches = [list(inner(b, walk=self._within(place, f'branch_{i}'))) for i, b in enumerate(blocks)]
        return max(branches, key=lambda ops: sum(op.times * op.dense_macs for op in ops))

    def _while(self, eqn, blocks, inner, place, known) -> list[Operation]:
        number = self.loops.enter(self._scope(place))
        condition, body = (list(inner(block, walk=self._within(place, 'while'))) for block in blocks)
        times = turns(eqn, known) if condition or body else 0
        self.loops.leave(number, bool(condition or body) and times is None)
        times = self.loops.turns(number) if times is None else times
        # The condition is asked once more than the body runs.
        return [_repeated(op, each) for ops, each in ((condition, times + 1), (body, times)) for op in ops]

    def _kernel(self, eqn, block, place, times, layer, fail) -> list[Operation]:
        """A kernel's body for each element of its grid, one by one where they decide how long a loop is."""
        grid = eqn.params['grid_mapping'].grid
        if not all(isinstance(side, int) for side in grid):
            raise fail("its grid is not known before it runs; say what it costs, as rules={'pallas_call': macs}")
        estimate = eqn.params.get('cost_estimate')
        name = str(eqn.params.get('name') or '')
        kernel = Kernel(name, layer, times, tuple(grid), None if estimate is None else estimate.flops, eqn)

        def walk(loops, times, point=None):
            walk = dataclasses.replace(self, kernel=kernel, loops=loops)
            return list(walk.operations(block, place, times, Known(block.jaxpr, {}, point)))

        elements, loops = math.prod(grid), Loops(None)
        found = walk(loops, times * elements)
        if loops.are_known:
            return found
        if elements <= _MOST_ELEMENTS:
            loops = Loops(None)
            found = [op for point in np.ndindex(*grid) for op in walk(loops, times, point)]
            if loops.are_known:
                return _added_up(found)
        return walk(self.loops, times * elements)


def _added_up(operations: list[Operation]) -> list[Operation]:
    """Each of several operations once, as often as all of the same equation and layer."""
    found: dict[Any, Operation] = {}
    for op in operations:
        key = id(op.eqn), op.layer
        found[key] = dataclasses.replace(op, times=op.times + found[key].times) if key in found else op
    return list(found.values())


def _repeated(op: Operation, times: int) -> Operation:
    kernel = op.kernel and dataclasses.replace(op.kernel, times=op.kernel.times * times)
    return dataclasses.replace(op, times=op.times * times, kernel=kernel)


def _once(eqn, blocks, inner, fail) -> list[Operation]:
    """Of an operation that holds a program and runs it once on what it is given itself."""
    found = [list(inner(block)) for block in blocks]
    runs_once = len(blocks) == 1 and takes_operands(eqn, blocks[0].jaxpr) and eqn.params.get('mesh') is None
    if any(found) and not (runs_once or eqn.primitive.name == 'run_scoped'):
        name = eqn.primitive.name
        raise fail(
            'it holds a program of its own, and how often that runs is not known here; say what it costs, as '
            f'rules={{{name!r}: macs}}'
        )
    return [op for ops in found for op in ops]


def _shapes(eqn) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    return eqn.invars[0].aval.shape, eqn.invars[1].aval.shape, eqn.outvars[0].aval.shape


def _matmul(eqn, place: Place) -> int:
    """Results x terms of each; none if the product that was written adds nothing up, as an outer product does not."""
    lhs, rhs, out = _shapes(eqn)
    (summed, theirs), (batch, their_batch) = eqn.params['dimension_numbers']
    # Axes that the left operand, the right one and the result lack.
    lacking = len(rhs) - len(theirs) - len(their_batch), len(lhs) - len(summed) - len(batch), len(summed)
    where = 2
    for operand in place.gradients:
        # The result's gradient comes first in both, the other operand second, and what is given is the operand's.
        where = {'lhs': (2, 1, 0), 'rhs': (1, 2, 0)}[operand][where]
    is_gradient_of_another = place.transposes and not (place.gradients or place.by_rule)
    if not (lacking[where] or is_gradient_of_another):
        return 0
    return math.prod(out) * math.prod(lhs[axis] for axis in summed) * real_products(*eqn.invars)


def _ragged(eqn) -> int:
    """Each row meets the matrix of its own group alone, however the groups lie."""
    lhs, rhs, _ = _shapes(eqn)
    numbers = eqn.params['ragged_dot_dimension_numbers']
    (_, contracted), (_, batch) = numbers.dot_dimension_numbers
    shared = {*contracted, *batch, *numbers.rhs_group_dimensions}
    columns = math.prod(size for axis, size in enumerate(rhs) if axis not in shared)
    return math.prod(lhs) * columns * real_products(*eqn.invars[:2])


def _scaled(eqn) -> int:
    lhs, _, out = _shapes(eqn)
    numbers = eqn.params.get('dimension_numbers')
    return math.prod(out) * (math.prod(lhs[axis] for axis in numbers[0][0]) if numbers else lhs[-1])


def _convolution(eqn, place: Place, fail) -> tuple[Any, int, int]:
    """Its pass, and its dense and real multiply-adds."""

    def dense(roles):
        return times * convolution.dense_macs(eqn.params, *_shapes(eqn), roles, spreads)

    spreads = is_transposed_convolution(eqn)
    times = real_products(*eqn.invars)
    real = times * convolution.real_macs(eqn.params, *_shapes(eqn))
    if not place.is_told_apart and len(set(map(dense, convolution.ROLES))) > 1:
        raise fail(
            'which pass of a gradient it is cannot be told from this jaxpr; count the function itself, or make the '
            'jaxpr within efficiency.flops.tracing()'
        )
    roles = convolution.roles(place.gradients)
    return convolution.PASS_OF_RESULT[roles[2]], dense(roles), real
