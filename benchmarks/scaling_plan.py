"""What a run on many TPU v5e chips would take and do: formulas over what its step compiles to; nothing ran on one."""

import csv
import math
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import machine
from efficiency.errors import UserError
from efficiency.published.points import networks, points
from efficiency.tables import render

Row = Mapping[str, Any]

# A chip (cloud.google.com/tpu/docs/v5e): flops of bfloat16 and bytes of memory a second, and the bytes that it sends to
# its neighbours a second, half of 400 GB/s in both directions. A pod is a torus of 16 x 16.
PEAK_FLOPS, MEMORY_RATE, ICI_RATE, POD_SIDE = 197e12, 819e9, 200e9, 16
# Products of bfloat16 that take the place of one in the recipe's precision (docs of jax.lax.Precision, HIGHEST).
PASSES = {'float32': 6, 'bfloat16': 1}
# The least that a hop between neighbours takes, in seconds (jax-ml.github.io/scaling-book/sharding).
HOP_SECONDS = 1e-6
# A host: its chips, two network cards of 100 Gbit/s (the first page), and the virtual CPUs of ct5lp-hightpu-8t
# (cloud.google.com/kubernetes-engine/docs/concepts/plan-tpus).
HOST_CHIPS, HOST_NETWORK_RATE, HOST_CPUS = 8, 25e9, 224
# ImageNet's images, and the bytes of ILSVRC2012_img_train.tar.
TRAIN_IMAGES, EVAL_IMAGES, TRAIN_BYTES = 1_281_167, 50_000, 147_897_477_120
# The critical batch on ImageNet as training starts and on average (McCandlish et al., 2018, arXiv:1812.06162).
CRITICAL_BATCHES = (1_000, 15_000)
# The paper's batch and its images an epoch (Hernandez & Brown, 2020, section 3).
PAPER_BATCH, PAPER_IMAGES = 256, 1_280_000
PAPER_SERIES = 'hb2020-table3'
# Small images compile in a sixth of the time.
SMALL = '--config.image_size=32'
# Assumed of the peak while a step multiplies, and of bytes a second that a disk takes.
SHARE_OF_PEAK, DISK_RATE = 0.4, 100e6


def examples_factor(batch: float, critical_batch: float) -> float:
    """How many times the examples of the paper's batch another takes to the same level, each at its best rate.

    Examples grow as 1 + batch / critical batch, and steps as 1 + critical batch / batch (McCandlish et al., 2018).
    """
    return (1 + batch / critical_batch) / (1 + PAPER_BATCH / critical_batch)


def compute_seconds(row: Row, precision: str) -> float:
    """What a chip takes for a step's multiplications, at `SHARE_OF_PEAK`."""
    return row['real_flops'] * PASSES[precision] / (PEAK_FLOPS * SHARE_OF_PEAK)


def memory_seconds(row: Row) -> float:
    """What a chip takes to read and write what its operations read and write, all of it from its large memory."""
    return row['gb_moved'] * 1e9 / MEMORY_RATE


def exchange_seconds(row: Row, chips: int) -> tuple[float, float, float]:
    """What a step's all-reduces take at the least: for their bytes, for their hops, and between pods.

    Both directions of every link carry them, so that a chip sends each byte twice, however many chips there are, in
    twice the time where axes do not close to rings. Each goes as far as the farthest chip, and back
    (jax-ml.github.io/scaling-book/sharding). What is for other pods leaves by the network cards of the hosts.

    Args:
        row: of one slice for up to a pod; of as many pods otherwise.
        chips: a square of a pod, or pods.
    """
    pods = pods_of(chips)
    side = min(POD_SIDE, math.sqrt(chips))
    slower, farthest = (1, side / 2) if side == POD_SIDE else (2, side - 1)
    size = 2 * row['all_reduce_bytes'] / ICI_RATE * slower
    hops = row['all_reduces'] * 2 * 2 * farthest * HOP_SECONDS
    between = 2 * (pods - 1) / pods * row['send_bytes'] * HOST_CHIPS / HOST_NETWORK_RATE
    return size, hops, between


def pods_of(chips: int) -> int:
    """How many pods so many chips are on."""
    return math.ceil(chips / POD_SIDE**2)


def decoded_per_cpu() -> float:
    """Photographs that a core reads, decodes and crops in a second, as measured (`python -m benchmarks.input`)."""
    (path,) = machine.RESULTS.glob('input-*.csv')
    with open(path, newline='', encoding='utf-8') as file:
        (row,) = (row for row in csv.DictReader(file) if row['pipeline'] == 'ours, from array_record')
    return float(row['images_per_second']) / float(row['cores'])


class Run:
    """A recipe on v5e: what its step computes on a chip, and exchanges in a pod and between pods."""

    def __init__(self, network: str, rows: Sequence[Row], pods: int):
        """Raises UserError if a row is missing."""

        def row(topology, *overrides):
            found = [each for each in rows if each['overrides'] in overrides]
            found = [each for each in found if (each['network'], each['topology']) == (network, topology)]
            if not found:
                raise UserError(f'no row of {network} for {topology} is kept; compile it first, with --write')
            return max(found, key=lambda each: (each['batch_per_chip'], each['matmul_precision'] == 'default'))

        self.network = network
        self.step = row('v5e:1x1', '')
        # What is exchanged grows neither with the batch nor with the images.
        self._pod, self._pods = (row(slices, '', SMALL) for slices in ('v5e:16x16', f'{pods}xv5e:16x16'))
        self.macs = networks()[network, 224]
        (point,) = (each for each in points() if each.series == PAPER_SERIES and each.model == network)
        self.paper_epochs = point.epochs

    def exchange(self, chips: int) -> tuple[float, float, float]:
        """As `exchange_seconds`."""
        return exchange_seconds(self._pod if pods_of(chips) == 1 else self._pods, chips)

    def seconds(self, chips: int) -> float:
        """Of a step in float32, which exchanges once it has computed, not meanwhile."""
        return max(compute_seconds(self.step, 'float32'), memory_seconds(self.step)) + sum(self.exchange(chips))

    def rate(self, chips: int) -> float:
        """Images that a chip takes in a second."""
        return self.step['batch_per_chip'] / self.seconds(chips)


def plan(rows: Sequence[Row], chips: int) -> str:
    """Tables in Markdown of what whole pods of v5e with at least so many chips would take and do.

    Raises:
        UserError: if that is no number of chips for a plan, or a row that it needs is missing.
    """
    pods = pods_of(chips)
    if not 2 <= pods <= 64:
        raise UserError(f'--plan={chips}: a plan is of several pods, 257 to 16384 chips')
    whole = [row['network'] for row in rows if row['topology'] == 'v5e:1x1' and not row['overrides']]
    if not whole:
        raise UserError('a plan is made of rows for v5e:1x1 that are kept, and there are none; compile with --write')
    runs = [Run(network, rows, pods) for network in dict.fromkeys(whole)]
    chips = pods * POD_SIDE**2
    tables = {
        f'A step on {chips:,} chips, {pods} pods of 16 x 16': [_step(run, chips) for run in runs],
        f'Input for {chips:,} chips of {chips // HOST_CHIPS} hosts': [_input(run, chips) for run in runs],
        'Evaluation and checkpoints': [_apart(run, chips) for run in runs],
        "To AlexNet's level": [
            _training(run, number, critical)
            for run in runs for critical in reversed(CRITICAL_BATCHES) for number in (64, 256, chips)
        ],
    }  # fmt: skip
    return '\n\n'.join(f'**{title}**\n\n{render(table, "markdown")}' for title, table in tables.items())


def _step(run: Run, chips: int) -> dict[str, str]:
    size, hops, between = run.exchange(chips)
    return {
        'network': run.network,
        'images a chip': _text(run.step['batch_per_chip']),
        'products, ms': _text(1e3 * compute_seconds(run.step, 'float32')),
        'in bfloat16, ms': _text(1e3 * compute_seconds(run.step, 'bfloat16')),
        'memory, ms': _text(1e3 * memory_seconds(run.step)),
        'all-reduced bytes, ms': _text(1e3 * size),
        'hops, ms': _text(1e3 * hops),
        'between pods, ms': _text(1e3 * between),
        'step, ms': _text(1e3 * run.seconds(chips)),
        'of the peak of bfloat16': _text(100 * run.step['real_flops'] / run.seconds(chips) / PEAK_FLOPS) + ' %',
    }


def _input(run: Run, chips: int) -> dict[str, str]:
    host = HOST_CHIPS * run.rate(chips)
    cpus = host / decoded_per_cpu()
    return {
        'network': run.network,
        'images a second': _text(chips * run.rate(chips)),
        'a host': _text(host),
        'CPUs that decode them': _text(cpus),
        f'of its {HOST_CPUS}': _text(100 * cpus / HOST_CPUS) + ' %',
        'read a second and host, MB': _text(host * TRAIN_BYTES / TRAIN_IMAGES / 1e6),
        'epoch, s': _text(TRAIN_IMAGES / chips / run.rate(chips)),
    }


def _apart(run: Run, chips: int) -> dict[str, str]:
    batches = math.ceil(EVAL_IMAGES / (run.step['batch_per_chip'] * chips))
    forward = 2 * run.macs.forward_real_macs * run.step['batch_per_chip']
    computed = batches * forward * PASSES['float32'] / (PEAK_FLOPS * SHARE_OF_PEAK)
    decoded = EVAL_IMAGES / (chips / HOST_CHIPS) / (HOST_CPUS * decoded_per_cpu())
    return {
        'network': run.network,
        f'batches of {EVAL_IMAGES:,}': _text(batches),
        'computed in, ms': _text(1e3 * computed),
        'decoded in, ms': _text(1e3 * decoded),
        'checkpoint, MB': _text(run.step['state_bytes'] / 1e6),
        f'written at {DISK_RATE / 1e6:.0f} MB/s in, s': _text(run.step['state_bytes'] / DISK_RATE),
    }


def _training(run: Run, chips: int, critical_batch: int) -> dict[str, str]:
    batch = run.step['batch_per_chip'] * chips
    factor = examples_factor(batch, critical_batch)
    steps = run.paper_epochs * PAPER_IMAGES * factor / batch
    seconds = steps * run.seconds(chips)
    return {
        'network': run.network,
        'critical batch': _text(critical_batch),
        'chips': _text(chips),
        'batch': _text(batch),
        'epochs': _text(run.paper_epochs * factor),
        "of the paper's examples": _text(factor) + ' x',
        'steps': _text(steps),
        'minutes': _text(seconds / 60),
        'chip-hours': _text(seconds * chips / 3600),
    }


def _text(number: float) -> str:
    """Three digits, or whole with its thousands apart."""
    return f'{number:,.0f}' if number >= 100 or number == int(number) else f'{number:.3g}'
