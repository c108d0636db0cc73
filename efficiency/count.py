"""Counts what the networks cost, without training them and without making a single parameter.

    python -m efficiency.count --models='resnet*' --image_size=224 --format=json

Per example, in multiply-adds: dense counts padding, real only products whose two factors exist. Training is forward and
backward of the network and its loss, for one example; the optimizer is not counted.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from efficiency.errors import UserError

COLUMNS = (
    'model', 'published', 'params', 'image_size', 'forward_dense_macs', 'forward_real_macs', 'train_dense_macs',
    'train_real_macs', 'train_over_forward', 'reason',
)  # fmt: skip
_TEXTS = ('model', 'published', 'reason')  # the others are numbers


def count_network(
    name: str,
    image_size: int | None = None,
    num_classes: int = 1000,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """What a network costs for one example.

    Args:
        name: see `efficiency.models.list_models`.
        image_size: pixels a side; the network's own where None.
        num_classes: width of the last layer.
        options: of the network, see `efficiency.models.create_model`.

    Returns:
        By the names of `COLUMNS`: whole numbers, `train_over_forward` a ratio of dense ones; for a network that does
        not exist at that size nulls, and the reason.
    """
    import jax
    import jax.numpy as jnp

    from efficiency.flops import count
    from efficiency.models import create_model, model_entry
    from efficiency.models.initializers import variable_shapes
    from efficiency.training.loss import loss_and_stats
    from efficiency.training.programs import forward_count

    entry = model_entry(name)
    model = create_model(name, num_classes, image_size, options=options)
    size = model.image_size
    row = dict.fromkeys(COLUMNS) | {'model': name, 'published': entry.published.isoformat(), 'image_size': size}
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    label = jax.ShapeDtypeStruct((1,), jnp.int32)
    key = jax.ShapeDtypeStruct((2,), jnp.uint32)
    try:
        variables = variable_shapes(model, size)
    except UserError as error:
        return row | {'reason': str(error)}
    params, batch_stats = variables['params'], variables.get('batch_stats', {})

    def train(params, batch_stats, images, labels, key):
        def loss(params):
            return loss_and_stats(model, params, batch_stats, images, labels, jax.random.wrap_key_data(key))

        return jax.value_and_grad(loss, has_aux=True)(params)

    forward = forward_count(model, variables, size)
    step = count(train, params, batch_stats, image, label, key)
    return row | {
        'params': sum(leaf.size for leaf in jax.tree.leaves(params)),
        'forward_dense_macs': forward.dense_macs,
        'forward_real_macs': forward.real_macs,
        'train_dense_macs': step.dense_macs,
        'train_real_macs': step.real_macs,
        'train_over_forward': step.dense_macs / forward.dense_macs,
    }


def _cells(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """A line of headings, then the rows, for reading: thousands separated; reasons only where there are any."""

    def cell(value):
        if value is None:
            return '-'
        return f'{value:.3f}' if isinstance(value, float) else f'{value:,}' if isinstance(value, int) else str(value)

    columns = [column for column in COLUMNS if column != 'reason' or any(row['reason'] for row in rows)]
    return [columns, *([cell(row[column]) for column in columns] for row in rows)]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows for reading: aligned columns, numbers with thousands separated."""
    lines = _cells(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    pads = [str.ljust if column in _TEXTS else str.rjust for column in lines[0]]

    def line(cells):
        return '  '.join(pad(text, width) for pad, text, width in zip(pads, cells, widths, strict=True))

    return '\n'.join(line(cells).rstrip() for cells in lines)


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a table in Markdown, as in `docs/networks.md`."""
    headings, *lines = _cells(rows)
    rule = ['---' if heading in _TEXTS else '---:' for heading in headings]
    return '\n'.join(f'| {" | ".join(cells)} |' for cells in (headings, rule, *lines))


def as_json(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a list of objects: exact integers, and null for what is not there."""
    return json.dumps(rows, indent=1)


_FORMATS = {'table': table, 'markdown': markdown, 'json': as_json}


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--models', default='*', help='a shell pattern of names, as resnet*; all by default')
    parser.add_argument('--image_size', type=int, help="pixels a side; each network's own by default")
    parser.add_argument('--num_classes', type=int, default=1000)
    parser.add_argument('--format', choices=_FORMATS, default='table')
    arguments = parser.parse_args(argv)
    from efficiency.models import list_models, model_entry

    try:
        for option in ('image_size', 'num_classes'):
            value = getattr(arguments, option)
            if value is not None and not 1 <= value <= 65536:
                raise UserError(f'--{option} is {value}; it must be a whole number from 1 to 65536')
        names = list_models(arguments.models)
        if not names:
            model_entry(arguments.models)
    except UserError as error:
        print(f'efficiency: {error}', file=sys.stderr)
        return 2
    rows = [count_network(name, arguments.image_size, arguments.num_classes) for name in names]
    print(_FORMATS[arguments.format](rows))
    return 0


if __name__ == '__main__':
    sys.exit(main())
