"""What a program says of its values before it runs, from its constants alone: above all, how often a loop does."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Literal

from efficiency.flops.reach import bodies, deciding, is_reference, scan_carries, while_programs

# Values of more numbers are not followed, nor loops to more turns than take a second.
_MOST_NUMBERS, _MOST_TURNS = 64, 1_000_000
# What is followed: arithmetic, whatever stands around it.
_FOLLOWED = {
    'abs', 'add', 'and', 'argmax', 'argmin', 'broadcast_in_dim', 'ceil', 'clamp', 'concatenate',
    'convert_element_type', 'copy', 'cumsum', 'div', 'eq', 'exp', 'exp2', 'floor', 'gather', 'ge', 'gt',
    'integer_pow', 'iota', 'is_finite', 'jit', 'le', 'log', 'lt', 'max', 'min', 'mul', 'ne', 'neg', 'not', 'or',
    'pjit', 'pow', 'reduce_and', 'reduce_max', 'reduce_min', 'reduce_or', 'reduce_prod', 'reduce_sum', 'rem',
    'reshape', 'round', 'select_n', 'shift_left', 'shift_right_arithmetic', 'shift_right_logical', 'sign', 'slice',
    'sqrt', 'square', 'squeeze', 'stop_gradient', 'sub', 'transpose', 'xor',
}  # fmt: skip

Values = Callable[[], Any]


class Known:
    """The values in a jaxpr that follow from constants.

    Args:
        jaxpr: the program.
        given: of its inputs and constants, what finds the value of each that may be known.
        point: of a kernel's program, the element of its grid that it runs for; None elsewhere, and for any.
    """

    def __init__(self, jaxpr: Any, given: Mapping[Any, Values], point: tuple[int, ...] | None = None):
        self._jaxpr = jaxpr
        self._given = given
        self._point = point
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
        if eqn is not None and eqn.primitive.name == 'program_id' and self._point is not None:
            return np.int32(self._point[eqn.params['axis']])
        if eqn is None or not _can_be_run([eqn]):
            return None
        values = {atom: self.value(atom) for atom in eqn.invars if not isinstance(atom, Literal)}
        if any(value is None for value in values.values()):
            return None
        return _known_or_none(lambda: _run([eqn], values)[var])

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
        return Known(body, {var: (lambda atom=atom: self.value(atom)) for var, atom in pairs}, self._point)


def _handed_on(body, consts: int, carried: int) -> list[Any]:
    """The carried values that a loop's body gives on as it got them."""
    carries = body.invars[consts : consts + carried]
    return [var for var, out in zip(carries, body.outvars, strict=False) if var is out]


def _known_or_none(find: Callable[[], Any]) -> Any:
    """What a computation on constants gives; None if it fails, as on a number that jax was told to refuse."""
    try:
        with jax.ensure_compile_time_eval():
            return find()
    except Exception:
        return None


def _can_be_run(eqns: Sequence[Any]) -> bool:
    return all(
        eqn.primitive.name in _FOLLOWED
        and all(math.prod(getattr(atom.aval, 'shape', ())) <= _MOST_NUMBERS for atom in (*eqn.invars, *eqn.outvars))
        and not any(is_reference(atom) for atom in eqn.invars)
        and all(_can_be_run(body.eqns) for body in bodies(eqn))
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

    before = {body.invars[of_body + i]: value for i, value in start.items()}
    first = {condition.invars[of_condition + i]: value for i, value in start.items()}

    def goes_on(carry):
        given = {condition.invars[of_condition + i]: value for i, value in carry.items()}
        return _read(_run([node.eqn for node in asks.nodes], {**of_asks, **given}), condition.outvars[0])

    def turn(state):
        count, carry = state
        given = {body.invars[of_body + i]: value for i, value in carry.items()}
        after = _run([node.eqn for node in steps.nodes], {**of_steps, **given})
        # Of loops that run side by side, those that have ended keep what they have.
        on, new = goes_on(carry), {i: _read(after, body.outvars[i]) for i in carried}
        kept = {i: jnp.where(jnp.reshape(on, on.shape + (1,) * (new[i].ndim - on.ndim)), new[i], carry[i]) for i in new}
        return count + 1, kept

    def count_turns():
        # As arrays of the types that are carried, which literals may not have.
        carry = {i: jnp.asarray(value, body.invars[of_body + i].aval.dtype) for i, value in start.items()}
        state = lax.while_loop(
            lambda state: (state[0] < _MOST_TURNS) & jnp.any(goes_on(state[1])), turn, (jnp.int32(0), carry)
        )
        return int(state[0])

    count = _known_or_none(count_turns)
    if count == _MOST_TURNS:
        return _known_or_none(lambda: _counted(asks, steps, {**of_asks, **first}, {**of_steps, **before}, loop))
    return count


def _read(values: Mapping[Any, Any], atom: Any) -> Any:
    return jnp.asarray(atom.val if isinstance(atom, Literal) else values[atom])


# How far beyond the bound a counter that rises or falls still goes on.
_RISING, _FALLING = {'lt': 0, 'le': 1}, {'gt': 0, 'ge': -1}
_MIRRORED = {'lt': 'gt', 'le': 'ge', 'gt': 'lt', 'ge': 'le'}


def _counted(asks, steps, asked_of, stepped_of, loop) -> int | None:
    """The turns of a loop of any length over a counter: a whole number that is added to until it passes a bound."""
    (compares,), (adds,) = ([node.eqn for node in block.nodes] for block in (asks, steps))
    _, body = while_programs(loop)
    out = next(i for i, var in enumerate(body.outvars) if var is adds.outvars[0])
    counter = asks.jaxpr.invars[loop.params['cond_nconsts'] + out]
    inside = body.invars[loop.params['body_nconsts'] + out]
    number, other = sorted(adds.invars, key=lambda atom: atom is not inside)
    takes = adds.primitive.name == 'sub' and adds.invars[0] is inside
    if (
        not (takes or adds.primitive.name == 'add')
        or number is not inside
        or not jnp.issubdtype(counter.aval.dtype, jnp.integer)
    ):
        return None
    left, right = compares.invars
    name = compares.primitive.name if left is counter else _MIRRORED[compares.primitive.name]
    bound = right if left is counter else left
    start, step, end = (int(_read(*each)) for each in ((asked_of, counter), (stepped_of, other), (asked_of, bound)))
    step = -step if takes else step
    beyond = (_RISING if step > 0 else _FALLING).get(name)
    if bound is counter or beyond is None or end + step > jnp.iinfo(counter.aval.dtype).max:
        return None
    return len(range(start, end + beyond, step))
