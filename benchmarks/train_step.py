"""How long a training step takes, beside torch's in one run.

    python -m benchmarks.train_step --models=resnet18,vgg11 --image_size=32 --against=torch --format=json

needs `pip install -c constraints.txt ".[crosscheck]"`. Both train the same network (`benchmarks/torch_networks.py`) in
float32 on one batch by SGD with momentum and weight decay, each in a process of its own with a thread a core; rounds
alternate between ours, torch with its default layout and torch with channels_last, each after a step to warm up, and
the faster of those two counts. Torch is given normalised floats, ours bytes that its step normalises. Medians over the
rounds.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any

from benchmarks import machine

MODELS = (
    'resnet18', 'resnet50', 'vgg11', 'alexnet', 'googlenet', 'densenet121', 'resnext50_32x4d', 'squeezenet1_1',
    'mobilenet_v1', 'mobilenet_v2', 'shufflenet_v1_x1_0', 'shufflenet_v2_x1_0', 'efficientnet_b0',
)  # fmt: skip
NUM_CLASSES = 10
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 1e-3, 0.9, 1e-4

# Takes steps, and returns when they are done.
Steps = Callable[[int], None]


# (state, batch) -> (state, loss).
TrainStep = Callable[[Any, Any], tuple[Any, Any]]


def make_step(
    name: str, num_classes: int, image_size: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[TrainStep, Any]:
    """Our train step, and the state before the first."""
    import jax

    from efficiency.tasks.images.data.augment import augmentation
    from efficiency.tasks.images.loss import loss_of
    from efficiency.tasks.images.networks import create_model
    from efficiency.tasks.images.networks.variables import initialise
    from efficiency.training.optimizer import make_optimizer
    from efficiency.training.schedules import make_schedule
    from efficiency.training.step import init_state, make_train_step

    model = create_model(name, num_classes, image_size)
    loss = loss_of(model, augmentation('none'), mean, std)
    schedule = make_schedule('cosine', LEARNING_RATE, 10**6, 0)
    optimizer = make_optimizer('sgd', schedule, WEIGHT_DECAY, momentum=MOMENTUM)
    variables = {'batch_stats': {}, **initialise(model, jax.random.key(0), image_size)}
    return make_train_step(loss, optimizer), init_state(variables, optimizer, jax.random.key(0))


def compile_step(
    name: str, num_classes: int, batch: Mapping[str, Any], mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[TrainStep, Any]:
    """Our train step, compiled for such batches, and the state before the first."""
    import jax

    from efficiency.training.memory import give_back_free_memory

    train_step, state = make_step(name, num_classes, batch['image'].shape[1], mean, std)
    state = jax.device_put(state)
    compiled = jax.jit(train_step, donate_argnums=0).lower(state, batch).compile()
    give_back_free_memory()
    return compiled, state


def ours(name: str, image_size: int, batch_size: int) -> Steps:
    """Our train step."""
    import jax
    import numpy as np

    from efficiency.training.cache import use_compilation_cache

    use_compilation_cache()
    images, labels = _batch(image_size, batch_size)
    batch = jax.device_put({'image': images, 'label': labels.astype(np.int32)})
    compiled, state = compile_step(name, NUM_CLASSES, batch, (0.5,) * 3, (0.25,) * 3)

    def steps(count):
        nonlocal state
        for _ in range(count):
            state, loss = compiled(state, batch)
        if not np.isfinite(loss):
            raise FloatingPointError(f'the loss is {loss}')

    return steps


def of_torch(name: str, image_size: int, batch_size: int, channels_last: bool) -> Steps:
    """Torch's, in one of its two layouts."""
    import torch

    from benchmarks import torch_networks

    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count())
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = torch_networks.create(name, NUM_CLASSES, image_size).to(memory_format=layout)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, foreach=True
    )
    images, labels = _batch(image_size, batch_size)
    images = (torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).float() / 255 - 0.5) / 0.25
    images, labels = images.to(memory_format=layout), torch.from_numpy(labels)

    def steps(count):
        for _ in range(count):
            optimizer.zero_grad(set_to_none=True)
            loss = torch.nn.functional.cross_entropy(network(images), labels)
            loss.backward()
            optimizer.step()
        if not torch.isfinite(loss):
            raise FloatingPointError(f'the loss is {loss}')

    return steps


def peak() -> Steps:
    """The product of two large matrices, by the library that ours uses."""
    from efficiency.training.peak import large_product

    multiply = large_product('float32')

    def steps(count):
        for _ in range(count):
            multiply()

    return steps


CONTENDERS: dict[str, Callable[..., Steps]] = {
    'ours': ours,
    'torch default': lambda *args: of_torch(*args, channels_last=False),
    'torch channels_last': lambda *args: of_torch(*args, channels_last=True),
    'small_pages': ours,
    'peak': lambda *args: peak(),
}
# The contenders of which the fastest is what ours is compared with.
RIVALS = {
    'torch': ('torch default', 'torch channels_last'),
    'small_pages': ('small_pages',),
    'nothing': (),
}


def _batch(image_size, batch_size):
    import numpy as np

    draw = np.random.RandomState(0)
    images = draw.randint(0, 256, (batch_size, image_size, image_size, 3)).astype(np.uint8)
    return images, draw.randint(0, NUM_CLASSES, batch_size)


def _serve(pipe: Connection, contender: str, *args) -> None:
    """A contender's process: takes the steps asked for, answers seconds a step and the peak memory in MiB."""
    steps = CONTENDERS[contender](*args)
    steps(2)
    # From here on: what compiling took is not a step's.
    machine.forget_peak_memory()
    pipe.send(None)
    while count := pipe.recv():
        # What others did meanwhile has taken the caches.
        steps(1)
        before = time.perf_counter()
        steps(count)
        pipe.send(((time.perf_counter() - before) / count, machine.peak_memory()))


@contextlib.contextmanager
def process(contender: str, *args) -> Iterator[Callable[[int], tuple[float, float]]]:
    """A function that has the contender take some steps, and returns seconds a step and MiB."""
    context = multiprocessing.get_context('spawn')
    pipe, theirs = context.Pipe()
    child = context.Process(target=_serve, args=(theirs, contender, *args), daemon=True)
    if contender == 'ours':
        machine.start_with_large_pages(child)
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


def measure(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """One network's row."""
    from efficiency.count import count_network
    from efficiency.training.peak import rows_of_large_product

    rivals = RIVALS[arguments.against]
    contenders = ['ours', *rivals, 'peak']
    row = count_network(name, image_size=arguments.image_size, num_classes=NUM_CLASSES)
    seconds, memory = {key: [] for key in contenders}, {}
    with contextlib.ExitStack() as stack:
        take = {
            key: stack.enter_context(process(key, name, arguments.image_size, arguments.batch_size))
            for key in contenders
        }
        counts = {key: max(1, round(arguments.seconds / take[key](2)[0])) for key in contenders}
        for _ in range(arguments.rounds):
            for key in contenders:
                time.sleep(0.1)  # threads that wait by spinning give up meanwhile
                duration, memory[key] = take[key](counts[key])
                seconds[key].append(duration)
    median = {key: statistics.median(values) for key, values in seconds.items()}
    flops = 2 * row['train_dense_macs'] * arguments.batch_size
    rate = flops / median['ours']
    peak_rate = 2 * rows_of_large_product() ** 3 / median['peak']
    found = {
        'model': name, 'image_size': arguments.image_size, 'batch_size': arguments.batch_size,
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
    parser.add_argument('--models', default=','.join(MODELS), help='names, with commas between')
    parser.add_argument('--image_size', type=int, default=32)
    parser.add_argument('--batch_size', type=int, default=64)
    parser.add_argument('--against', choices=RIVALS, default='torch')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--seconds', type=float, default=1.0, help='that a contender works in a round, about')
    parser.add_argument('--format', choices=('table', 'json', 'markdown'), default='table')
    parser.add_argument('--write', action='store_true', help='keep the result under benchmarks/results')
    arguments = parser.parse_args()
    packages = ['jax', 'jaxlib', *(['torch', 'torchvision'] if arguments.against == 'torch' else [])]
    rows = []
    for name in arguments.models.split(','):
        rows.append(measure(name, arguments) | {'rounds': arguments.rounds})
        print(_line(rows[-1]), file=sys.stdout if arguments.format == 'table' else sys.stderr, flush=True)
    if RIVALS[arguments.against]:
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
        print(
            machine.write_results(f'train_step-{arguments.against}-{arguments.image_size}px', rounded), file=sys.stderr
        )


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
