"""What a benchmark ran on, and where its results are kept."""

import contextlib
import csv
import importlib.metadata
import io
import multiprocessing.process
import os
import pathlib
import platform
import re
from collections.abc import Mapping, Sequence
from unittest import mock

from efficiency.files import write_atomically
from efficiency.training.memory import tunables_for_large_pages

RESULTS = pathlib.Path(__file__).parent / 'results'


def hardware() -> str:
    """The processor and how many cores of it, as a part of a file's name: 'amd-epyc-2-cores'."""
    name = platform.processor() or platform.machine()
    info = pathlib.Path('/proc/cpuinfo')
    if info.exists():
        found = re.search(r'model name\s*: (.+)', info.read_text())
        name = found[1] if found else name
    return re.sub(r'[^a-z0-9]+', '-', f'{name} {os.cpu_count()} cores'.lower()).strip('-')


def versions(*packages: str) -> str:
    """'jax 0.10.2, grain 0.2.18'."""
    return ', '.join(f'{package} {importlib.metadata.version(package)}' for package in packages)


def peak_memory() -> float:
    """The most memory that this process has had, in MiB."""
    status = pathlib.Path('/proc/self/status').read_text()
    return int(status.split('VmHWM:')[1].split()[0]) / 1024


def forget_peak_memory() -> None:
    """Has `peak_memory` count from here on, where the system allows it."""
    with contextlib.suppress(OSError):
        pathlib.Path('/proc/self/clear_refs').write_text('5')


def start_with_large_pages(process: multiprocessing.process.BaseProcess, more: str = '') -> None:
    """Starts a process with its memory as `efficiency.main` has it, but for more of glibc's tunables."""
    asked_for = tunables_for_large_pages() or os.environ.get('GLIBC_TUNABLES')
    tunables = ':'.join(filter(None, [asked_for, more]))
    with mock.patch.dict(os.environ, {'GLIBC_TUNABLES': tunables} if tunables else {}):
        process.start()


def results_path(name: str) -> pathlib.Path:
    """Where results of that name on this hardware are kept."""
    return RESULTS / f'{name}-{hardware()}.csv'


def read_results(name: str) -> list[dict[str, str]]:
    """The rows kept so far; none where there are none."""
    try:
        with open(results_path(name), newline='', encoding='utf-8') as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        return []


def write_results(name: str, rows: Sequence[Mapping]) -> pathlib.Path:
    """Keeps the rows as `results/<name>-<hardware>.csv`, in place of what was there."""
    RESULTS.mkdir(exist_ok=True)
    path, text = results_path(name), io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode())
    return path
