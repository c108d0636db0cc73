"""What a report on many run records takes, of few systems with many seeds, and of as many systems as records.

    python -m benchmarks.report --write
    python -m benchmarks.report --counts 10000

The records are the committed ones of mnist5k, again and again under other seeds, or other learning rates. The whole
command is timed, in a process of its own that begins with nothing imported: once on records that were never read, and
once more, when what was read is kept beside them. Memory is what that process and those that help it have resident at
the same time, pages that they share counted in each.
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
_SECONDS_BETWEEN_LOOKS = 0.02


def make_records(folder: pathlib.Path, kind: str, count: int) -> None:
    originals = [json.loads(path.read_text()) for path in sorted(RECORDS.glob('*/*.json'))]
    for i in range(count):
        record = originals[i % len(originals)]
        record |= {'seed': i, 'config': record['config'] | {'seed': i}}
        if kind == 'systems':
            record['config']['learning_rate'] = 0.1 + i / count
        workdir = folder / f'{i:06d}'
        workdir.mkdir()
        (workdir / 'run.json').write_text(json.dumps(record))


def measure(kind: str, count: int) -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        runs, rows = pathlib.Path(folder, 'runs'), []
        runs.mkdir()
        make_records(runs, kind, count)
        for read_before in ('no', 'yes'):
            command = [sys.executable, '-m', 'efficiency.report', f'--runs={runs}', f'--out={folder}/{read_before}']
            seconds, mib = _timed(command)
            page = pathlib.Path(folder, read_before, 'index.html').stat().st_size
            rows.append(
                {
                    'records': count,
                    'of': kind,
                    'read_before': read_before,
                    'seconds': round(seconds, 1),
                    'mib': round(mib),
                    'page_mib': round(page / 2**20, 1),
                    'hardware': machine.hardware(),
                    'versions': machine.versions('numpy', 'matplotlib', 'plotly'),
                }
            )
    return rows


def _timed(command: list[str]) -> tuple[float, float]:
    """The seconds that a command takes, and the most memory that its processes have together, in MiB."""
    before, most = time.perf_counter(), 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            # One that is about to become another program is still its parent, and has the same memory.
            most = max(most, sum(dict(map(_resident, _family(process.pid))).values()))
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        seconds = time.perf_counter() - before
    if process.returncode:
        sys.exit(f'the report ended with {process.returncode}')
    return seconds, most


def _family(pid: int) -> list[int]:
    """A process and all that it began, directly or not."""
    try:
        own = [path.read_text().split() for path in pathlib.Path(f'/proc/{pid}/task').glob('*/children')]
    except OSError:  # one that has just ended
        return [pid]
    return [pid, *(one for children in own for child in children for one in _family(int(child)))]


def _resident(pid: int) -> tuple[bytes, float]:
    """A process's command line, and what it has resident in MiB."""
    try:
        command = pathlib.Path(f'/proc/{pid}/cmdline').read_bytes()
        status = pathlib.Path(f'/proc/{pid}/status').read_text()
    except OSError:
        return b'', 0.0
    return command, int(status.split('VmRSS:')[1].split()[0]) / 1024 if 'VmRSS:' in status else 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--counts', type=int, nargs='+', default=[10_000, 100_000], help='how many records')
    parser.add_argument('--write', action='store_true', help='keep the result in benchmarks/results')
    arguments = parser.parse_args()
    rows = []
    for count in arguments.counts:
        for kind in ('seeds', 'systems'):
            for row in measure(kind, count):
                print(
                    f'{count} records, many {kind}, read before: {row["read_before"]}: {row["seconds"]} s, '
                    f'{row["mib"]} MiB, page of {row["page_mib"]} MiB',
                    flush=True,
                )
                rows.append(row)
    if arguments.write:
        print(machine.write_results('report', rows))


if __name__ == '__main__':
    main()
