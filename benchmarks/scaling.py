"""What a train step becomes on slices of 1 to 256 TPU chips, compiled ahead of time: nothing is run, no TPU is needed.

    python -m benchmarks.scaling --write

has libtpu compile each network's recipe for ImageNet, with its optimizer and batch norm over the whole batch, for a
constant batch a chip. It prints what a chip computes, holds and exchanges in a step, and whether it is so that flops do
not grow with the slice, and that gradients are exchanged, by all-reduces alone, and at most a hundredth more; where one
of these is not so the exit code is 1. It needs the extra `tpu-aot`, and for each of them up to seven CPU minutes and 4
GiB. With --write each row is kept once it is there, and the same command goes on where it stopped. Keys of the
config are set as in training, as --config.precision=bfloat16.

    python -m benchmarks.scaling --plan=1000

compiles nothing, and prints what so many chips would take and do, from the rows that are kept.
"""

import argparse
import csv
import datetime
import multiprocessing
import pathlib
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NamedTuple

from benchmarks import machine, scaling_plan
from efficiency.errors import UserError
from efficiency.tables import render

RESULT = 'scaling'
CONFIGS = pathlib.Path(__file__).parent.parent / 'configs'
RECIPES = {
    'shufflenet_v2_x1_0': 'shufflenet_v2.py', 'resnet50': 'resnet50.py', 'efficientnet_b0': 'efficientnet.py',
}  # fmt: skip
TOPOLOGIES = ('v5e:1x1', 'v5e:2x4', 'v5e:8x8', 'v5e:16x16')
NUM_CLASSES = 1000
# The most by which they may differ, of themselves.
BETWEEN_SLICES, FROM_ONE_CHIP, BEYOND_GRADIENTS = 0.001, 0.01, 0.01
Row = dict[str, Any]


class Settings(NamedTuple):
    """What is compiled: the first columns of its row."""

    network: str
    topology: str
    batch_per_chip: int
    matmul_precision: str
    overrides: str


def compile_step(settings: Settings) -> Row:
    """A recipe's train step on a slice, as the columns that follow its settings: of one chip, in one step.

    Raises:
        UserError: for a mistake in an override, if there is no such slice, the step does not fit into the memory of its
            chips, or libtpu is not installed.
    """
    from efficiency.flops.ahead import compile_ahead, leave_tpus_alone, topology_devices

    leave_tpus_alone()
    import jax

    from efficiency.config_file import read_config
    from efficiency.costs import counted_recipe
    from efficiency.training.mesh import DataParallel

    there, chips = topology_devices(settings.topology)
    batch = f'--config.batch_size={settings.batch_per_chip * chips}'
    path = f'{CONFIGS / RECIPES[settings.network]}:imagenet2012'
    config = read_config(path, [batch, *settings.overrides.split()])
    counted = counted_recipe(config, {'num_classes': NUM_CLASSES})
    devices = DataParallel(counted.batch_size, there)
    with jax.default_matmul_precision(settings.matmul_precision):
        step = compile_ahead(counted.step, counted.state, counted.batch, devices.replicated, devices.split, donate=True)
    all_reduces, all_reduce_bytes = step.collectives.pop('all-reduce', (0, 0))
    sends, send_bytes = step.collectives.pop('send', (0, 0))
    return {
        'chips': chips,
        'flops': step.flops / chips,
        'real_flops': 2 * counted.train.real_macs / chips,
        'mib_held': step.bytes_per_device / 2**20,
        'gb_moved': step.bytes_moved / 1e9,
        'all_reduces': all_reduces,
        'all_reduce_bytes': int(all_reduce_bytes),
        'gradient_bytes': _gradient_bytes(counted, config.precision),
        # Batch norm's means and variances, of the whole batch or those that are kept for evaluation.
        'statistics_bytes': _bytes(counted.state.extra['batch_stats']),
        'sends': sends,
        'send_bytes': int(send_bytes),
        'other_collectives': ', '.join(f'{number} {kind}' for kind, (number, _) in step.collectives.items()) or 'none',
        'state_bytes': _bytes(counted.state),
        'compile_cpu_seconds': round(time.process_time()),
        'compile_mib': round(machine.peak_memory()),
    }


def _bytes(shapes: Any) -> int:
    import jax

    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))


def _gradient_bytes(counted: Any, precision: str) -> int:
    """Of all gradients: batch norm's own are float32, the others what is multiplied."""
    import jax
    import jax.numpy as jnp

    norms = {path[:-1] for path, _ in jax.tree.leaves_with_path(counted.state.extra['batch_stats'])}
    width = jnp.dtype(precision).itemsize
    leaves = jax.tree.leaves_with_path(counted.state.params)
    return sum(leaf.size * (leaf.dtype.itemsize if path[:-1] in norms else width) for path, leaf in leaves)


def compile_steps(settings: Sequence[Settings], jobs: int) -> Iterator[Row]:
    """The row of each of the settings as it gets there, from a process of its own, so many of them at a time.

    Raises:
        UserError: as `compile_step`, or if a process was killed.
    """
    context = multiprocessing.get_context('spawn')
    pool = ProcessPoolExecutor(jobs, context, max_tasks_per_child=1)
    try:
        under_way = {pool.submit(compile_step, each): each for each in settings}
        for done in as_completed(under_way):
            yield under_way[done]._asdict() | done.result()
    except BrokenProcessPool:
        raise UserError('a process that compiled was killed; it may have run out of memory') from None
    finally:
        pool.shutdown(cancel_futures=True)


def claims(rows: Iterable[Row]) -> list[tuple[str, bool]]:
    """What should be so of rows that are the same but for their slices, with its figure, and whether it is."""
    rows = sorted(rows, key=lambda row: row['chips'])
    several = [row for row in rows if row['chips'] > 1]
    if not several:
        return []
    flops = [row['flops'] for row in several]
    spread = max(flops) / min(flops) - 1
    found = [(f'flops a chip differ by {spread:.4%} from {several[0]["topology"]} on', spread <= BETWEEN_SLICES)]
    for row in rows:
        if row['chips'] == 1:
            apart = max(abs(each / row['flops'] - 1) for each in flops)
            found.append((f'flops a chip differ by {apart:.3%} from a single one', apart <= FROM_ONE_CHIP))
            found.append((f'a single one has {row["all_reduces"]} all-reduces', not row['all_reduces']))
    others = dict.fromkeys(row['other_collectives'] for row in rows)
    found.append((f'besides all-reduces there are {" and ".join(others)}', list(others) == ['none']))
    # Between several slices the hosts exchange sums, of which each chip has a part.
    several = [row for row in several if not row['sends']]
    if not several:
        return found
    beyond = max(row['all_reduce_bytes'] / row['gradient_bytes'] - 1 for row in several)
    found.append((f"bytes exchanged are {beyond:.2%} more than the gradients'", beyond <= BEYOND_GRADIENTS))
    # The mean loss is a float32 too. Gradients that are the same are exchanged once.
    more = max(row['all_reduce_bytes'] - row['gradient_bytes'] - row['statistics_bytes'] - 4 for row in several)
    found.append((f'{more:,} bytes exchanged are beyond gradients, statistics and the loss', more <= 0))
    return found


_TEXTS = ('network', 'topology', 'matmul_precision', 'overrides', 'other_collectives', 'hardware', 'versions', 'date')


def read_rows() -> list[Row]:
    """The rows that are kept, whichever machine compiled them, with numbers as numbers."""
    rows = []
    for path in sorted(machine.RESULTS.glob(f'{RESULT}-*.csv')):
        with open(path, newline='', encoding='utf-8') as file:
            rows += csv.DictReader(file)
    return [
        {name: text if name in _TEXTS else float(text) if '.' in text else int(text) for name, text in row.items()}
        for row in rows
    ]


def _settings(row: Row) -> Settings:
    return Settings(*(row[name] for name in Settings._fields))


def _keep(row: Row) -> None:
    rows = [each for each in read_rows() if each['hardware'] == row['hardware'] and _settings(each) != _settings(row)]
    order = ('overrides', 'matmul_precision', 'network', 'chips')
    machine.write_results(RESULT, sorted([*rows, row], key=lambda row: [row[name] for name in order]))


def _line(row: Row) -> str:
    return (
        f'{row["network"]} for {row["topology"]}: {row["flops"]:.5g} flops, {row["mib_held"]:.0f} MiB, '
        f'{row["all_reduces"]} all-reduces of {row["all_reduce_bytes"]:,} bytes; {row["compile_cpu_seconds"]} CPU s'
    )


def _rows(settings: Sequence[Settings], jobs: int, write: bool) -> list[Row]:
    """The row of each of the settings, kept or compiled."""
    about = {
        'hardware': machine.hardware(),
        'versions': machine.versions('jax', 'jaxlib', 'libtpu', 'flax', 'optax'),
    }
    kept = {_settings(row): row for row in read_rows() if about.items() <= row.items()} if write else {}
    rows = {each: kept[each] for each in settings if each in kept}
    missing = [each for each in settings if each not in rows]
    print(f'{len(rows)} kept, {len(missing)} to compile', file=sys.stderr, flush=True)
    for found in compile_steps(missing, jobs):
        row = found | about | {'date': datetime.date.today().isoformat()}
        rows[_settings(row)] = row
        print(f'{len(rows)} of {len(settings)}: {_line(row)}', file=sys.stderr, flush=True)
        if write:
            _keep(row)
    return [rows[each] for each in settings]


def markdown(rows: Iterable[Row]) -> str:
    """The rows as docs/scaling.md shows them: of one chip, in one step."""
    return render([_shown(row) for row in rows], 'markdown')


def _shown(row: Row) -> Row:
    precision = {'default': [], 'highest': ['highest precision']}[row['matmul_precision']]
    beyond = row['all_reduce_bytes'] / row['gradient_bytes'] - 1
    return {
        'network': row['network'],
        'slice': row['topology'],
        'images': row['batch_per_chip'],
        'otherwise': ' '.join([*precision, row['overrides'].replace('--config.', '')]),
        'flops': f'{row["flops"]:.6e}',
        'of real': row['flops'] / row['real_flops'],
        'MiB': round(row['mib_held']),
        'all-reduces': row['all_reduces'],
        'bytes': row['all_reduce_bytes'],
        'gradients': row['gradient_bytes'],
        'statistics': row['statistics_bytes'] if row['all_reduces'] else 0,
        'beyond gradients': f'{beyond:.2%}' if row['all_reduces'] else '-',
        'bytes to other slices': row['send_bytes'],
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument('--networks', default=','.join(RECIPES), help='names, with commas between')
    parser.add_argument('--topologies', default=','.join(TOPOLOGIES), help='slices, with commas between')
    parser.add_argument('--batch_per_chip', type=int, default=32)
    parser.add_argument(
        '--matmul_precision', choices=('default', 'highest'), default='default',
        help='of float32 on a TPU: one product of bfloat16, or six, as in training, which takes twice the compiling',
    )  # fmt: skip
    parser.add_argument('--jobs', type=int, default=1, help='how many to compile at a time')
    parser.add_argument('--write', action='store_true', help='keep the result under benchmarks/results')
    parser.add_argument('--plan', type=int, metavar='CHIPS', help='what so many chips would take and do')
    return parser


def main() -> int:
    """The command; returns its exit code."""
    parser = _parser()
    arguments, overrides = parser.parse_known_args()
    networks, topologies = arguments.networks.split(','), arguments.topologies.split(',')
    if unknown := [name for name in networks if name not in RECIPES]:
        parser.error(f'there is no recipe of {unknown[0]!r} here; there are {", ".join(RECIPES)}')
    if min(arguments.batch_per_chip, arguments.jobs) < 1:
        parser.error('--batch_per_chip and --jobs must be above 0')
    rest = arguments.batch_per_chip, arguments.matmul_precision, ' '.join(overrides)
    try:
        if arguments.plan is not None:
            print(scaling_plan.plan(read_rows(), arguments.plan))
            return 0
        check(topologies, overrides)
        settings = [Settings(network, topology, *rest) for network in networks for topology in topologies]
        rows = _rows(settings, arguments.jobs, arguments.write)
    except UserError as error:
        parser.error(str(error))
    print(markdown(rows))
    failed = 0
    for network in networks:
        for claim, holds in claims([row for row in rows if row['network'] == network]):
            print(f'{"holds" if holds else "FAILS"}: {network}, {claim}')
            failed += not holds
    return 1 if failed else 0


def check(topologies: Sequence[str], overrides: Sequence[str]) -> None:
    """Raises UserError for a mistake that each process would find only once it is there."""
    from efficiency.config_file import read_config
    from efficiency.flops.ahead import check_topology

    if strange := [each for each in overrides if not each.startswith('--config.')]:
        raise UserError(f'there is no option {strange[0]}; --help lists those that there are')
    read_config(f'{CONFIGS / "resnet50.py"}:imagenet2012', overrides)
    for topology in topologies:
        check_topology(topology)


if __name__ == '__main__':
    sys.exit(main())
