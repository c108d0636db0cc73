"""Every network for some training steps on photographs at its native size: loss, memory and time.

    python -m benchmarks.native_size --data_dir=... --write

trains on imagenet_sample (250 photographs, 1,000 classes) with random crops, mirrored at random, by SGD with momentum
and weight decay; EfficientNet-B4 to B7 at 224 pixels. Each network has a process of its own, and one that fails has a
row that says why. With --write each row is kept once it is there, and the same command goes on where it stopped: it
leaves out what is kept of the same settings and versions and did not fail. Remove the file to measure anew.

The peak of memory is that of the steps, without what compiling took; the time is the median step's, without decoding.
"""

import argparse
import math
import multiprocessing
import os
import statistics
import time
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection

from benchmarks import machine
from benchmarks.image_steps import compile_step

RESULT = 'native_size'
DATASET, SPLIT = 'imagenet_sample', 'validation'
# Where the native size takes more memory than a small machine has.
SIZES = dict.fromkeys(('efficientnet_b4', 'efficientnet_b5', 'efficientnet_b6', 'efficientnet_b7'), 224)
SETTINGS = ('model', 'image_size', 'batch_size', 'steps', 'hardware')


def train(name: str, image_size: int, batch_size: int, steps: int, data_dir: str | None) -> dict[str, str]:
    """Takes the steps in this process, and returns what they gave."""
    import jax

    from efficiency.data.batches import TrainBatches
    from efficiency.tasks.images.data import datasets

    data = datasets.load(DATASET, (SPLIT, SPLIT), image_size, data_dir, as_stored=True)
    batches = TrainBatches(data.train, batch_size, 0, augmented_on_host=True)
    step, state = compile_step(name, data.num_classes, batches.at(0), data.mean, data.std)
    machine.forget_peak_memory()
    losses, seconds = [], []
    for number in range(steps):
        batch = jax.device_put(batches.at(number * batch_size))
        before = time.perf_counter()
        state, loss = step(state, batch)
        losses.append(float(loss))
        seconds.append(time.perf_counter() - before)
        if not math.isfinite(losses[-1]):
            raise FloatingPointError(f'the loss is {losses[-1]} at step {number + 1}')
    return {
        'first_loss': f'{losses[0]:.4g}', 'last_loss': f'{losses[-1]:.4g}',
        'peak_mib': f'{machine.peak_memory():.0f}', 'step_ms': f'{1e3 * statistics.median(seconds):.4g}', 'error': '',
    }  # fmt: skip


def _serve(pipe: Connection, *args) -> None:
    try:
        pipe.send(train(*args))
    except Exception as error:
        traceback.print_exc()
        pipe.send(_failed(f'{type(error).__name__}: {error}'))


def _failed(message: str) -> dict[str, str]:
    lines = message.strip().splitlines()
    return {'first_loss': '', 'last_loss': '', 'peak_mib': '', 'step_ms': '', 'error': lines[0].strip()}


def measure(row: Mapping[str, str], data_dir: str | None) -> dict[str, str]:
    """One network's row, from its settings."""
    context = multiprocessing.get_context('spawn')
    pipe, theirs = context.Pipe()
    args = row['model'], int(row['image_size']), int(row['batch_size']), int(row['steps']), data_dir
    child = context.Process(target=_serve, args=(theirs, *args), daemon=True)
    machine.start_with_large_pages(child)
    theirs.close()
    try:
        found = pipe.recv()
        child.join(10)
        child.kill()
    except EOFError:
        child.join()
        found = _failed(f'its process ended with exit code {child.exitcode}')
    return {**row, **found}


def _key(row):
    return tuple(row[name] for name in SETTINGS)


def _kept():
    return {_key(row): row for row in machine.read_results(RESULT)}


def _line(row):
    text = f'{row["model"]:>22} at {row["image_size"]}: '
    if row['error']:
        return f'{text}failed: {row["error"]}'
    return f'{text}loss {row["first_loss"]} to {row["last_loss"]}, {row["peak_mib"]} MiB, {row["step_ms"]} ms a step'


def main() -> None:
    """The command."""
    from efficiency.errors import UserError
    from efficiency.tasks.images.data import catalogue
    from efficiency.tasks.images.networks import list_models, model_entry

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--models', default='*', help='names or shell patterns, with commas between')
    parser.add_argument('--steps', type=int, default=20)
    parser.add_argument('--batch_size', type=int, default=8)
    parser.add_argument('--data_dir', default=os.environ.get('TFDS_DATA_DIR'), help='where TFDS keeps its data')
    parser.add_argument('--write', action='store_true', help='keep the result under benchmarks/results')
    arguments = parser.parse_args()
    if min(arguments.steps, arguments.batch_size) < 1:
        parser.error('--steps and --batch_size must be above 0')
    try:
        catalogue.open_source(DATASET, arguments.data_dir)
        patterns = arguments.models.split(',')
        # One that matches none is taken for a name, whose error tells the nearest.
        names = [name for p in patterns for name in list_models(p) or [model_entry(p).name]]
    except UserError as error:
        parser.error(str(error))
    failed = []
    for name in dict.fromkeys(names):
        row = {
            'model': name, 'image_size': str(SIZES.get(name, model_entry(name).image_size)),
            'batch_size': str(arguments.batch_size), 'steps': str(arguments.steps), 'hardware': machine.hardware(),
            'versions': machine.versions('jax', 'jaxlib'),
        }  # fmt: skip
        kept = _kept().get(_key(row)) if arguments.write else None
        if kept and not kept['error'] and kept['versions'] == row['versions']:
            print(f'{_line(kept)} (kept)', flush=True)
            continue
        row = measure(row, arguments.data_dir)
        print(_line(row), flush=True)
        failed += [name] if row['error'] else []
        if arguments.write:
            rows = _kept() | {_key(row): row}
            machine.write_results(RESULT, [rows[key] for key in sorted(rows)])
    if failed:
        raise SystemExit(f'{len(failed)} failed: {", ".join(failed)}')


if __name__ == '__main__':
    main()
