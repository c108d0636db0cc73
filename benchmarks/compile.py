"""How long the programs of a recipe take to be traced, counted, checked and compiled, with empty caches.

    python -m benchmarks.compile --write

runs each config for one step in a process of its own and reads `compile_seconds` in its record: every train step of
every bucket, and what evaluation runs. Translation's, by default, on Multi30k of `TFDS_DATA_DIR`.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from benchmarks import machine
from efficiency import records

CONFIGS = ('seq2seq', 'seq2seq_attention', 'gnmt', 'conv_s2s', 'transformer', 'transformer_pre_norm')
# One step, and few sentences to evaluate: neither is compiled any other way.
SHORT = (
    '--config.num_epochs=0.001', '--config.warmup_epochs=0', '--config.eval_split=validation[:128]',
    '--config.test_split=test[:128]', '--config.beam=1',
)  # fmt: skip


def measure(config: str) -> tuple[float, int]:
    """Seconds, and how many train steps were compiled in them."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, '-m', 'efficiency.main', f'--config={config}', *SHORT, f'--workdir={folder}/run']
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env=os.environ | {'XDG_CACHE_HOME': f'{folder}/cache'}
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        record = records.read(pathlib.Path(folder, 'run'))
    return record['clock']['compile_seconds'], len(record['config']['buckets'])


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--configs', default=','.join(CONFIGS), help='of configs/translation, with commas between')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--write', action='store_true', help='keep the result under benchmarks/results')
    arguments = parser.parse_args()
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in arguments.configs.split(',')}
    for _ in range(arguments.rounds):
        for name, each in found.items():
            each.append(measure(f'configs/translation/{name}.py'))
    rows = []
    for name, each in found.items():
        seconds = statistics.median(seconds for seconds, _ in each)
        rows.append({'config': name, 'train_steps': each[0][1], 'compile_s': f'{seconds:.1f}'})
        print(f'{name:>22}: {seconds:5.1f} s for the train steps of {each[0][1]} buckets and evaluation')
    if arguments.write:
        stamp = {
            'rounds': arguments.rounds,
            'hardware': machine.hardware(),
            'versions': machine.versions('jax', 'jaxlib'),
        }
        print(machine.write_results('compile', [row | stamp for row in rows]))


if __name__ == '__main__':
    main()
