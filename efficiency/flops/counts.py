"""What a count is made of: operations, and their sums in multiply-adds."""

import collections
import dataclasses
import operator
from collections.abc import Mapping
from typing import Any, Literal

from efficiency.flops.convolution import PASSES, Pass

Kind = Literal['convolution', 'matmul', 'rule']


def whole(value: object) -> int | None:
    """A whole number, 0 or more, that a user gives; None if it is none."""
    if isinstance(value, bool):
        return None
    try:
        number = operator.index(value)
    except TypeError:
        return None
    return number if number >= 0 else None


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A kernel of Pallas, in the place where a program calls it.

    Attributes:
        name: its own, '' where it has none.
        layer: names of the scopes around it, joined by '/'.
        times: how often the program calls it.
        grid: of one call: its body runs once for each element.
        estimated_flops: of one call, by its author's `cost_estimate`, two flops a multiply-add and whatever else they
            count; None where there is none.
        eqn: the jaxpr equation.
    """

    name: str
    layer: str
    times: int
    grid: tuple[int, ...]
    estimated_flops: int | None
    eqn: Any = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class Operation:
    """One operation of a program that multiplies.

    Attributes:
        kind: 'convolution', 'matmul', or 'rule' where a rule says what it costs.
        layer: names of the scopes around it, joined by '/'.
        times: how often the program runs it.
        dense_macs, real_macs: of running it once (`efficiency.flops.convolution`; the same for all others).
        eqn: the jaxpr equation.
        rule: the rule that was used, in words; None for matrix multiplies and convolutions.
        kernel: the kernel that it is part of, if it is.
        conv_pass: the pass that a convolution belongs to; None for others, whose passes are all alike.
    """

    kind: Kind
    layer: str
    times: int
    dense_macs: int
    real_macs: int
    eqn: Any = dataclasses.field(repr=False)
    rule: str | None = None
    kernel: Kernel | None = None
    conv_pass: Pass | None = None


@dataclasses.dataclass(frozen=True)
class Count:
    """What a program costs: its operations, and their sums in multiply-adds."""

    operations: tuple[Operation, ...]

    def __repr__(self):
        return f'Count(dense_macs={self.dense_macs:,}, real_macs={self.real_macs:,}, operations={len(self.operations)})'

    @property
    def dense_macs(self) -> int:
        return sum(op.times * op.dense_macs for op in self.operations)

    @property
    def real_macs(self) -> int:
        return sum(op.times * op.real_macs for op in self.operations)

    @property
    def rules(self) -> Mapping[str, str]:
        """The operations that were counted by a rule, and the rule of each in words."""
        return {op.eqn.primitive.name: op.rule for op in self.operations if op.rule is not None}

    def by_kind(self) -> dict[Kind, 'Count']:
        """Split into 'convolution' and 'matmul', each with all of its passes, and 'rule' where one is used."""
        kinds: list[Kind] = ['convolution', 'matmul', *(['rule'] if self.rules else [])]
        return {kind: Count(tuple(op for op in self.operations if op.kind == kind)) for kind in kinds}

    def by_conv_pass(self) -> dict[Pass, 'Count']:
        """The convolutions alone, split into 'forward', 'input_gradient' and 'weight_gradient'."""
        return {each: Count(tuple(op for op in self.operations if op.conv_pass == each)) for each in PASSES}

    def by_layer(self) -> dict[str, 'Count']:
        """Split by the name of the layer, in the order of the program."""
        return _split(self.operations, lambda op: op.layer)

    def by_kernel(self) -> dict[Kernel, 'Count']:
        """The parts that Pallas kernels do, in the order of the program; what no kernel does is not among them."""
        return _split((op for op in self.operations if op.kernel), lambda op: op.kernel)


def _split(operations, by) -> dict[Any, Count]:
    parts = collections.defaultdict(list)
    for op in operations:
        parts[by(op)].append(op)
    return {part: Count(tuple(ops)) for part, ops in parts.items()}
