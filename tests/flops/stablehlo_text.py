"""A second count of real multiply-adds, read from the text of a lowered program; it shares no code with the first.

Nothing here imports the package: regular expressions find the convolutions and matrix multiplies of a StableHLO module.
What each multiplies is found by trying every pair of an output position and a tap, without JAX (`real_macs_of`), or by
running it on ones (`on_ones`).
"""

import collections
import re
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jax import lax

_FUNCTION = re.compile(r'^  func\.func \w+ @([\w.$-]+)\(.*?^  }', re.DOTALL | re.MULTILINE)
_CALL = re.compile(r'\bcall @([\w.$-]+)\(')
_TENSORS = re.compile(r':\s*\(tensor<(\w+)>, tensor<(\w+)>\) -> tensor<(\w+)>')
_OPERATION = re.compile(r'stablehlo\.(convolution\(|dot_general )')
_LAYOUTS = re.compile(r'dim_numbers = \[(.*?)\]x\[(.*?)\]->\[(.*?)\]')
_REGION = re.compile(r'stablehlo\.(while|case|if)\b')


def real_macs(text: str) -> int:
    """Of a StableHLO module as jax prints it, whose loops and branches multiply nothing; raises as `operations`."""
    return sum(times * real_macs_of(line) for line, times in operations(text).items())


def operations(text: str) -> dict[str, int]:
    """The lines of a module that multiply, without the names of values, and how often it runs each.

    Raises:
        ValueError: where a loop or a branch does multiply, as how often is not in the text.
    """
    functions = {found[1]: found[0].splitlines()[1:] for found in _FUNCTION.finditer(text)}
    known = {}

    def found_in(name):
        if name not in known:
            known[name] = collections.Counter()
            for line, conditional in _lines(functions[name]):
                found = collections.Counter()
                if _OPERATION.search(line):
                    found[re.sub(r'%[\w#:]+', '%', line.strip())] += 1
                for called in _CALL.findall(line):
                    found += found_in(called)
                if found and conditional:
                    raise ValueError(f'a loop or a branch of {name} multiplies: {line.strip()}')
                known[name] += found
        return known[name]

    return dict(found_in('main'))


def _lines(body: list[str]) -> Iterator[tuple[str, bool]]:
    """Every line, and whether it is inside a loop or a branch."""
    outer = None
    for line in body:
        indent = len(line) - len(line.lstrip())
        yield line, outer is not None
        if outer is None and _REGION.search(line):
            outer = indent
        elif outer is not None and indent <= outer and re.match(r'\}\)?( :.*)?$', line.strip()):
            outer = None


def real_macs_of(line: str) -> int:
    """Of one of `operations`."""
    return _convolution(line) if 'stablehlo.convolution(' in line else _matmul(line)


def on_ones(line: str) -> tuple[Callable[[jax.Array, jax.Array], jax.Array], np.ndarray, np.ndarray]:
    """What runs one of `operations`, and ones to run it on, each product of which adds one to its result."""
    left, right, _ = map(_shape, _TENSORS.search(line).groups())
    ones = np.ones(left, np.float32), np.ones(right, np.float32)
    if 'stablehlo.convolution(' not in line:
        contracted, batch = (_axes(name, line) for name in ('contracting_dims', 'batching_dims'))
        return lambda lhs, rhs: lax.dot_general(lhs, rhs, (contracted, batch)), *ones
    rank = len(left) - 2
    strides, holes, spreads = (_integers(name, line, rank) for name in ('stride', 'lhs_dilate', 'rhs_dilate'))
    layouts = [[label.strip() for label in layout.split(',')] for layout in _LAYOUTS.search(line).groups()]
    # jax wants batch or outputs first, then features, then the sides.
    axes = [
        [layout.index(label) for label in (*first, *map(str, range(rank)))]
        for layout, first in zip(layouts, ('bf', 'oi', 'bf'), strict=True)
    ]
    groups, batches = (
        int(re.search(rf'{name} = (\d+)', line)[1]) for name in ('feature_group_count', 'batch_group_count')
    )

    def run(lhs, rhs):
        numbers = lax.ConvDimensionNumbers(*map(tuple, axes))
        return lax.conv_general_dilated(
            lhs, rhs, strides, _padding(line, rank), holes, spreads, numbers, groups, batches
        )

    return run, *ones


def _shape(tensor):
    return [int(size) for size in tensor.split('x')[:-1]]


def _matmul(line):
    lhs, _, out = map(_shape, _TENSORS.search(line).groups())
    depth = [lhs[axis] for axis in _axes('contracting_dims', line)[0]]
    return int(np.prod([*out, *depth], dtype=object))


def _convolution(line):
    image, kernel, out = map(_shape, _TENSORS.search(line).groups())
    layouts = _LAYOUTS.search(line).groups()
    image_at, kernel_at, out_at = ([label.strip() for label in layout.split(',')] for layout in layouts)
    rank = len(image) - 2
    strides, holes, spreads = (_integers(name, line, rank) for name in ('stride', 'lhs_dilate', 'rhs_dilate'))
    before = [pair[0] for pair in _padding(line, rank)]
    total = out[out_at.index('b')] * out[out_at.index('f')] * kernel[kernel_at.index('i')]
    for axis in range(rank):
        label = str(axis)
        outputs, taps = out[out_at.index(label)], kernel[kernel_at.index(label)]
        position = np.arange(outputs)[:, None] * strides[axis] + np.arange(taps)[None] * spreads[axis] - before[axis]
        there = (
            (position >= 0) & (position % holes[axis] == 0) & (position // holes[axis] < image[image_at.index(label)])
        )
        total *= int(np.count_nonzero(there))
    return total


def _integers(name, line, rank):
    found = re.search(rf'\b{name} = \[([\d, ]*)\]', line)
    return [int(number) for number in found[1].split(',')] if found else [1] * rank


def _axes(name, line):
    """Of both operands of a matrix multiply."""
    found = re.search(rf'\b{name} = \[([\d, ]*)\] x \[([\d, ]*)\]', line)
    return [[int(axis) for axis in axes.split(',') if axis.strip()] for axes in (found.groups() if found else ('', ''))]


def _padding(line, rank):
    """Before and behind each side."""
    found = re.search(r'pad = \[(\[.*?\])\]', line)
    if not found:
        return [(0, 0)] * rank
    return [tuple(int(number) for number in pair.split(',')) for pair in re.findall(r'\[(.*?)\]', found[1])]
