"""What an equation's name stack and traceback tell of it: the scopes around it, and what it is the gradient of."""

import dataclasses
from typing import Any

from efficiency.flops.tracing import MARKS, Operand

# The scope that jax puts around what a rematerialised part computes again, while that part is transposed.
_AGAIN = 'rematted_computation'


@dataclasses.dataclass(frozen=True)
class Place:
    """Where an equation stands in a program.

    Attributes:
        scopes: names of the scopes around it, those of a layer's forward and backward pass alike.
        transposes: of how many transpositions of something written it is the result: none in a forward pass, one in
            its gradient, two in a gradient of that.
        by_rule: whether a rule of a `custom_vjp` wrote it, in a gradient.
        gradients: of which operand of a convolution it is the gradient, and that of which before, see
            `efficiency.flops.convolution.roles`.
    """

    scopes: tuple[str, ...] = ()
    transposes: int = 0
    by_rule: bool = False
    gradients: tuple[Operand, ...] = ()

    @property
    def is_told_apart(self) -> bool:
        """Whether `gradients` says all of a convolution: nothing transposed it, or what did left its marks.

        In a gradient, one that a rule has written as it is has none either.
        """
        return bool(self.gradients) or self.by_rule or not self.transposes

    def of(self, eqn: Any) -> 'Place':
        """The place of an equation of a jaxpr that is here, and so of the jaxprs that it holds."""
        stack = eqn.source_info.name_stack.stack
        marks = tuple(MARKS[element.name] for element in stack if element.name in MARKS)
        if marks:
            stack = tuple(element for element in stack if element.name not in MARKS)
        transposed = self.transposes or any(_is_transpose(element) for element in stack)
        if transposed and eqn.primitive.name in ('checkpoint', 'remat2'):
            stack = _once(stack)
        scopes, transposes = _read(stack)
        again = scopes.count(_AGAIN)
        found = max(0, self.transposes + transposes - again)
        return Place(
            (*self.scopes, *(scope for scope in scopes if scope != _AGAIN)),
            found,
            self.by_rule or (found > 0 and _is_called_by('custom_vjp.__call__', eqn)),
            (*self.gradients, *marks),
        )


def _is_transpose(element: Any) -> bool:
    return type(element).__name__ == 'Transform' and element.name == 'transpose'


def _once(stack: tuple[Any, ...]) -> tuple[Any, ...]:
    """The stack of a rematerialised part in a gradient without its end, where that says again what it began with."""
    for length in range(len(stack) // 2, 0, -1):
        beginning, end = stack[:-length], list(stack[-length:])
        for element in beginning:
            if end and element == end[0]:
                end.pop(0)
            elif not _is_transpose(element):
                break
        else:
            if not end:
                return beginning
    return stack


def _read(stack: tuple[Any, ...]) -> tuple[list[str], int]:
    """The names of a stack's scopes, and how many of its transformations are transpositions."""
    # Parts that each begin with a derivative: the scopes of each, and its transpositions.
    parts: list[tuple[list[str], int]] = [([], 0)]
    for element in stack:
        scopes, transposes = parts[-1]
        if _is_transpose(element):
            parts[-1] = scopes, transposes + 1
        elif type(element).__name__ == 'Scope':
            scopes.append(element.name)
        elif element.name == 'jvp' and scopes:
            parts.append(([], 0))
    scopes, transposes = parts[0]
    for more, transposed in parts[1:]:
        # The derivative of what is rematerialised names its scopes twice over, transpose(jvp(a))/jvp(a).
        twice = transposes and more[: len(scopes)] == scopes
        scopes = more if twice else scopes + more
        transposes = max(transposes, transposed) if twice else transposes + transposed
    return scopes, transposes


def is_transposed_convolution(eqn: Any) -> bool:
    """Whether `jax.lax.conv_transpose` wrote a convolution, or what it is the gradient of."""
    return _is_called_by('conv_transpose', eqn)


def _is_called_by(function: str, eqn: Any) -> bool:
    """Whether that function of jax's was asked for where an equation comes from, by whatever is not jax's."""
    traceback = eqn.source_info.traceback
    for frame in traceback.frames if traceback else ():
        if frame.function_name == function:
            return True
        if '/jax/' not in frame.file_name.replace('\\', '/'):
            return False
    return False
