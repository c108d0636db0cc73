"""A second count of real multiply-adds, read from the text of a lowered program; it shares no code with the first.

Nothing here imports the package or asks JAX: regular expressions find the convolutions and matrix multiplies of a
StableHLO module, and what each multiplies is found by trying every pair of an output position and a tap.
"""

import re
from collections.abc import Iterator

import numpy as np

_FUNCTION = re.compile(r'^  func\.func \w+ @([\w.$-]+)\(.*?^  }', re.DOTALL | re.MULTILINE)
_CALL = re.compile(r'\bcall @([\w.$-]+)\(')
_TENSORS = re.compile(r':\s*\(tensor<(\w+)>, tensor<(\w+)>\) -> tensor<(\w+)>')
_REGION = re.compile(r'stablehlo\.(while|case|if)\b')


def real_macs(text: str) -> int:
    """Of a StableHLO module as jax prints it, whose loops and branches multiply nothing.

    Raises:
        ValueError: where a loop or a branch does multiply, as how often is not in the text.
    """
    functions = {found[1]: found[0].splitlines()[1:] for found in _FUNCTION.finditer(text)}
    known = {}

    def total(name):
        if name not in known:
            known[name] = 0
            for line, conditional in _lines(functions[name]):
                macs = _of_line(line) + sum(map(total, _CALL.findall(line)))
                if macs and conditional:
                    raise ValueError(f'a loop or a branch of {name} multiplies: {line.strip()}')
                known[name] += macs
        return known[name]

    return total('main')


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


def _of_line(line: str) -> int:
    if 'stablehlo.convolution(' in line:
        return _convolution(line)
    return _matmul(line) if 'stablehlo.dot_general ' in line else 0


def _shape(tensor):
    return [int(size) for size in tensor.split('x')[:-1]]


def _matmul(line):
    lhs, _, out = map(_shape, _TENSORS.search(line).groups())
    contracted = re.search(r'contracting_dims = \[([\d, ]*)\]', line)[1]
    depth = [lhs[int(axis)] for axis in contracted.split(',') if axis.strip()]
    return int(np.prod([*out, *depth], dtype=object))


def _convolution(line):
    image, kernel, out = map(_shape, _TENSORS.search(line).groups())
    layouts = re.search(r'dim_numbers = \[(.*?)\]x\[(.*?)\]->\[(.*?)\]', line).groups()
    image_at, kernel_at, out_at = ([label.strip() for label in layout.split(',')] for layout in layouts)
    rank = len(image) - 2
    strides, holes, spreads = (_integers(name, line, rank) for name in ('stride', 'lhs_dilate', 'rhs_dilate'))
    padding = re.search(r'pad = \[(\[.*?\])\]', line)
    before = [int(pair.split(',')[0]) for pair in re.findall(r'\[(.*?)\]', padding[1])] if padding else [0] * rank
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
