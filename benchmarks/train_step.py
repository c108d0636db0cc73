"""How long a training step takes, beside torch's in one run.

    python -m benchmarks.train_step --models=resnet18,vgg11 --image_size=32 --against=torch --format=json
    python -m benchmarks.train_step --models=seq2seq,transformer --length=24
    python -m benchmarks.train_step --models=lstm,transformer_lm --length=256 --batch_size=16

needs `pip install -c constraints.txt ".[crosscheck]"`. Both train the same network (`benchmarks/torch_networks.py`,
`benchmarks/torch_translation.py`, `benchmarks/torch_language.py`) in float32 on one batch by the same optimizer, each
in a process of its own with a thread a core; rounds alternate between ours and torch in each form of its step (of
images with its default layout and with channels_last), each of at least three steps after half as many to warm up, and
the fastest of torch's counts.
Of a task is what `benchmarks/image_steps.py`, `benchmarks/translation_steps.py` and `benchmarks/language_steps.py` say.
Medians over the rounds. With --one_core each is on one core, and its seconds are those it had of it: what others do on
the machine meanwhile takes little from that.
"""

import argparse
import contextlib
import importlib
import json
import math
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Any

from benchmarks import machine
from benchmarks.steps import Steps

# By task the module of its steps: SIZE of an example and its UNIT, further sizes that are COUNTED,
# `ours`, and TORCH, by name; these of (name, size, batch size).
TASKS = {
    'images': 'benchmarks.image_steps',
    'translation': 'benchmarks.translation_steps',
    'language': 'benchmarks.language_steps',
}


def peak() -> Steps:
    """The product of two large matrices, by the library that ours uses."""
    from efficiency.training.peak import large_product

    multiply = large_product('float32')

    def steps(count):
        for _ in range(count):
            multiply()

    return steps


def contenders(task: ModuleType) -> dict[str, Callable[..., Steps]]:
    """All who may take part, by name."""
    ours = dict.fromkeys(('ours', 'small_pages', 'kept_memory'), task.ours)
    return {**ours, **task.TORCH, 'peak': lambda *args: peak()}


# Who has large pages, and what else of glibc's tunables: all threads in one heap, nothing of which goes back.
_LARGE_PAGES = {
    'ours': '',
    'kept_memory': 'glibc.malloc.arena_max=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1000000000000',
}
_LEAST_STEPS = 3
# Of those with whom ours is compared the fastest counts.
RIVALS: dict[str, Callable[[ModuleType], tuple[str, ...]]] = {
    'torch': lambda task: tuple(task.TORCH),
    'small_pages': lambda task: ('small_pages',),
    'kept_memory': lambda task: ('kept_memory',),
    'nothing': lambda task: (),
}


def _serve(pipe: Connection, one_core: bool, task: str, contender: str, *args) -> None:
    """A contender's process: takes the steps asked for, answers seconds a step and the peak memory in MiB."""
    if one_core:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # before a library counts them
    clock = time.process_time if one_core else time.perf_counter
    steps = contenders(importlib.import_module(task))[contender](*args)
    steps(2)
    # From here on: what compiling took is not a step's.
    machine.forget_peak_memory()
    pipe.send(None)
    while count := pipe.recv():
        # What others did meanwhile has taken the caches, and on some machines the pages that were not touched.
        steps(math.ceil(count / 2))
        before = clock()
        steps(count)
        pipe.send(((clock() - before) / count, machine.peak_memory()))


@contextlib.contextmanager
def process(one_core: bool, task: str, contender: str, *args) -> Iterator[Callable[[int], tuple[float, float]]]:
    """A function that has the contender take some steps, and returns seconds a step and MiB."""
    context = multiprocessing.get_context('spawn')
    pipe, theirs = context.Pipe()
    child = context.Process(target=_serve, args=(theirs, one_core, task, contender, *args), daemon=True)
    if contender in _LARGE_PAGES:
        machine.start_with_large_pages(child, _LARGE_PAGES[contender])
    else:
        child.start()
    theirs.close()
    try:
        pipe.recv()

        def take(count):
            pipe.send(count)
            return pipe.recv()

        yield take
    except EOFError:
        raise SystemExit(f'{contender} failed on {args[0]}; its own message stands above') from None
    finally:
        with contextlib.suppress(OSError):
            pipe.send(0)
        child.join(10)
        child.kill()


def measure(name: str, task: ModuleType, size: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """One network's row."""
    from efficiency.count import count_network
    from efficiency.training.peak import rows_of_large_product

    rivals = RIVALS[arguments.against](task)
    taking_part = ['ours', *rivals, 'peak']
    row = count_network(name, **{task.SIZE: size}, **task.COUNTED)
    seconds, memory = {key: [] for key in taking_part}, {}
    with contextlib.ExitStack() as stack:
        take = {
            key: stack.enter_context(process(arguments.one_core, task.__name__, key, name, size, arguments.batch_size))
            for key in taking_part
        }
        counts = {key: max(_LEAST_STEPS, round(arguments.seconds / take[key](2)[0])) for key in taking_part}
        for _ in range(arguments.rounds):
            for key in taking_part:
                time.sleep(0.1)  # threads that wait by spinning give up meanwhile
                duration, memory[key] = take[key](counts[key])
                seconds[key].append(duration)
    median = {key: statistics.median(values) for key, values in seconds.items()}
    flops = 2 * row['train_dense_macs'] * arguments.batch_size
    rate = flops / median['ours']
    peak_rate = 2 * rows_of_large_product() ** 3 / median['peak']
    found = {
        'model': name, task.SIZE: size, 'batch_size': arguments.batch_size,
        'ours_ms': 1e3 * median['ours'],
        'dense_gflop_per_second': rate / 1e9, 'peak_gflop_per_second': peak_rate / 1e9,
        'share_of_peak': rate / peak_rate, 'ours_mib': memory['ours'],
    }  # fmt: skip
    if rivals:
        fastest = min(rivals, key=median.get)
        found |= {
            'against': fastest, 'against_ms': 1e3 * median[fastest], 'ratio': median['ours'] / median[fastest],
            'against_mib': memory[fastest], 'memory_ratio': memory['ours'] / memory[fastest],
        }  # fmt: skip
    return found


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--models', help='names, with commas between, of one task; those of images by default')
    parser.add_argument('--image_size', type=int, default=32, help='pixels a side')
    parser.add_argument('--length', type=int, default=24, help='tokens of a row, or of the longest sentences')
    parser.add_argument('--batch_size', type=int, default=64)
    parser.add_argument('--against', choices=RIVALS, default='torch')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--seconds', type=float, default=1.0, help='that a contender works in a round, about')
    parser.add_argument('--one_core', action='store_true', help='on one core each, by the seconds that it had of it')
    parser.add_argument('--format', choices=('table', 'json', 'markdown'), default='table')
    parser.add_argument('--write', action='store_true', help='keep the result under benchmarks/results')
    arguments = parser.parse_args()
    task, names = _asked(parser, arguments.models)
    size = getattr(arguments, task.SIZE)
    packages = ['jax', 'jaxlib', *(['torch', 'torchvision'] if arguments.against == 'torch' else [])]
    rows = []
    for name in names:
        rows.append(measure(name, task, size, arguments) | {'rounds': arguments.rounds})
        print(_line(rows[-1]), file=sys.stdout if arguments.format == 'table' else sys.stderr, flush=True)
    if arguments.against != 'nothing':
        mean = statistics.geometric_mean(row['ratio'] for row in rows)
        print(f'geometric mean of the ratios {mean:.3f}', file=sys.stderr)
    for row in rows:
        row |= {'hardware': machine.hardware(), 'versions': machine.versions(*packages)}
    if arguments.format == 'json':
        print(json.dumps(rows, indent=1))
    if arguments.format == 'markdown':
        print(markdown(rows))
    if arguments.write:
        rounded = [{k: f'{v:.4g}' if isinstance(v, float) else v for k, v in row.items()} for row in rows]
        name = f'train_step-{arguments.against}-{size}{task.UNIT}{"-one-core" if arguments.one_core else ""}'
        print(machine.write_results(name, rounded), file=sys.stderr)


def _asked(parser: argparse.ArgumentParser, models: str | None) -> tuple[ModuleType, list[str]]:
    """The task whose networks are asked for, and their names."""
    from efficiency.errors import UserError
    from efficiency.tasks.networks import network_entry

    if models is None:
        task = importlib.import_module(TASKS['images'])
        return task, list(task.MODELS)
    names = models.split(',')
    try:
        tasks = {network_entry(name)[0].name for name in names}
    except UserError as error:
        parser.error(str(error))
    if len(tasks) > 1:
        parser.error(f'--models are of {" and ".join(sorted(tasks))}; they must be of one task')
    (task,) = tasks
    if task not in TASKS:
        parser.error(f'there are no networks of torch beside those of {task}; of {", ".join(TASKS)} there are')
    return importlib.import_module(TASKS[task]), names


def _line(row):
    text = f'{row["model"]:>20}: {row["ours_ms"]:7.1f} ms, {row["dense_gflop_per_second"]:6.1f} GFLOP/s, '
    text += f'{row["share_of_peak"]:.2f} of peak, {row["ours_mib"]:.0f} MiB'
    if 'ratio' in row:
        text += f'; {row["against"]} {row["against_ms"]:.1f} ms, {row["against_mib"]:.0f} MiB'
        text += f'; ratio {row["ratio"]:.2f}, memory {row["memory_ratio"]:.2f}'
    return text


_DIGITS_SHOWN = {
    'ours_ms': 0, 'against_ms': 0, 'ratio': 2, 'dense_gflop_per_second': 0, 'share_of_peak': 2, 'ours_mib': 0,
    'memory_ratio': 2,
}  # fmt: skip


def markdown(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows against torch, as docs/speed.md shows them."""
    lines = [
        '| network | ours, ms | torch, ms | ratio | GFLOP/s | share of peak | memory, MiB | of torch |',
        '|---|---|---|---|---|---|---|---|',
    ]
    for row in rows:
        cells = (f'{float(row[key]):.{digits}f}' for key, digits in _DIGITS_SHOWN.items())
        lines.append(f'| {row["model"]} | {" | ".join(cells)} |')
    return '\n'.join(lines)


if __name__ == '__main__':
    main()
