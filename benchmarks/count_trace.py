"""What `efficiency.flops.count` takes of a program, beside jax's trace of it, which it cannot do without.

    python -m benchmarks.count_trace --write

The program is a network's forward and backward pass with its loss, as `python -m efficiency.count` counts it. Both take
turns in one process, each from empty caches of jax's; seconds are those of the processor, medians over the rounds.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks import machine

RESULT = 'count_trace'
MODELS = (
    'resnet50',
    'densenet121',
    'mobilenet_v2',
    'efficientnet_b0',
    'transformer',
    'gnmt',
    'lstm',
    'transformer_gpt',
)


def _seconds(work: Callable[[], Any]) -> float:
    """Of the processor, from empty caches."""
    import jax

    jax.clear_caches()
    before = time.process_time()
    work()
    return time.process_time() - before


def measure(name: str, rounds: int) -> dict[str, Any]:
    """One network's row."""
    import jax

    from efficiency.costs import counted_network
    from efficiency.flops import count
    from efficiency.layers import ops
    from efficiency.tasks.networks import network_entry

    counted = counted_network(name)
    program = counted.step, counted.state, counted.batch
    taken: dict[str, list[float]] = {'trace': [], 'count': []}
    with ops.override('stock'):
        for _ in range(rounds):
            taken['trace'].append(_seconds(lambda: jax.make_jaxpr(program[0])(*program[1:])))
            taken['count'].append(_seconds(lambda: count(*program)))
    trace, ours = (statistics.median(taken[who]) for who in ('trace', 'count'))
    return {
        'model': name,
        'task': network_entry(name)[0].name,
        'trace_s': trace,
        'count_s': ours,
        'ratio': ours / trace,
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--models', default=','.join(MODELS), help='names, with commas between, of any task')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--write', action='store_true', help='keep the result under benchmarks/results')
    arguments = parser.parse_args()
    rows = []
    for name in arguments.models.split(','):
        row = measure(name, arguments.rounds)
        rows.append({key: f'{value:.3g}' if isinstance(value, float) else value for key, value in row.items()})
        print(', '.join(f'{key} {value}' for key, value in rows[-1].items()), flush=True)
    found = {'rounds': arguments.rounds, 'hardware': machine.hardware(), 'versions': machine.versions('jax', 'flax')}
    if arguments.write:
        print(machine.write_results(RESULT, [row | found for row in rows]))


if __name__ == '__main__':
    main()
