"""What each layer costs."""

import collections
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import jax
from flax import linen as nn

from efficiency.costs.counted import Counted
from efficiency.costs.tables import ratio
from efficiency.flops import Count, count
from efficiency.layers import ops
from efficiency.training.programs import per_example, without_optimizer


def layer_costs(counted: Counted) -> list[dict[str, Any]]:
    """What each layer costs: all that have parameters of their own or multiply, in the order in which they run.

    Returns:
        For each {'layer': its path in the network, 'output_shape': of one example, 'params', 'forward_dense_macs',
        'forward_real_macs', 'share': of the forward dense macs, 'train_dense_macs', 'train_real_macs': for one
        example}. Their sums are those of `costs`, without an optimizer as there. What is multiplied outside the network
        is a layer of its scope's name; output_shape is None where it is not known.
    """
    counted_step, shapes = _counted_with_shapes(counted)
    folders = _folders(counted.variables['params'])
    forward = _by_path(counted.forward, shapes.keys() | folders, counted.network)
    train = _by_path(without_optimizer(counted_step), shapes.keys() | folders, counted.network)
    modules = dict.fromkeys([*shapes, *forward, *train, ''])
    params = _params_by_path(counted.variables['params'], modules)
    none = Count(())
    rows = []
    for path in modules:
        once, step = forward.get(path, none), train.get(path, none)
        if params[path] or step.dense_macs:
            rows.append({
                'layer': path or 'the network itself',
                'output_shape': shapes.get(path),
                'params': params[path],
                'forward_dense_macs': once.dense_macs,
                'forward_real_macs': once.real_macs,
                'share': ratio(once.dense_macs, counted.forward.dense_macs),
                'train_dense_macs': per_example(step.dense_macs, counted.batch_size),
                'train_real_macs': per_example(step.real_macs, counted.batch_size),
            })  # fmt: skip
    return rows


def _counted_with_shapes(counted: Counted) -> tuple[Count, dict[str, str | None]]:
    """The count of the step, and what each module gives for one example in it, by its path: '56x56x64'.

    Both come of one trace, which is most of the time that a count takes.
    """
    shapes = {}

    def note(next_method, args, kwargs, context):
        output = next_method(*args, **kwargs)
        path = '/'.join(context.module.path)
        if context.method_name == '__call__' or (context.method_name != 'setup' and path not in shapes):
            first = next(iter(jax.tree.leaves(output)), None)
            shapes[path] = _of_one(first.shape, counted.batch_size) if hasattr(first, 'shape') else None
        return output

    with nn.intercept_methods(note), ops.override('stock'):
        return count(counted.step, counted.state, counted.batch), shapes


def _of_one(shape: Sequence[int], batch_size: int) -> str:
    """A batch's shape without the axis of the examples: the first of their number, as time may stand before it."""
    axis = shape.index(batch_size) if batch_size in shape else 0
    return 'x'.join(map(str, (*shape[:axis], *shape[axis + 1 :])))


def _folders(params: Any, path: str = '') -> set[str]:
    """The paths of all that holds parameters: modules, and parameters of several arrays."""
    if not isinstance(params, Mapping):
        return set()
    within = (_folders(held, f'{path}/{name}'.lstrip('/')) for name, held in params.items())
    return {path}.union(*within)


def _by_path(count: Count, paths: Set[str], network: nn.Module | None) -> dict[str, Count]:
    """A count by modules' paths; what runs in none of them by the outermost scope's name."""
    found: dict[str, tuple] = {}
    for name, part in count.by_layer().items():
        top, *scopes = name.split('/')
        path = top
        if top.partition('.')[0] == (getattr(network, 'name', None) or type(network).__name__):
            path = ''
            for scope in scopes:
                # Of a method other than __call__ the scope is module.method; others may be anywhere between.
                there = (f'{path}/{each}'.lstrip('/') for each in (scope, scope.rpartition('.')[0]) if each)
                path = next((each for each in there if each in paths), path)
        found[path] = (*found.get(path, ()), *part.operations)
    return {path: Count(operations) for path, operations in found.items()}


def _params_by_path(params: Any, modules: Iterable[str]) -> collections.Counter[str]:
    """How many parameters are each module's own; those of one that never ran are of the nearest around it that did."""
    own = collections.Counter()
    for keys, leaf in jax.tree.leaves_with_path(params):
        path = jax.tree_util.keystr(keys, simple=True, separator='/')
        while path not in modules:
            path = path.rpartition('/')[0]
        own[path] += leaf.size
    return own
