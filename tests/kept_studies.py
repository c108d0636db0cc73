"""The studies of `studies/` in their shortest form: their own systems, one rate and one seed each, and short runs."""

import importlib.util
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from efficiency import records, study
from tests.conftest import ROOT


def kept(name: str) -> dict:
    """A study's own data."""
    spec = importlib.util.spec_from_file_location('kept', ROOT / 'studies' / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_study()


def shortest(
    folder: pathlib.Path,
    name: str,
    systems: Sequence[str],
    short: Mapping[str, Any],
    level: Mapping[str, Any] | None = None,
    data_set: str = '',
) -> pathlib.Path:
    """A study's file of some of the systems.

    Args:
        folder: gets the file.
        name: of the study.
        systems: the first of them is the baseline.
        short: overrides of every system.
        level: the study's only one, but for whose it is, the baseline's; None for none.
        data_set: what their configs are asked for in place of their own.
    """
    data = kept(name)
    found = {}
    for each in systems:
        found[each] = data['systems'][each] | {'seeds': [1]}
        found[each]['config'] += data_set and f':{data_set}'
        found[each]['overrides'] = found[each].get('overrides', {}) | short
        if tune := found[each].get('tune'):
            ((key, values),) = tune['settings'].items()
            found[each]['tune'] = tune | {'settings': {key: values[:1]}}
    data |= {'baseline': systems[0], 'systems': found}
    data.pop('levels', None)
    if level:
        data['levels'] = [{'of': systems[0]} | level]
    path = folder / 'short.py'
    path.write_text(f'def get_study():\n    return {data!r}\n')
    return path


def run_study(path: pathlib.Path, folder: pathlib.Path, *options: str) -> list[records.Record]:
    """The records of a study by its command, which must be run where `configs` is."""
    folders = [f'--runs={folder / "runs"}', f'--results={folder / "results"}']
    assert study.main([f'--study={path}', *folders, *options]) == 0
    return [records.read(record) for record in sorted((folder / 'results').rglob('*.json'))]
