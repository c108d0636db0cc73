"""Multiply-adds of one convolution, in two conventions, from its shapes alone.

dense: padding taps counted, dilation holes not; the forward pass, the input gradient and the weight gradient
of a layer cost exactly the same. The figure of textbooks, torch's FlopCounterMode, fvcore and THOP.

real: only the products whose two factors exist, neither padding taps nor holes: what a perfect machine would
have to do.
"""

import math
from collections.abc import Sequence
from typing import Any

Shape = Sequence[int]


def gradient_kind(params: dict[str, Any], rhs_is_reversed: bool) -> str:
    """Whether a convolution is a 'forward' pass, an 'input_gradient' or a 'weight_gradient', as JAX writes them.

    Args:
        params: of the `conv_general_dilated` equation.
        rhs_is_reversed: whether its right operand comes from a `rev`, as it does in every input gradient.
    """
    if params['dimension_numbers'].lhs_spec[0] != 0:
        return 'weight_gradient'
    return 'input_gradient' if rhs_is_reversed else 'forward'


def dense_macs(params: dict[str, Any], lhs: Shape, rhs: Shape, out: Shape, kind: str) -> int:
    """Dense multiply-adds of a `conv_general_dilated` equation.

    In every dimension a convolution's pass costs outputs x taps, a transposed convolution's (one that dilates
    its image) inputs x taps; the gradients cost the same, with the parts played by other operands.

    Args:
        params: the equation's.
        lhs, rhs, out: shapes of the operands and the result.
        kind: see `gradient_kind`.
    """

    def pairs(size, taps, outputs, stride, before, holes, spread):
        if kind == 'weight_gradient':
            return outputs * (size if holes > 1 else taps)
        if kind == 'input_gradient':
            return taps * (outputs if stride > 1 else size)
        return taps * (size if holes > 1 else outputs)

    return _product(params, lhs, rhs, out, pairs)


def real_macs(params: dict[str, Any], lhs: Shape, rhs: Shape, out: Shape) -> int:
    """Real multiply-adds of a `conv_general_dilated` equation; arguments as for `dense_macs`."""
    return _product(params, lhs, rhs, out, _real_pairs)


def _product(params, lhs, rhs, out, pairs) -> int:
    """Multiply-adds, with the (output, tap) pairs of each spatial dimension from `pairs`."""
    numbers = params['dimension_numbers']
    total = out[numbers.out_spec[0]] * out[numbers.out_spec[1]] * rhs[numbers.rhs_spec[1]]
    for axis, (before, _) in enumerate(params['padding']):
        total *= pairs(
            size=lhs[numbers.lhs_spec[2 + axis]],
            taps=rhs[numbers.rhs_spec[2 + axis]],
            outputs=out[numbers.out_spec[2 + axis]],
            stride=params['window_strides'][axis],
            before=before,
            holes=params['lhs_dilation'][axis],
            spread=params['rhs_dilation'][axis],
        )
    return total


def _real_pairs(size: int, taps: int, outputs: int, stride: int, before: int, holes: int, spread: int) -> int:
    """Along one dimension, how many (output, tap) pairs meet an element: neither padding nor a hole.

    Output o and tap k look at position o * stride + k * spread - before, where element i stands at i * holes.
    """
    end = size * holes
    if outputs <= taps:
        return sum(_multiples(o * stride - before, spread, taps, holes, end) for o in range(outputs))
    return sum(_multiples(k * spread - before, stride, outputs, holes, end) for k in range(taps))


def _multiples(first: int, step: int, count: int, divisor: int, end: int) -> int:
    """How many of first, first + step, ... (`count` numbers) are multiples of `divisor` within [0, end)."""
    low = max(0, -(first // step))
    high = min(count - 1, (end - 1 - first) // step)
    common = math.gcd(step, divisor)
    if high < low or first % common:
        return 0
    period = divisor // common
    root = (-(first // common) * pow(step // common, -1, period)) % period if period > 1 else 0
    return (high - root) // period - (low - 1 - root) // period
