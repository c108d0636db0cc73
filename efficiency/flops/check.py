"""The analytic count, checked against XLA's: every distinct operation of a program, lowered alone."""

import contextlib
import hashlib
import os
import pathlib

import jax
import jax.numpy as jnp

from efficiency.flops.counts import Count, Operation
from efficiency.flops.rules import real_products

# What XLA counts alike; of a ragged product it counts every row with every matrix.
_COMPARED = {'conv_general_dilated', 'dot_general'}
# XLA counts in float32.
_RELATIVE_TOLERANCE = 1e-6


class DisagreementError(Exception):
    """The two counts of one operation differ; the message names the layer."""


def check_against_xla(count: Count, cache_dir: str | os.PathLike | None = None) -> int:
    """Compares each distinct convolution and matrix multiply of a program with XLA's own count of it.

    XLA's `cost_analysis()` of the lowered operation says how many flops it takes; that must be two for each
    real multiply-add counted here, to 1e-6. Of complex numbers XLA counts a matrix multiply as if they were real, and
    of a convolution three of real numbers and what is added up between them: the operation is compared as one of real
    numbers, of which it has four.

    Args:
        count: of the program.
        cache_dir: where to remember, by program and versions, that they agreed, so as not to ask again.

    Returns:
        How many distinct operations were compared, 0 if they had been before.

    Raises:
        DisagreementError: for the first operation that differs.
    """
    distinct = {key(op): op for op in count.operations if op.eqn.primitive.name in _COMPARED}
    identity = '\n'.join(sorted(f'{key} {op.real_macs}' for key, op in distinct.items()))
    digest = hashlib.sha256(f'{jax.__version__} {jax.lib.__version__}\n{identity}'.encode()).hexdigest()
    agreed = pathlib.Path(cache_dir, digest) if cache_dir else None
    if agreed and os.path.exists(agreed):
        return 0
    for op in distinct.values():
        flops = lowered_flops(op) * real_products(*op.eqn.invars)
        if abs(flops - 2 * op.real_macs) > 2 * op.real_macs * _RELATIVE_TOLERANCE:
            raise DisagreementError(
                f'two counts of {op.eqn.primitive.name} ({op.conv_pass or op.kind}) in {op.layer} differ: '
                f'{op.real_macs} multiply-adds here, {flops / 2:.0f} by XLA'
            )
    if agreed:
        # A cache that cannot be written to costs a second at the next start, no more.
        with contextlib.suppress(OSError):
            agreed.parent.mkdir(parents=True, exist_ok=True)
            agreed.touch()
    return len(distinct)


def lowered_flops(op: Operation) -> float:
    """XLA's flops of an operation alone, as it is lowered, of real numbers: a float32.

    Raises:
        DisagreementError: if XLA says nothing; names the layer.
    """
    operands = [jax.ShapeDtypeStruct(v.aval.shape, _real(v.aval.dtype)) for v in op.eqn.invars]
    asked = op.eqn.params['preferred_element_type']
    params = op.eqn.params | {'preferred_element_type': asked and _real(asked)}

    def run(*operands):
        return op.eqn.primitive.bind(*operands, **params)

    # On the host, as accelerators' runtimes do not analyse what is only lowered.
    with jax.default_device(jax.local_devices(backend='cpu')[0]):
        analysis = jax.jit(run).lower(*operands).cost_analysis()
    if analysis is None:
        raise DisagreementError(f'XLA has no count of {op.eqn.primitive.name} in {op.layer} to check ours against')
    # XLA leaves the figure out where there is nothing to multiply.
    return analysis.get('flops', 0.0)


def _real(dtype):
    return jnp.finfo(dtype).dtype if jnp.issubdtype(dtype, jnp.complexfloating) else dtype


def key(op: Operation) -> str:
    """What tells operations apart: two of the same cost the same."""
    operands = ' '.join(v.aval.str_short() for v in op.eqn.invars)
    params = {name: str(value) for name, value in sorted(op.eqn.params.items())}
    return f'{op.eqn.primitive.name} {operands} {params}'
