"""Multiply-adds of one convolution, in two conventions, from its shapes alone.

dense: padding taps counted, dilation holes not; the forward pass, the input gradient and the weight gradient
of a layer cost exactly the same. The figure of textbooks, torch's FlopCounterMode, fvcore and THOP.

real: only the products whose two factors exist, neither padding taps nor holes: what a perfect machine would
have to do.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

Shape = Sequence[int]
Pass = Literal['forward', 'input_gradient', 'weight_gradient']
PASSES: tuple[Pass, ...] = ('forward', 'input_gradient', 'weight_gradient')
# Of left operand, right operand and result, which is the image (I), the kernel (K) and the output (O).
Roles = Literal['IKO', 'OKI', 'IOK', 'OIK', 'KOI', 'KIO']
ROLES: tuple[Roles, ...] = ('IKO', 'OKI', 'IOK', 'OIK', 'KOI', 'KIO')


# By the role of its result, the pass that a convolution belongs to.
PASS_OF_RESULT: Mapping[str, Pass] = {'O': 'forward', 'I': 'input_gradient', 'K': 'weight_gradient'}


def roles(gradients: Sequence[Literal['lhs', 'rhs']]) -> Roles:
    """What parts an equation's operands and result have in the convolution that was written.

    That convolution takes an image and a kernel to its output. The gradient of an operand is a convolution that takes
    the result's gradient in that operand's place, and gives the operand's: the two exchange their parts.

    Args:
        gradients: of which operand the convolution became the gradient, in the order in which it was differentiated.

    Returns:
        The parts of left operand, right operand and result: 'IKO' is a forward pass, 'OKI' an input gradient, 'IOK' a
        weight gradient; gradients of gradients have any order.
    """
    lhs, rhs, out = 'IKO'
    for operand in gradients:
        if operand == 'lhs':
            lhs, out = out, lhs
        else:
            rhs, out = out, rhs
    return lhs + rhs + out


def dense_macs(
    params: dict[str, Any], lhs: Shape, rhs: Shape, out: Shape, roles: Roles, is_transposed: bool = False
) -> int:
    """Dense multiply-adds of a `conv_general_dilated` equation.

    In every dimension a convolution's pass costs outputs x taps, a transposed convolution's inputs x taps; its
    gradients cost the same, and theirs, with the parts played by other operands. One that dilates its image is
    transposed.

    Args:
        params: the equation's.
        lhs, rhs, out: shapes of the operands and the result.
        roles: see `roles`.
        is_transposed: whether it is a transposed convolution whatever it dilates, as one of stride 1.
    """

    def pairs(size, taps, outputs, stride, before, holes, spread):
        sizes = dict(zip(roles, (size, taps, outputs), strict=True))
        steps = dict(zip(roles, (holes, spread, stride), strict=True))
        return sizes['K'] * sizes['I' if is_transposed or steps['I'] > 1 else 'O']

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
