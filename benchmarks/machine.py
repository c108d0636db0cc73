"""What a benchmark ran on, and where its results are kept."""

import csv
import importlib.metadata
import os
import pathlib
import platform
import re
from collections.abc import Mapping, Sequence

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


def write_results(name: str, rows: Sequence[Mapping]) -> pathlib.Path:
    """Keeps the rows as `results/<name>-<hardware>.csv`."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f'{name}-{hardware()}.csv'
    with open(path, 'w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator='\n')
        writer.writeheader()
        writer.writerows(rows)
    return path
