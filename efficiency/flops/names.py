"""What an equation's name stack and traceback tell of it: the scopes around it, and how often it was transposed."""

import dataclasses
from typing import Any

# The scope that jax puts around what a rematerialised part computes again, while that part is transposed.
_AGAIN = 'rematted_computation'


@dataclasses.dataclass(frozen=True)
class Place:
    """Where an equation stands in a program.

    Attributes:
        scopes: names of the scopes around it, those of a layer's forward and backward pass alike.
        transposes: of how many transpositions of something written it is the result: none in a forward pass, one in
            its gradient, two in a gradient of that.
        by_rule: whether a rule of a `custom_vjp` wrote it, in a gradient, where `transposes` does not tell what was
            transposed and what was written as it is.
    """

    scopes: tuple[str, ...] = ()
    transposes: int = 0
    by_rule: bool = False

    def of(self, eqn: Any) -> 'Place':
        """The place of an equation of a jaxpr that is here, and so of the jaxprs that it holds."""
        stack = eqn.source_info.name_stack.stack
        transposed = self.transposes or any(_is_transpose(element) for element in stack)
        if transposed and eqn.primitive.name in ('checkpoint', 'remat2'):
            stack = _once(stack)
        scopes, transposes = _read(stack)
        again = scopes.count(_AGAIN)
        found = max(0, self.transposes + transposes - again)
        return Place(
            (*self.scopes, *(scope for scope in scopes if scope != _AGAIN)),
            found,
            self.by_rule or (found > 0 and _is_by_rule(eqn.source_info.traceback)),
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


def _is_by_rule(traceback: Any) -> bool:
    """Whether what jax was asked for, where an equation comes from, is a function with a `custom_vjp`."""
    for frame in traceback.frames if traceback else ():
        if frame.function_name == 'custom_vjp.__call__':
            return True
        if '/jax/' not in frame.file_name.replace('\\', '/'):
            return False
    return False
