"""What operations cost that are neither matrix multiplies nor convolutions: by a rule, ours or a user's, or nothing."""

import functools
import math
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.extend.core.primitives as standard
import jax.numpy as jnp
from jax.extend.core import Primitive

from efficiency.errors import shown
from efficiency.flops.counts import whole
from efficiency.flops.tracing import CountError

# Multiply-adds of running an equation once: a number, or a function of the equation.
Rule = int | Callable[[Any], int]
Rules = Mapping[str, Rule]


def _square(eqn) -> tuple[int, int, int]:
    """How many matrices an operand holds, and their sides; as many four times where they are of complex numbers."""
    *batch, rows, columns = eqn.invars[0].aval.shape
    return math.prod(batch) * real_products(eqn.invars[0], eqn.invars[0]), rows, columns


def _fft(eqn) -> int:
    lengths = eqn.params['fft_lengths']
    points = math.prod(lengths)
    # One side of a real transform is real, and has all of its points.
    operand = max(eqn.invars[0].aval, eqn.outvars[0].aval, key=lambda aval: aval.size)
    is_real = not jnp.issubdtype(operand.dtype, jnp.complexfloating)
    transforms = math.prod(operand.shape[: len(operand.shape) - len(lengths)])
    return round(transforms * 2.5 * points * math.log2(points) / (2 if is_real else 1))


def _cholesky(eqn) -> int:
    matrices, n, _ = _square(eqn)
    return matrices * (n**3 - n) // 6


def _lu(eqn) -> int:
    matrices, m, n = _square(eqn)
    return matrices * sum((m - k) * (n - k) for k in range(1, min(m, n) + 1))


def _triangular_solve(eqn) -> int:
    matrices, n, _ = _square(eqn)
    right = eqn.invars[1].aval.shape
    return matrices * (right[-1] if eqn.params['left_side'] else right[-2]) * n * (n - 1) // 2


def _tridiagonal_solve(eqn) -> int:
    *_, n, right = eqn.invars[3].aval.shape
    systems = eqn.invars[0].aval.size // n * real_products(eqn.invars[0], eqn.invars[3])
    return systems * (n - 1) * (1 + 2 * right)


def _reflections(eqn) -> int:
    """Of min(m, n) Householder reflections, each of what it leaves of an m x n matrix."""
    matrices, m, n = _square(eqn)
    return matrices * sum(2 * (m - k) * (n - k - 1) for k in range(min(m, n)))


def _qr(eqn) -> int:
    matrices, m, n = _square(eqn)
    width = eqn.outvars[0].aval.shape[-1]  # of Q, which is found from the reflections, the last of them first
    return _reflections(eqn) + matrices * sum(2 * (m - k) * (width - k) for k in range(min(m, n)))


def _forming(eqn) -> int:
    matrices, m, n = _square(eqn)
    return matrices * sum(2 * (m - k) * (n - k) for k in range(eqn.invars[1].aval.shape[-1]))


def _symmetric_product(eqn) -> int:
    matrices, n, k = _square(eqn)
    return matrices * n * (n + 1) // 2 * k


_GOLUB = 'Golub & Van Loan, Matrix Computations, 4th edition'
# Of algorithms whose steps follow from the shapes.
STATED: Mapping[str, tuple[Callable[[Any], int], str]] = MappingProxyType({
    'fft': (_fft, '2.5 n log2 n for a complex transform of n points, half of it for a real one (5 n log2 n flops, '
            'fftw.org/speed)'),
    'cholesky': (_cholesky, f'(n^3 - n) / 6 ({_GOLUB}, section 4.2)'),
    'lu': (_lu, f'the sum of (m - k)(n - k) over k from 1 to min(m, n) ({_GOLUB}, section 3.2)'),
    'triangular_solve': (_triangular_solve, f'n (n - 1) / 2 for each right-hand side ({_GOLUB}, section 3.1)'),
    'tridiagonal_solve': (_tridiagonal_solve, f'(n - 1)(1 + 2 r) for r right-hand sides ({_GOLUB}, section 4.3)'),
    'householder_product': (_forming, f'the sum of 2 (m - k)(n - k) over k below their number ({_GOLUB}, section 5.1)'),
    'symmetric_product': (_symmetric_product, 'n (n + 1) / 2 results of k terms'),
    'geqrf': (_reflections, f'the sum of 2 (m - k)(n - k - 1) over k below min(m, n) ({_GOLUB}, section 5.2)'),
    'qr': (_qr, f'its reflections, the sum of 2 (m - k)(n - k - 1), and Q of w columns, 2 (m - k)(w - k), over k below '
           f'min(m, n) ({_GOLUB}, section 5.2)'),
})  # fmt: skip


def real_products(*operands: Any) -> int:
    """Of how many real products one of two operands' numbers is made: four if both are complex."""
    return math.prod(2 if jnp.issubdtype(operand.aval.dtype, jnp.complexfloating) else 1 for operand in operands)


def check_rules(rules: object) -> None:
    """Raises CountError if these are no rules."""
    if not isinstance(rules, Mapping):
        raise CountError(f"rules are {shown(rules)}; they are costs by the names of operations, as {{'fft': macs}}")


def macs_by(rule: Rule, eqn: Any) -> int:
    """What a user's rule says of an equation.

    Raises:
        CountError: if that is no whole number of multiply-adds.
    """
    given = rule(eqn) if callable(rule) else rule
    macs = whole(given)
    if macs is None:
        raise CountError(
            f'the rule for {eqn.primitive.name!r} gives {shown(given)}, no whole number of multiply-adds, 0 or more'
        )
    return macs


# What multiplies.
_HEAVY = {
    'custom_linear_solve', 'eig', 'eigh', 'hessenberg', 'schur', 'svd', 'tridiagonal', *STATED,
    'conv_general_dilated', 'dot_general', 'ragged_dot_general',
}  # fmt: skip
# Cost linear in their operands, or run on anything but multipliers, the programs that they hold apart.
LIGHT = frozenset({p.name for p in vars(standard).values() if isinstance(p, Primitive)} | {
    'addupdate', 'all_gather_invariant', 'atomic_cas', 'atomic_rmw', 'copy_p', 'debug_barrier', 'debug_callback',
    'debug_print', 'delay', 'dma_start', 'dma_wait', 'empty_ref', 'free_ref', 'freeze', 'get', 'layout_constraint',
    'lu_pivots_to_permutation', 'masked_load', 'masked_swap', 'mesh_cast', 'multiple_of', 'new_ref', 'num_programs',
    'optimization_barrier', 'platform_index', 'prng_random_bits', 'prng_seed', 'program_id', 'psum_invariant',
    'pvary', 'random_clone', 'random_unwrap', 'random_wrap', 'reduce_scatter', 'repeat', 'reshard', 'roll',
    'semaphore_read', 'semaphore_signal', 'semaphore_wait', 'split', 'stack', 'swap', 'tile', 'trace_start',
    'trace_stop', 'unstack',
}) - _HEAVY  # fmt: skip
_ITERATIVE = {'eig', 'eigh', 'schur', 'svd'}
_SPARSE = re.compile(
    r'b?(coo|csr)_(?!fromdense|todense|extract|transpose|sort_indices|sum_duplicates|broadcast|reshape)'
)
# What StableHLO has besides that multiplies, or does nobody knows what.
_MULTIPLIES = re.compile(r'stablehlo\.(dot|dot_general|convolution|fft|cholesky|triangular_solve|custom_call|while)\b')


def is_light(eqn: Any) -> bool:
    """Whether an operation costs nothing that is not in `LIGHT`: one of a later jax is asked what it is lowered to."""
    name = eqn.primitive.name
    if name in _HEAVY or _SPARSE.match(name):
        return False
    return (not eqn.outvars and 'callback' in name) or _is_lowered_light(eqn)


def _is_lowered_light(eqn) -> bool:
    if eqn.effects or 'callback' in eqn.primitive.name:
        return False

    @functools.partial(jax.jit, keep_unused=True)
    def alone(*operands):
        return eqn.primitive.bind(*operands, **eqn.primitive.get_bind_params(eqn.params))

    try:
        operands = [jax.ShapeDtypeStruct(atom.aval.shape, atom.aval.dtype) for atom in eqn.invars]
        text = alone.lower(*operands).as_text()
    except Exception:
        # It cannot stand alone, whatever it says: that is no reason to count it as nothing.
        return False
    return not _MULTIPLIES.search(text)


def advice(name: str) -> str:
    """Why an operation is not known, and what its user can do."""
    if name in ('call_exported', 'call_tf') or 'ffi' in name:
        why = 'it holds a compiled program and no jaxpr; count the function that it was made of'
    elif 'callback' in name:
        why = 'it runs Python, whose products nobody sees'
    elif name in _ITERATIVE:
        why = 'it takes as many steps as its numbers need'
    elif _SPARSE.match(name):
        why = 'what a sparse product costs depends on how it is stored'
    elif name in _HEAVY:
        why = 'there is no rule for it here'
    else:
        why = 'what it multiplies is not known here; write it with matrix multiplies or convolutions'
    return f'{why}; or say what it costs, as rules={{{name!r}: macs}}'
