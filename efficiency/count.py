"""Counts what the networks cost, without training them and without making a single parameter.

    python -m efficiency.count --models='resnet*' --image_size=224 --format=json

Per example, in multiply-adds: dense counts padding, real only products whose two factors exist. Training is forward and
backward of the network and its loss; what an optimizer multiplies is not counted, as it does not grow with the batch.

    python -m efficiency.count --models=resnet50 --by_layer

shows one network layer by layer, and

    python -m efficiency.count --config=configs/alexnet.py:cifar10 --config.precision=bfloat16

counts the very train step of a recipe. What compilers say (--xla, --compiled, --topology) is in flops, two a
multiply-add, and of the whole batch.
"""

import argparse
import functools
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from efficiency import backend, console
from efficiency.arguments import Parser
from efficiency.errors import UserError
from efficiency.tables import FORMATS, render
from efficiency.training.memory import collect_rarely

if TYPE_CHECKING:
    from efficiency.costs import Counted
    from efficiency.tasks import Entry

COLUMNS = (
    'model', 'task', 'published', 'params', 'image_size', 'forward_dense_macs', 'forward_real_macs', 'train_dense_macs',
    'train_real_macs', 'train_over_forward', 'reason',
)  # fmt: skip
_Row = dict[str, Any]
# A process takes two seconds to start, and 320 MiB: three of them and this one stay below 1.5 GiB.
_NETWORKS_A_WORKER, _MOST_WORKERS = 4, 3


def count_network(name: str, *, options: Mapping[str, Any] = MappingProxyType({}), **sizes: int | None) -> _Row:
    """What a network costs for one example.

    Args:
        name: see `efficiency.tasks.networks.list_networks`.
        options: of the network, as `config.model` has them.
        sizes: `image_size` (pixels a side; the network's own where None) and `num_classes` (of the last layer; 1000)
            of images, `vocabulary` of text, and `length`: tokens of the source and of the target (25) of translation,
            of a row (the paper's, or 256) of language.

    Returns:
        By the names of `COLUMNS`, and other sizes: whole numbers, `train_over_forward` a ratio of dense ones; for a
        network that does not exist at that size nulls, and the reason.
    """
    from efficiency.costs import counted_network

    return _row(name, sizes, lambda: counted_network(name, options=options, **sizes))


def count_networks(names: Sequence[str], **sizes: int | None) -> list[_Row]:
    """As `count_network`, of many: by a process for each of three cores at most, where that pays.

    A script that calls this must do so under `if __name__ == '__main__':`.
    """
    one = functools.partial(count_network, **sizes)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    workers = min(cores, _MOST_WORKERS, len(names) // _NETWORKS_A_WORKER)
    if workers < 2:
        return [one(name) for name in _with_progress(names)]
    with ProcessPoolExecutor(workers, multiprocessing.get_context('spawn'), collect_rarely) as pool:
        return list(_with_progress(pool.map(one, names), len(names)))


def _with_progress(items: Iterable, total: int | None = None) -> Iterable:
    """With a bar on a terminal."""
    from tqdm import tqdm

    return tqdm(items, total=total, unit=' networks', leave=False, disable=None)


def _row(
    name: str,
    sizes: Mapping[str, int | None],
    make: Callable[[], 'Counted'],
    more: Sequence[Callable[['Counted'], _Row]] = (),
) -> _Row:
    """A row with columns that `more` adds; where what is to be counted cannot be made, what can be told without it."""
    from efficiency.costs import costs
    from efficiency.tasks.networks import list_networks, network_entry

    row = dict.fromkeys(COLUMNS) | {'model': name}
    # A config's, whose task may be another, is made already.
    task, entry = network_entry(name) if name in list_networks() else (None, None)
    if entry:
        row |= {'task': task.name, 'published': entry.published.isoformat()}
    try:
        made = make()
    except UserError as error:
        if entry is None or not hasattr(entry, 'image_size'):
            raise
        return row | {'image_size': sizes.get('image_size') or entry.image_size, 'reason': str(error)}
    if entry and made.task != task.name:
        row['published'] = None
    row |= {'task': made.task, **made.stage, **made.sizes} | costs(made)
    for add in more:
        row |= add(made)
    return row


def _parser() -> argparse.ArgumentParser:
    parser = Parser('efficiency.count', __doc__)
    parser.add_argument('--models', help='names or shell patterns, as alexnet,resnet*; all of images by default')
    parser.add_argument('--image_size', type=int, help="pixels a side; each network's own by default")
    parser.add_argument('--num_classes', type=int, help="width of the last layer; 1000, or a config's data set's")
    parser.add_argument(
        '--length', type=int,
        help="tokens of a row, or of a source and of its translation; the paper's, or 256, or 25 of translation",
    )  # fmt: skip
    parser.add_argument(
        '--batch_size', type=int,
        help='of the step that --xla lowers or a compiler compiles; one example by default, compiled one a device',
    )  # fmt: skip
    parser.add_argument('--config', metavar='FILE[:PRESET]', help='a recipe instead of networks, as efficiency.main')
    parser.add_argument('--data_dir', help="where a config's data set is, as for efficiency.main")
    parser.add_argument('--by_layer', action='store_true', help='one network or config, layer by layer')
    parser.add_argument('--xla', action='store_true', help="add XLA's count of what is lowered")
    parser.add_argument('--compiled', action='store_true', help="add XLA's count of what is compiled for this machine")
    parser.add_argument('--topology', help='add what is compiled for TPUs that are not here, as v5e:16x16')
    parser.add_argument(
        '--against', help="set other frameworks' counts beside ours: torch,fvcore,thop, or some of them"
    )
    parser.add_argument('--format', choices=FORMATS, default='table')
    return parser


def _check(arguments: argparse.Namespace) -> None:
    for option in ('image_size', 'num_classes', 'length', 'batch_size'):
        value = getattr(arguments, option)
        if value is not None and not 1 <= value <= 65536:
            raise UserError(f'--{option} is {value}; it must be a whole number from 1 to 65536')
    if arguments.config is not None:
        for option in ('models', 'image_size', 'length', 'batch_size'):
            if getattr(arguments, option) is not None:
                keys = {'models': 'config.model.name', 'length': 'config.context or --config.buckets'}
                own = keys.get(option, f'config.{option}')
                raise UserError(f'--{option} and --config do not go together; pass --{own} instead')
    elif arguments.data_dir is not None:
        raise UserError("--data_dir is for a --config's data set; networks need none")
    if arguments.compiled and arguments.topology is not None:
        raise UserError('--compiled is for this machine and --topology for another; ask for one of them at a time')
    if arguments.by_layer and (arguments.xla or arguments.compiled or arguments.topology is not None):
        raise UserError('--by_layer has no figures of a compiler, which fuses layers; ask for one of them at a time')
    alone = ('config', 'batch_size', 'by_layer', 'xla', 'compiled', 'topology')
    together = next((option for option in alone if getattr(arguments, option) not in (None, False)), None)
    if arguments.against is not None and together:
        raise UserError(f"--against sets networks' counts for one example beside others'; leave --{together} out")


def _names(arguments: argparse.Namespace) -> list[str]:
    from efficiency.tasks.networks import list_networks, network_entry

    if arguments.models is None:
        return list_networks(task='images')
    # One that matches none is taken for a name, whose error tells the nearest.
    patterns = arguments.models.split(',')
    names = [name for pattern in patterns for name in list_networks(pattern) or [network_entry(pattern)[1].name]]
    return list(dict.fromkeys(names))


def _sizes(arguments: argparse.Namespace) -> dict[str, int | None]:
    """The sizes that were asked for."""
    asked = {name: getattr(arguments, name) for name in ('image_size', 'num_classes', 'length')}
    return {name: value for name, value in asked.items() if value is not None}


def _devices(arguments: argparse.Namespace) -> int:
    """How many devices a step is compiled for, 1 where it is not."""
    if arguments.compiled:
        import jax

        return jax.device_count()
    if arguments.topology is not None:
        from efficiency.flops.ahead import topology_devices

        return len(topology_devices(arguments.topology)[0])
    return 1


def _to_be_counted(arguments: argparse.Namespace, overrides: list[str]) -> list[tuple[str, Callable[[], 'Counted']]]:
    """The names of the networks to be counted, and what makes of each what is counted."""
    from efficiency.costs import counted_network, counted_stages

    if arguments.config is not None:
        from efficiency.config_file import read_config
        from efficiency.tasks import task_entry
        from efficiency.training.recipe import outlined
        from efficiency.training.settings import check_config

        config = read_config(arguments.config, overrides)
        known = {} if arguments.num_classes is None else {'num_classes': arguments.num_classes}
        if known and not _has_classes(entry := task_entry(check_config(config).task)):
            raise UserError(f'--num_classes is of images, and the config is of the task {entry.name}')
        stages = counted_stages(outlined(config, arguments.data_dir, known))
        return [(config.model.name, lambda stage=stage: stage) for stage in stages]
    batch_size, sizes = arguments.batch_size or _devices(arguments), _sizes(arguments)
    return [(name, lambda name=name: counted_network(name, batch_size, **sizes)) for name in _names(arguments)]


def _has_classes(entry: 'Entry') -> bool:
    """Whether what a task outlines may depend on how many classes there are."""
    from efficiency.tasks.networks import sizes_of

    return entry.outline is not None and (not entry.networks or 'num_classes' in sizes_of(entry))


def _counted(arguments: argparse.Namespace, overrides: list[str]) -> list[_Row]:
    """The rows of the command."""
    from efficiency import costs

    if arguments.against is not None:
        from efficiency.against import compare_networks
        from efficiency.tasks.networks import network_entry

        names, frameworks = _names(arguments), arguments.against.split(',')
        for name in names:
            if (task := network_entry(name)[0].name) != 'images':
                raise UserError(f'--against is of networks of images, and {name} is of {task}')
        return compare_networks(names, frameworks, arguments.image_size, arguments.num_classes or 1000)
    compilers = arguments.xla or arguments.compiled or arguments.topology is not None
    if not (compilers or arguments.by_layer or arguments.config is not None):
        return _aligned(count_networks(_names(arguments), **_sizes(arguments)))
    found = _to_be_counted(arguments, overrides)
    if arguments.by_layer:
        if len(found) != 1:
            named = (
                f'--models names {len(found)}' if arguments.config is None else f'--config has {len(found)} programs'
            )
            raise UserError(f'--by_layer is of one network, and {named}')
        return costs.layer_costs(found[0][1]())
    more: list[Callable] = []
    if arguments.xla:
        more.append(costs.xla_costs)
    if arguments.compiled:
        more.append(costs.compiled_costs)
    if arguments.topology is not None:
        more.append(lambda counted: costs.topology_costs(counted, arguments.topology))
    return _aligned([_row(name, _sizes(arguments), make, more) for name, make in _with_progress(found)])


def _aligned(rows: list[_Row]) -> list[_Row]:
    """With the same columns in each, in one order."""
    columns = dict.fromkeys(column for row in rows for column in row)
    return [dict.fromkeys(columns) | row for row in rows]


def _with_total(layers: list[_Row]) -> list[_Row]:
    """A last row for reading, which would count everything twice where rows are summed."""
    if not layers:
        return []
    numbers = [column for column, value in layers[0].items() if isinstance(value, int | float)]
    total = {column: sum(row[column] for row in layers) for column in numbers}
    return [*layers, dict.fromkeys(layers[0]) | {'layer': 'total'} | total]


@console.command
def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    collect_rarely()
    arguments, rest = _parser().parse_known_args(argv)
    if rest and arguments.config is None:
        raise UserError(f'there is no option {rest[0]}; --help lists those that there are')
    _check(arguments)
    if arguments.compiled:
        backend.check_devices()
    else:
        backend.count_on_cpu()
        backend.check_settings()
    if arguments.topology is not None:
        from efficiency.flops import ahead

        ahead.check_topology(arguments.topology)
        ahead.leave_tpus_alone()
    rows = _counted(arguments, rest)
    if arguments.by_layer and arguments.format in ('table', 'markdown'):
        rows = _with_total(rows)
    console.deliver(render(rows, arguments.format))
    if arguments.against is None:
        return 0
    from efficiency.flops.frameworks import UNEXPLAINED

    if strange := [row['model'] for row in rows if UNEXPLAINED in row['reason']]:
        console.say(f'no rule explains all of the difference for {", ".join(strange)}')
        return 1
    return 0


if __name__ == '__main__':
    console.start()
    sys.exit(main())
