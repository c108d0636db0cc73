"""Checks what others submit for the ledger, rows of points or a run record, and says everything that is wrong."""

import math
import os
import pathlib
from collections.abc import Iterator

from efficiency import records
from efficiency.errors import UserError
from efficiency.published import points as ledger

# Of counts that are made of whole numbers and kept whole.
_EXACT = 1e-9


def check(path: str | os.PathLike) -> list[str]:
    """What is wrong with a submission, a sentence each; nothing if it can go into the ledger.

    A run record (`.json`) has to be whole, to have met its target, and to have compute that is its macs an example
    x its examples, ours where the network is one of ours. Rows (`.csv`, with the columns of `points.csv`) have to
    keep the ledger's schema: a known target, what was printed with unit and convention, compute that is 3 x epochs
    x examples x macs an example, and a source; of a submission, the epochs or the compute may not be missing.

    Raises:
        UserError: if the file cannot be read, or is neither.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f'there is no file {path}; a submission is a run record (.json) or ledger rows (.csv)')
    if path.suffix == '.json':
        return list(_record_problems(path))
    if path.suffix == '.csv':
        return list(_row_problems(path))
    raise UserError(f'{path} is neither a run record (.json) nor ledger rows (.csv)')


def _row_problems(path: pathlib.Path) -> Iterator[str]:
    points, problems = ledger.examine(path)
    yield from map(str, problems)
    if not points and not problems:
        yield f'{path.name} has no rows'
    known = {point.id for point in ledger.points()}
    for point in points:
        where = f'{path.name}, row {point.id}'
        if point.id in known:
            yield f'{where}, column id: is in the ledger already; take another'
        if point.dense_macs is None:
            yield f'{where}, column dense_macs: is empty; a submission says how much compute it took'
        if point.epochs is None:
            yield f'{where}, column epochs: is empty; a submission says when the target was met'
        if point.dense_macs is not None and not point.printed_convention and not point.macs_convention:
            yield f'{where}, column macs_convention: is empty; say whether macs are counted, derived or published'


def _record_problems(path: pathlib.Path) -> Iterator[str]:
    try:
        record = records.read(path)
    except records.RecordError as error:
        yield str(error)
        return
    crossing, name = record['first_crossing'], path.name
    if not records.is_finished(record):
        yield f'{name}: the run is not finished, its status is {record["status"]}'
    if crossing is None:
        target = record['target']
        yield f'{name}: no evaluation meets the target, {target["metric"]} >= {target["value"]:g}'
    if record['git'] is None or record['git']['dirty']:
        yield f'{name}: git does not name the code that ran; commit it and run again'
    forward = record['macs_per_example']['forward_dense']
    for i, point in enumerate(record['curve']):
        if not math.isclose(point['paper_macs'], 3 * forward * point['examples'], rel_tol=_EXACT):
            yield (
                f'{name}: curve[{i}].paper_macs is {point["paper_macs"]}, not 3 x {forward} forward dense macs x '
                f'{point["examples"]} examples'
            )
            break
    yield from _step_problems(record, name)


def _step_problems(record: records.Record, name: str) -> Iterator[str]:
    """Whether the compute of the curve is that of its steps."""
    programs = record['programs']
    for program in programs:
        per_step = program['train_dense_macs_per_step']
        if program['train_real_macs_per_step'] > per_step:
            yield f'{name}: a step has more real macs than dense ones'
    if len(programs) == 1:  # with several, which steps were whose is not in the record
        for i, point in enumerate(record['curve']):
            if point['train_macs'] != point['step'] * programs[0]['train_dense_macs_per_step']:
                yield (
                    f'{name}: curve[{i}].train_macs is {point["train_macs"]}, not {point["step"]} steps x '
                    f'{programs[0]["train_dense_macs_per_step"]} macs'
                )
                break
            if point['examples'] != point['step'] * programs[0]['batch_size']:
                yield (
                    f'{name}: curve[{i}].examples is {point["examples"]}, not {point["step"]} steps x batches of '
                    f'{programs[0]["batch_size"]}'
                )
                break
    yield from _network_problems(record, name)


def _network_problems(record: records.Record, name: str) -> Iterator[str]:
    """Whether the forward pass of one of our networks, at a size that we have counted, costs what it costs."""
    sizes = {program['image_size'] for program in record['programs']}
    if len(sizes) != 1 or record['dataset']['num_classes'] != 1000:
        return
    count = ledger.networks().get((record['model'], sizes.pop()))
    forward = record['macs_per_example']['forward_dense']
    options = set(record['config'].get('model', {})) - {'name'}
    if count and not options and not math.isclose(forward, count.forward_dense_macs, rel_tol=_EXACT):
        yield (
            f'{name}: {record["model"]} takes {count.forward_dense_macs} forward dense macs for an image of '
            f'{count.image_size} pixels, not {forward}'
        )
