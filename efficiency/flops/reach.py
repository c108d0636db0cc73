"""Which of a program's equations reach a result, or something else that is there afterwards."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import Literal, Var

from efficiency.flops.tracing import tracing

# Effects of equations that leave nothing behind by themselves: on references, which are looked at one by one, of what
# makes a reference, and of a mesh's axes.
_READS, _WRITES = {'ReadEffect'}, {'WriteEffect', 'AccumEffect'}
_INNER_EFFECTS = {*_READS, *_WRITES, 'InternalMutableArrayEffect', 'NamedAxisEffect'}


@dataclasses.dataclass(frozen=True)
class Node:
    """An equation that reaches a result.

    Attributes:
        eqn: the equation.
        blocks: of the programs that it holds, in the order of `bodies`, what reaches the results that are used.
    """

    eqn: Any
    blocks: tuple['Block', ...]


@dataclasses.dataclass(frozen=True)
class Block:
    """A jaxpr without what reaches none of the results that are asked for.

    Attributes:
        jaxpr: as it was.
        nodes: its equations that reach a result, in its order.
        used: of each of its inputs, whether they do.
    """

    jaxpr: Any
    nodes: tuple[Node, ...]
    used: tuple[bool, ...]


_NO_PROGRAM = (int, str, float, type(None), np.dtype)


def open_jaxpr(held: Any) -> Any:
    """A jaxpr without its constants, whether it comes with them or not."""
    return getattr(held, 'jaxpr', held)


def bodies(eqn: Any) -> list[Any]:
    """The programs that an equation holds, in the order of its parameters."""
    found = []
    for value in eqn.params.values():
        if isinstance(value, _NO_PROGRAM):
            continue
        for item in value if isinstance(value, tuple | list) else (value,):
            if hasattr(open_jaxpr(item), 'eqns'):
                found.append(open_jaxpr(item))
            elif callable(getattr(item, 'expand', None)):
                found.append(_expanded(item, eqn.invars))
    return found


def _expanded(primitive: Any, operands: Sequence[Any]) -> Any:
    """The program that a primitive of jax.experimental.hijax stands for."""

    def run(*operands):
        return jax.tree.leaves(primitive.expand(*jax.tree.unflatten(primitive.in_tree, operands)))

    with tracing():
        return jax.make_jaxpr(run)(*(jax.ShapeDtypeStruct(atom.aval.shape, atom.aval.dtype) for atom in operands)).jaxpr


def scan_carries(eqn: Any, body: Any) -> tuple[int, int]:
    """How many constants and carried values a scan has: what its body takes as the scan itself does, and gives so."""

    def same(inner: Sequence[Any], outer: Sequence[Any]) -> int:
        # Of what is sliced the body has one dimension less.
        return sum(len(_shape(a)) == len(_shape(b)) for a, b in zip(inner, outer, strict=True))

    carried = same(body.outvars, eqn.outvars)
    return same(body.invars, eqn.invars) - carried, carried


def _shape(atom: Any) -> tuple[int, ...]:
    return getattr(atom.aval, 'shape', ())


def takes_operands(eqn: Any, body: Any) -> bool:
    """Whether a body takes just what its equation does, as one that runs once."""
    return [_shape(var) for var in body.invars] == [_shape(atom) for atom in eqn.invars]


def is_reference(atom: Any) -> bool:
    """Whether it is a mutable array, `jax.Ref`."""
    return hasattr(atom.aval, 'inner_aval')


def reaching(jaxpr: Any) -> Block:
    """The part of a program that reaches its results, the references that it was given, or the world outside."""
    return _Reach().block(jaxpr, (True,) * len(jaxpr.outvars), (True,) * len(jaxpr.invars))


class _Reach:
    """Remembers what it found, as programs hold the same body many times.

    Args:
        by_values: whether values alone are asked for, and not what else happens.
    """

    def __init__(self, by_values: bool = False):
        self._by_values = by_values
        self._known: dict[Any, Block] = {}
        self._seen: list[Any] = []  # what is known by its id has to stay

    def block(self, jaxpr: Any, results: tuple[bool, ...], outlive: tuple[bool, ...]) -> Block:
        """What reaches those results; `outlive` says which of the inputs, if they are references, are read later."""
        outlive = tuple(later and is_reference(var) for later, var in zip(outlive, jaxpr.invars, strict=True))
        key = id(jaxpr), results, outlive
        if key not in self._known:
            self._seen.append(jaxpr)
            self._known[key] = self._found(jaxpr, results, outlive)
        return self._known[key]

    def _found(self, jaxpr, results, outlive) -> Block:
        live = {var for var, later in zip(jaxpr.invars, outlive, strict=True) if later}
        live |= {var for var, used in zip(jaxpr.outvars, results, strict=True) if used and isinstance(var, Var)}
        live |= {var for var in jaxpr.constvars if is_reference(var)}
        if not (live or jaxpr.effects):
            return Block(jaxpr, (), (False,) * len(jaxpr.invars))
        nodes = []
        for eqn in reversed(jaxpr.eqns):
            if not eqn.effects and live.isdisjoint(eqn.outvars):
                continue
            if found := self._node(eqn, live):
                node, used = found
                nodes.append(node)
                overwrites = eqn.primitive.name == 'swap' and len(eqn.invars) == 2 and live.isdisjoint(eqn.outvars)
                live |= {
                    atom for atom, is_used in zip(eqn.invars, used, strict=True)
                    if is_used and not isinstance(atom, Literal)
                }  # fmt: skip
                if overwrites:
                    # Whatever the reference held before, nobody reads it any more.
                    live.discard(eqn.invars[0])
        return Block(jaxpr, tuple(reversed(nodes)), tuple(var in live for var in jaxpr.invars))

    def _node(self, eqn, live) -> tuple[Node, Sequence[bool]] | None:
        """An equation if it reaches what is live, and which of its operands do so through it."""
        results = tuple(var in live for var in eqn.outvars)
        outlive = tuple(not isinstance(atom, Literal) and atom in live for atom in eqn.invars)
        effects = set() if self._by_values else {type(effect).__name__ for effect in eqn.effects}
        inner = bodies(eqn)
        if not inner or eqn.primitive.name == 'pallas_call':
            written = bool(effects & _WRITES) and any(
                is_live and is_reference(atom) for is_live, atom in zip(outlive, eqn.invars, strict=True)
            )
            if not (any(results) or written or effects - _INNER_EFFECTS):
                return None
            blocks = tuple(self.block(body, (True,) * len(body.outvars), (True,) * len(body.invars)) for body in inner)
            return Node(eqn, blocks), (True,) * len(eqn.invars)
        if not any(results) and not effects - {'NamedAxisEffect'}:
            return None
        rule: Callable = _RULES.get(eqn.primitive.name, _call)
        blocks, used = rule(self, eqn, inner, results, outlive)
        if not any(results) and not any(block.nodes for block in blocks):
            return None
        return Node(eqn, blocks), used


def _call(reach: _Reach, eqn, inner, results, outlive):
    """What runs its bodies on its own operands: all that fits, and where nothing is known, all."""
    blocks, used = [], [False] * len(eqn.invars)
    for body in inner:
        asked = results if len(body.outvars) == len(results) else (True,) * len(body.outvars)
        fits = takes_operands(eqn, body)
        block = reach.block(body, asked, outlive if fits else (True,) * len(body.invars))
        used = [a or b for a, b in zip(used, block.used, strict=True)] if fits else [True] * len(used)
        blocks.append(block)
    return tuple(blocks), used


def _branches(reach: _Reach, eqn, inner, results, outlive):
    blocks = tuple(reach.block(body, results, outlive[1:]) for body in inner)
    # What decides, and what any branch takes.
    return blocks, (True, *(any(each) for each in zip(*(block.used for block in blocks), strict=True)))


def _scan(reach: _Reach, eqn, inner, results, outlive):
    (body,) = inner
    consts, carried = scan_carries(eqn, body)
    asked, lasting = results, outlive
    while True:
        block = reach.block(body, asked, lasting)
        again = tuple(is_asked or (i < carried and block.used[consts + i]) for i, is_asked in enumerate(asked))
        # What a turn reads of a reference, the turn before may have written.
        read = tuple(a or b for a, b in zip(lasting, block.used, strict=True))
        if (again, read) == (asked, lasting):
            return (block,), block.used
        asked, lasting = again, read


def _while(reach: _Reach, eqn, inner, results, outlive):
    condition, body = while_programs(eqn)
    of_condition, of_body = eqn.params['cond_nconsts'], eqn.params['body_nconsts']
    lasting = outlive[of_condition:]
    decides = reach.block(condition, (True,), (*outlive[:of_condition], *lasting[of_body:]))
    asked = tuple(a or b for a, b in zip(results, decides.used[of_condition:], strict=True))
    asks = {id(atom) for atom, used in zip(eqn.invars[:of_condition], decides.used, strict=False) if used}
    # A reference that the condition reads is read after every turn.
    lasting = tuple(a or id(atom) in asks for a, atom in zip(lasting, eqn.invars[of_condition:], strict=True))
    while True:
        block = reach.block(body, asked, lasting)
        again = tuple(a or b for a, b in zip(asked, block.used[of_body:], strict=True))
        read = tuple(a or b for a, b in zip(lasting, block.used, strict=True))
        if (again, read) == (asked, lasting):
            used = (*decides.used[:of_condition], *block.used[:of_body], *asked)
            return (decides, block), used
        asked, lasting = again, read


def deciding(loop: Any) -> tuple[Block, Block, tuple[int, ...]]:
    """What a while loop's number of turns depends on: in its condition, in its body, and which carried values."""
    nothing = (False,) * len(loop.invars)
    (decides, block), used = _while(_Reach(by_values=True), loop, (), (False,) * len(loop.outvars), nothing)
    carries = used[loop.params['cond_nconsts'] + loop.params['body_nconsts'] :]
    return decides, block, tuple(i for i, is_used in enumerate(carries) if is_used)


def while_programs(eqn: Any) -> tuple[Any, Any]:
    """The condition and the body of a while loop."""
    return open_jaxpr(eqn.params['cond_jaxpr']), open_jaxpr(eqn.params['body_jaxpr'])


_RULES = {'cond': _branches, 'scan': _scan, 'while': _while}
