"""A train step by what it computes: the same hash in every process, on any number of devices, whatever it is named."""

import hashlib
import inspect
import re
from typing import Any

import jax
import numpy as np

# Of an inner program, what says where it runs or what it is called, and not what it computes.
_NOT_COMPUTED = frozenset({
    'compiler_options_kvs', 'concrete_mesh', 'ctx_mesh', 'donated_invars', 'dst_sharding', 'in_layouts', 'in_shardings',
    'inline', 'keep_unused', 'name', 'out_layouts', 'out_sharding', 'out_shardings', 'sharding',
})  # fmt: skip
_PLACES = (jax.sharding.Sharding, jax.sharding.Mesh, jax.sharding.AbstractMesh)
# Rules of derivatives, which have been applied where they were asked for; what they are rules of is beside them.
_RULES = frozenset({'bwd', 'fwd', 'fwd_jaxpr_thunk', 'jvp', 'jvp_jaxpr_fun', 'jvp_jaxpr_thunk', 'out_trees'})
_PLAIN = (bool, int, float, str, type(None), np.dtype)
_ADDRESS = re.compile(r' at 0x[0-9a-f]+')


def step_hash(closed_jaxpr: Any) -> str:
    """sha256 of a traced program: its operations in their order, with shapes, settings and the values of constants.

    Not of names, source positions, shardings and addresses in memory: those that differ between processes and hosts,
    or that a change of the code may leave no trace of. A callback into Python counts by its source.
    """
    return _Programs().hash(closed_jaxpr)


class _Programs:
    """Hashes of programs that hold each other, each found once."""

    def __init__(self):
        self._known: dict[int, tuple[Any, str]] = {}
        self._types: dict[Any, str] = {}

    def hash(self, held: Any) -> str:
        """Of a jaxpr, with its constants if it comes with them."""
        jaxpr = getattr(held, 'jaxpr', held)
        if id(jaxpr) not in self._known:
            # Kept, so that no other takes its id.
            self._known[id(jaxpr)] = jaxpr, _sha256('\n'.join(self._lines(jaxpr)))
        digest = self._known[id(jaxpr)][1]
        constants = [self._value(each) for each in getattr(held, 'consts', ())]
        return _sha256(' '.join([digest, *constants])) if constants else digest

    def _lines(self, jaxpr):
        numbers: dict[Any, int] = {}

        def made(variables):
            return ' '.join(f'{numbers.setdefault(var, len(numbers))}:{self._type(var.aval)}' for var in variables)

        def taken(atoms):
            return ' '.join(
                f'{self._value(atom.val)}:{self._type(atom.aval)}' if hasattr(atom, 'val') else str(numbers[atom])
                for atom in atoms
            )

        yield f'{made(jaxpr.constvars)}; {made(jaxpr.invars)}'
        for eqn in jaxpr.eqns:
            settings = ' '.join(
                f'{name}={self._value(value)}'
                for name, value in sorted(eqn.params.items())
                if name not in _NOT_COMPUTED and name not in _RULES
            )
            operands = taken(eqn.invars)
            yield f'{made(eqn.outvars)} = {eqn.primitive.name}[{settings}] {operands}'
        yield taken(jaxpr.outvars)

    def _type(self, aval):
        if aval not in self._types:
            self._types[aval] = str(aval)
        return self._types[aval]

    def _value(self, value: Any) -> str:
        if isinstance(value, _PLAIN):
            return repr(value)
        if isinstance(value, _PLACES):
            return 'place'
        if type(value) in (tuple, list):
            return f'({",".join(map(self._value, value))})'
        if hasattr(value, 'eqns') or hasattr(value, 'jaxpr'):
            return self.hash(value)
        if isinstance(value, dict):
            return f'{{{",".join(f"{key}:{self._value(each)}" for key, each in value.items())}}}'
        if isinstance(value, set | frozenset):
            return f'{{{",".join(sorted(map(self._value, value)))}}}'
        if hasattr(value, 'dtype') and hasattr(value, 'shape'):
            return _array(value)
        if callable(value):
            return _source(value)
        return _ADDRESS.sub('', repr(value))


def _array(value: Any) -> str:
    if jax.dtypes.issubdtype(value.dtype, jax.dtypes.extended):
        value = jax.random.key_data(value)
    array = np.asarray(value)
    return f'{array.dtype}{array.shape}{_sha256(array.tobytes()) if array.size > 1 else array.tobytes().hex()}'


def _source(function: Any) -> str:
    """Of what Python does, as far as it has a source."""
    function = inspect.unwrap(getattr(function, 'callback_func', function))
    try:
        return _sha256(inspect.getsource(function))
    except (OSError, TypeError):
        return _ADDRESS.sub('', repr(function))


def _sha256(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()
