"""What a program says of its values before it runs, from its constants alone: above all, how often a loop does."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Literal

from efficiency.flops.reach import deciding, is_reference, scan_carries, while_programs

# What has more numbers is not followed, and a loop that takes more turns is not one that constants bound.
_MOST_NUMBERS, _MOST_TURNS = 4096, 10_000_000

Values = Callable[[], Any]


class Known:
    """The values in a jaxpr that follow from constants.

    Args:
        jaxpr: the program.
        given: of its inputs and constants, what finds the value of each that may be known.
    """

    def __init__(self, jaxpr: Any, given: Mapping[Any, Values]):
        self._jaxpr = jaxpr
        self._given = given
        self._found: dict[Any, Any] = {}
        self._makers: dict[Any, Any] | None = None

    def value(self, atom: Any) -> Any:
        """The value of a variable or literal; None where it is not known."""
        if isinstance(atom, Literal):
            return atom.val
        if atom not in self._found:
            self._found[atom] = self._given[atom]() if atom in self._given else self._made(atom)
        return self._found[atom]

    def _made(self, var) -> Any:
        if self._makers is None:
            self._makers = {out: eqn for eqn in self._jaxpr.eqns for out in eqn.outvars}
        eqn = self._makers.get(var)
        if eqn is None or not _can_be_run([eqn]):
            return None
        values = {atom: self.value(atom) for atom in eqn.invars if not isinstance(atom, Literal)}
        if any(value is None for value in values.values()):
            return None
        with jax.ensure_compile_time_eval():
            return _run([eqn], values)[var]

    def inside(self, eqn: Any, body: Any) -> 'Known':
        """What is known in a program that an equation holds, of a loop's what is the same in every turn."""
        # What an equation gives to its body comes last, behind a switch's index and a loop's condition's constants.
        pairs = list(zip(reversed(body.invars), reversed(eqn.invars), strict=False))
        name = eqn.primitive.name
        if name == 'scan':
            consts, carried = scan_carries(eqn, body)
            lasting = {*body.invars[:consts], *_handed_on(body, consts, carried)}
            pairs = [pair for pair in pairs if pair[0] in lasting]
        elif name == 'while':
            consts = eqn.params['body_nconsts']
            lasting = {*body.invars[:consts], *_handed_on(body, consts, len(body.outvars))}
            pairs = [pair for pair in pairs if pair[0] in lasting] if body is while_programs(eqn)[1] else []
        elif name == 'pallas_call':
            pairs = []
        return Known(body, {var: (lambda atom=atom: self.value(atom)) for var, atom in pairs})


def _handed_on(body, consts: int, carried: int) -> list[Any]:
    """The carried values that a loop's body gives on as it got them."""
    carries = body.invars[consts : consts + carried]
    return [var for var, out in zip(carries, body.outvars, strict=False) if var is out]


def _can_be_run(eqns: Sequence[Any]) -> bool:
    return not any(
        eqn.effects
        or any(is_reference(atom) or math.prod(atom.aval.shape) > _MOST_NUMBERS for atom in (*eqn.invars, *eqn.outvars))
        for eqn in eqns
    )


def _run(eqns: Sequence[Any], values: Mapping[Any, Any]) -> dict[Any, Any]:
    """The values after some equations, from those before."""
    values = dict(values)
    for eqn in eqns:
        operands = [atom.val if isinstance(atom, Literal) else values[atom] for atom in eqn.invars]
        results = eqn.primitive.bind(*operands, **eqn.primitive.get_bind_params(eqn.params))
        values.update(zip(eqn.outvars, results if eqn.primitive.multiple_results else [results], strict=True))
    return values


def turns(loop: Any, known: Known) -> int | None:
    """How often the body of a while loop runs, where what decides that is made of constants; None where it is not.

    Args:
        loop: the equation.
        known: of the program around it.
    """
    condition, body = while_programs(loop)
    asks, steps, carried = deciding(loop)
    of_condition, of_body = loop.params['cond_nconsts'], loop.params['body_nconsts']
    if not _can_be_run([node.eqn for node in (*asks.nodes, *steps.nodes)]):
        return None

    def consts(block, atoms):
        return {
            var: known.value(atom)
            for var, atom, used in zip(block.jaxpr.invars, atoms, block.used, strict=False)
            if used
        }

    of_asks = consts(asks, loop.invars[:of_condition])
    of_steps = consts(steps, loop.invars[of_condition : of_condition + of_body])
    start = {i: known.value(loop.invars[of_condition + of_body + i]) for i in carried}
    if any(value is None for part in (of_asks, of_steps, start) for value in part.values()):
        return None

    def read(values, atom):
        return atom.val if isinstance(atom, Literal) else values[atom]

    def goes_on(state):
        count, carry = state
        given = {condition.invars[of_condition + i]: carry[i] for i in carried}
        asked = _run([node.eqn for node in asks.nodes], {**of_asks, **given})
        return (count < _MOST_TURNS) & read(asked, condition.outvars[0])

    def turn(state):
        count, carry = state
        given = {body.invars[of_body + i]: carry[i] for i in carried}
        after = _run([node.eqn for node in steps.nodes], {**of_steps, **given})
        return count + 1, {i: read(after, body.outvars[i]) for i in carried}

    with jax.ensure_compile_time_eval():
        # As arrays of the types that are carried, which literals may not have.
        carry = {i: jnp.asarray(value, body.invars[of_body + i].aval.dtype) for i, value in start.items()}
        count = int(lax.while_loop(goes_on, turn, (jnp.int32(0), carry))[0])
    return count if count < _MOST_TURNS else None
