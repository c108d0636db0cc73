"""Makes the jaxpr of a function to be counted, with what it changes in place, and marks of its convolutions' passes."""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.extend.core.primitives as standard
import numpy as np
from jax.extend import core
from jax.interpreters import ad

from efficiency.errors import UserError, shown
from efficiency.flops import modules
from efficiency.flops.held import Held

Operand = Literal['lhs', 'rhs']
# By the scope that it leaves in the name stack, the operand of a convolution that a transposition gave the gradient of.
MARKS: Mapping[str, Operand] = {'~gradient_of_lhs': 'lhs', '~gradient_of_rhs': 'rhs'}

# Whether transpositions of convolutions leave marks. In the keys of jax's caches, so that nothing that was traced
# without them is found again.
_marks = jax.make_user_context(False)


class CountError(UserError):
    """A program that cannot be counted; the message names the operation and the layer, where it is one of them."""


def _marking(rule: Callable, mark: str) -> Callable:
    @functools.wraps(rule)
    def marked(*args, **kwargs):
        with jax.named_scope(mark) if _marks.value else contextlib.nullcontext():
            return rule(*args, **kwargs)

    return marked


def _mark_transpositions() -> None:
    """Has jax's own rules by which it transposes products leave marks, where they are asked to.

    A convolution in a gradient is a forward pass, or a gradient of either operand, and neither its shapes nor its
    layout tell which. The rule that makes it knows, and as a transposition keeps the name stack of what it transposes,
    the marks of a gradient of gradients are there in their order. The same tells of a matrix multiply what was summed
    over in the product that was written.
    """
    for product in (standard.conv_general_dilated_p, standard.dot_general_p):
        rules = getattr(ad.primitive_transposes.get(product), 'args', ())
        # A jax that keeps its rules elsewhere leaves no marks, and what would need them is then an error.
        if len(rules) == len(MARKS):
            ad.defbilinear(product, *map(_marking, rules, MARKS))


_mark_transpositions()


@contextlib.contextmanager
def tracing() -> Iterator[None]:
    """Within this, jaxprs are made as `efficiency.flops.count_jaxpr` needs them.

    A convolution's passes can be told apart in them, and the layers of NNX modules have names.
    """
    with _marks(True), modules.scopes():
        yield


def trace(fn: Callable, args: Sequence[Any], kwargs: Mapping[str, Any]) -> core.ClosedJaxpr:
    """The jaxpr of a function's results and of all that it leaves changed: in its arguments, and in what it holds.

    Args:
        fn, args, kwargs: a call that jax can trace; the arrays in its arguments, or `jax.ShapeDtypeStruct`s, stand for
            any of their shape, everything else in them is taken as it is.

    Raises:
        CountError: if it is no function, or takes or gives arrays that jax does not know.
    """
    _check_function(fn)
    fn, args, kwargs = _unbound(fn, tuple(args), dict(kwargs))
    leaves, structure = jax.tree.flatten((args, kwargs))
    arrays = [i for i, leaf in enumerate(leaves) if is_array(leaf)]
    for i in arrays:
        _check_array(leaves[i], 'an argument')
    held = Held([fn, *(leaf for leaf in leaves if not is_array(leaf))])

    def run(*given):
        filled = list(leaves)
        for i, array in zip(arrays, given, strict=True):
            filled[i] = array
        again, named = jax.tree.unflatten(structure, filled)
        modules.name(again, named)
        try:
            results = jax.tree.leaves(fn(*again, **named))
        finally:
            left = held.restore()
        _check_results(results)
        # Modules and containers that were given may hold something else by now.
        changed = [leaf for leaf in jax.tree.leaves((again, named)) if is_array(leaf) and not _is_reference(leaf)]
        return [leaf[...] if _is_reference(leaf) else leaf for leaf in results], changed, left

    with tracing():
        try:
            return jax.make_jaxpr(run)(*(leaves[i] for i in arrays))
        except Exception as error:
            if not _is_of_a_captured_module(error):
                raise
            raise CountError(
                'the function changes a module that it does not get as an argument; pass modules and optimizers beside '
                'the function, as count(step, model, optimizer, batch)'
            ) from error


def _unbound(fn: Callable, args: tuple, kwargs: dict[str, Any]) -> tuple[Callable, tuple, dict[str, Any]]:
    """A call with what is bound to its function, as the module that it is or is a method of, among the arguments."""
    while True:
        if isinstance(fn, functools.partial):
            fn, args, kwargs = fn.func, (*fn.args, *args), fn.keywords | kwargs
        elif inspect.ismethod(fn) and _is_container(fn.__self__):
            fn, args = fn.__func__, (fn.__self__, *args)
        elif _is_container(fn):
            fn, args = type(fn).__call__, (fn, *args)
        else:
            return fn, args, kwargs


def _is_container(value: Any) -> bool:
    """Whether jax knows what it holds, as of an NNX module."""
    return not (jax.tree.all(jax.tree.map(lambda leaf: leaf is value, value)) and jax.tree.leaves(value))


def _is_of_a_captured_module(error: Exception) -> bool:
    """Whether NNX refuses to read or change a module that was made outside of the trace."""
    return type(error).__name__ == 'TraceContextError' or str(error).startswith('Cannot extract graph node')


def is_array(leaf: Any) -> bool:
    """Whether it is an array for jax, or stands for one; what is not is part of the function."""
    return isinstance(leaf, jax.Array | jax.ShapeDtypeStruct | np.ndarray) or _is_reference(leaf)


def _is_reference(leaf: Any) -> bool:
    """Whether it is a `jax.Ref`, or the shape of one."""
    return hasattr(getattr(leaf, 'aval', None), 'inner_aval')


def _check_function(fn: Any) -> None:
    if isinstance(fn, jax.stages.Compiled | jax.stages.Lowered | jax.stages.Traced):
        of = 'its .jaxpr to count_jaxpr' if isinstance(fn, jax.stages.Traced) else 'the function that it was made of'
        raise CountError(f'a {type(fn).__name__.lower()} program cannot be traced again; pass {of}')
    if isinstance(fn, jax.extend.core.ClosedJaxpr | jax.extend.core.Jaxpr):
        raise CountError('this is a jaxpr, no function; pass it to count_jaxpr')
    if not callable(fn):
        raise CountError(f'only a function can be counted, not {shown(fn)}, of type {type(fn).__name__}')


def _check_array(leaf: Any, what: str) -> None:
    if isinstance(leaf, np.ndarray):
        try:
            jax.typeof(leaf)
        except TypeError as error:
            raise CountError(
                f'jax has no arrays of dtype {leaf.dtype}, as {what} is; numbers are what counts'
            ) from error


def _check_results(results: Sequence[Any]) -> None:
    for result in results:
        _check_array(result, 'a result of the function')
        if not is_array(result) and not isinstance(result, bool | int | float | complex | np.number | np.bool_):
            raise CountError(
                f'the function gives {shown(result)}, of type {type(result).__name__}; what is counted gives arrays'
            )
