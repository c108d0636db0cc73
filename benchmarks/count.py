"""The table of all networks that torchvision and timm have too: our count and torch's, side by side.

    python -m benchmarks.count --write

needs `pip install -c constraints.txt ".[crosscheck]"`. Ours is forward and train, dense and real, as
`python -m efficiency.count` prints it; torch's is `FlopCounterMode` over forward and backward of the same networks on
the meta device. Each is a process of its own, timed from its start to its end, imports and all; they take turns.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

from benchmarks import machine

RESULT = 'count'

# The peak of memory is its own, and that of as many processes as it starts.
_OURS = """
if __name__ == '__main__':
    import resource
    from efficiency.count import _MOST_WORKERS, main
    main(['--models=' + ','.join(NAMES)])
    more = min(CORES, _MOST_WORKERS) * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
"""
_TORCHS = """
import torch
from torch.utils.flop_counter import FlopCounterMode
from efficiency.tasks.images.networks.torch_networks import published
SIZES = dict(zip(NAMES, IMAGE_SIZES))
for name in NAMES:
    with torch.device('meta'):
        network = published(name)
        images = torch.empty(2, 3, SIZES[name], SIZES[name])
    with FlopCounterMode(display=False) as mode:
        network(images).sum().backward()
    mode.get_total_flops()
more = 0
"""
_PEAK = """
if __name__ == '__main__':
    from benchmarks.machine import peak_memory
    print(peak_memory() + more)
"""


def _run(program: str, names: list[str], sizes: list[int]) -> tuple[float, float]:
    """Seconds and MiB that it takes."""
    constants = f'NAMES, IMAGE_SIZES, CORES = {names}, {sizes}, {os.cpu_count()}'
    code = f'{constants}\n{program}{_PEAK}'
    before = time.perf_counter()
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    return time.perf_counter() - before, float(done.stdout.splitlines()[-1])


def main() -> None:
    """The command."""
    from efficiency.errors import UserError
    from efficiency.tasks.images.networks import list_models, model_entry
    from efficiency.tasks.images.networks.torch_networks import check_published

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--models', default='*', help='a shell pattern of names')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--write', action='store_true', help='keep the result under benchmarks/results')
    arguments = parser.parse_args()
    names = []
    for name in list_models(arguments.models):
        try:
            check_published(name)
            names.append(name)
        except UserError:
            continue
    if not names or arguments.rounds < 1:
        parser.error('--models must match a network of torchvision or timm, and --rounds be above 0')
    sizes = [model_entry(name).image_size for name in names]
    found: dict[str, list[tuple[float, float]]] = {'ours': [], 'torch': []}
    for number in range(arguments.rounds):
        for who, program in (('ours', _OURS), ('torch', _TORCHS)):
            found[who].append(_run(program, names, sizes))
            seconds, mib = found[who][-1]
            print(f'round {number + 1}, {who}: {seconds:.1f} s, {mib:.0f} MiB', flush=True)
    ours, torchs = (statistics.median(seconds for seconds, _ in found[who]) for who in ('ours', 'torch'))
    row = {
        'networks': len(names),
        'ours_seconds': f'{ours:.4g}',
        'torch_seconds': f'{torchs:.4g}',
        'ratio': f'{ours / torchs:.4g}',
        'ours_mib': f'{max(mib for _, mib in found["ours"]):.0f}',
        'torch_mib': f'{max(mib for _, mib in found["torch"]):.0f}',
        'rounds': arguments.rounds,
        'hardware': machine.hardware(),
        'versions': machine.versions('jax', 'jaxlib', 'flax', 'torch', 'torchvision', 'timm'),
    }
    print(', '.join(f'{name} {value}' for name, value in row.items()))
    if arguments.write:
        print(machine.write_results(RESULT, [row]))


if __name__ == '__main__':
    main()
