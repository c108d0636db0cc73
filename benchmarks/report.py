"""What a report on 10,000 run records takes, of few systems with many seeds, and of as many systems.

    python -m benchmarks.report --write

The records are the committed ones of mnist5k, again and again under other seeds, or other learning rates. The whole
command is timed, in a process of its own that begins with nothing imported.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

from benchmarks import machine

RECORDS = pathlib.Path(__file__).parent.parent / 'results' / 'mnist5k'
COUNT = 10_000


def make_records(folder: pathlib.Path, kind: str) -> None:
    originals = [json.loads(path.read_text()) for path in sorted(RECORDS.glob('*/*.json'))]
    for i in range(COUNT):
        record = originals[i % len(originals)]
        record |= {'seed': i, 'config': record['config'] | {'seed': i}}
        if kind == 'systems':
            record['config']['learning_rate'] = 0.1 + i / COUNT
        workdir = folder / f'{i:05d}'
        workdir.mkdir()
        (workdir / 'run.json').write_text(json.dumps(record))


def measure(kind: str) -> dict:
    program = (
        'import sys; from efficiency import report; from benchmarks import machine; '
        'code = report.main(sys.argv[1:]); print(machine.peak_memory()); sys.exit(code)'
    )
    with tempfile.TemporaryDirectory() as folder:
        runs = pathlib.Path(folder, 'runs')
        runs.mkdir()
        make_records(runs, kind)
        before = time.perf_counter()
        done = subprocess.run(
            [sys.executable, '-c', program, f'--runs={runs}', f'--out={folder}/out'],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        seconds = time.perf_counter() - before
        page = pathlib.Path(folder, 'out', 'index.html').stat().st_size
    return {
        'records': COUNT,
        'of': kind,
        'seconds': round(seconds, 1),
        'mib': round(float(done.stdout.splitlines()[-1])),
        'page_mib': round(page / 2**20, 1),
        'hardware': machine.hardware(),
        'versions': machine.versions('numpy', 'matplotlib', 'plotly'),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--write', action='store_true', help='keep the result in benchmarks/results')
    arguments = parser.parse_args()
    rows = [measure(kind) for kind in ('seeds', 'systems')]
    for row in rows:
        print(f'{row["records"]} records, many {row["of"]}: {row["seconds"]} s, {row["mib"]} MiB')
    if arguments.write:
        print(machine.write_results('report', rows))


if __name__ == '__main__':
    main()
