"""The run record: what a run leaves behind in `run.json`, how it is written, read and checked.

Every count of compute says its convention: `macs` are multiply-adds, `flops` are two each; `paper_macs` are the
paper's, 3 x forward dense macs x examples; `train_macs` are the dense macs of the train step itself x steps, and those
by which initial values were taken from the data, if they were; `compiled_flops` are what XLA says of the executable
that ran, all devices together, a loop's body counted once. Every key of a time ends in `_seconds`; everything else in
`curve` is the same each time a run is repeated on one machine.

What a point of the curve measures is said in the section `metrics` (`efficiency.metrics`), which records of
classification may lack. All of it is finite: a run whose loss or metric is not has failed.
"""

import collections
import json
import math
import os
import pathlib
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from efficiency.errors import UserError, shown
from efficiency.files import write_atomically
from efficiency.metrics import Metric
from efficiency.metrics import of_record as metrics_of
from efficiency.record_schema import CROSSING, SCHEMA, UNPADDED
from efficiency.schema import compiled, problems

Record = dict[str, Any]

FILE_NAME = 'run.json'
# Folders in a workdir whose JSON files are none.
_NO_RECORDS = ('checkpoints', 'damaged-checkpoints', 'wandb')
# One teraflop/s-day, in multiply-adds where a multiply-add counts as one operation, as in the paper.
MACS_PER_TFS_DAY = 1e12 * 24 * 60 * 60
_SECONDS_BETWEEN_WAITS = 10

# Keys of a config that are younger than the first records, and the value that runs from before them stand for.
LATER_CONFIG_KEYS = {
    'averaging': {'name': 'none'},
    'batch_norm_group': 0,
    'eval_views': 'one',
    'label_smoothing': 0.0,
    'microbatches': 1,
    'schedule_epochs': None,
    'stages': [],
    'task': 'images',
}
# Of these, keys that other tasks than images have not, or always had.
_KEYS_OF_IMAGES = ('batch_norm_group', 'eval_views', 'label_smoothing')
# Keys that configs once had, none of which changes what a run trains or finds.
FORMER_CONFIG_KEYS = ('eval_only', 'preset', 'tensorboard')


class RecordError(Exception):
    """A run record that is not one; the message says where and what is wrong."""


_FITS = compiled(SCHEMA)
# A point of the curve takes 300 bytes: a million evaluations.
_MOST_BYTES = 2**28
_BYTES_A_READ = 2**16
# A program of a run: the numbers of its stage, and of its batches' form in that.
Place = tuple[int, int]


def validate(record: Any, known_points: int = 0) -> None:
    """Checks that a record is complete and agrees with itself.

    Args:
        record: anything.
        known_points: how many points at the beginning of its curve are known to be points.

    Raises:
        RecordError: says what is wrong first, and where.
    """
    if known_points or not _FITS(record):
        for problem in problems(record, SCHEMA, '', {'curve': known_points}):
            raise RecordError(problem)
    steps = [point['step'] for point in record['curve'][max(0, known_points - 1) :]]
    if steps != sorted(set(steps)):
        raise RecordError('curve is not in the order of its steps')
    crossing = first_crossing(record['curve'], record['target'], _checked_metrics(record, known_points))
    if record['first_crossing'] != crossing:
        raise RecordError('first_crossing is not the first point of curve that meets the target')
    if (record['interpolated_crossing'] is None) != (crossing is None):
        raise RecordError('interpolated_crossing is there without first_crossing, or the other way round')
    if record['status'] == 'reached' and crossing is None:
        raise RecordError("status is 'reached', but no point of curve meets the target")
    if record['final'] != (record['curve'][-1] if record['curve'] else None):
        raise RecordError('final is not the last point of curve')
    if record['curve'] and record['curve'][-1]['train_macs'] > spent(record)[0]:
        raise RecordError('curve ends with more train_macs than the programs did')
    is_endless = record.get('unit') is not None
    for i, point in enumerate(record['curve'][known_points:], known_points):
        for key in ('epochs', 'paper_macs'):
            if (point[key] is None) != is_endless:
                raise RecordError(f'curve[{i}].{key} is {shown(point[key])}, and unit {shown(record.get("unit"))}')
    for i, program in enumerate(record['programs']):
        if parts := program.get('parts'):
            macs = sum(part['calls_per_step'] * part['dense_macs_per_call'] for part in parts)
            if macs != program['train_dense_macs_per_step']:
                raise RecordError(f'programs[{i}].parts are {macs} dense macs a step, and it says another')


def _checked_metrics(record: Record, known_points: int) -> Mapping[str, Metric]:
    """The metrics of a record that is right otherwise, once its target is one of theirs and its points have them."""
    try:
        metrics = metrics_of(record)
    except UserError as error:
        raise RecordError(str(error)) from error
    name, value = record['target']['metric'], record['target']['value']
    if name not in metrics:
        raise RecordError(f'target.metric is {shown(name)}, not one of {", ".join(metrics)}')
    if not metrics[name].is_level(value):
        raise RecordError(f'target.value is {shown(value)}, not {metrics[name].wanted}')
    new = record['curve'][known_points:]
    if all(metric.hold_all([point.get(name) for point in new]) for name, metric in metrics.items()):
        return metrics
    for i, point in enumerate(new, known_points):
        for name, metric in metrics.items():
            if name not in point:
                raise RecordError(f'curve[{i}].{name} is missing')
            if not metric.holds(point[name]):
                raise RecordError(f'curve[{i}].{name} is {shown(point[name])}, not {metric.allowed}')
    return metrics


def read(path: str | os.PathLike) -> Record:
    """Reads and checks a record; its config has the keys of now.

    Args:
        path: of a `run.json`, or the folder it is in.

    Raises:
        FileNotFoundError: if there is none.
        RecordError: if it is not a valid record, or what nobody should read to the end; names the file.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        path /= FILE_NAME
    return parsed(content(path), path)


def parsed(data: bytes, path: str | os.PathLike) -> Record:
    """The record that is in a file, from what `content` found there.

    Raises:
        RecordError: if that is no valid record; names the file.
    """
    try:
        record = json.loads(data.decode('utf-8'))
        validate(record)
    except (ValueError, RecursionError) as error:
        raise RecordError(f'{path} is not JSON: {error}') from error
    except RecordError as error:
        raise RecordError(f'{path} is not a run record: {error}') from error
    record['config'] = completed_config(record['config'])
    return record


def _unreadable(path: str | os.PathLike) -> str | None:
    """Why nobody should read what is there to its end: a pipe waits for a writer for ever, a device never ends."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        return 'it is no regular file'
    if found.st_size > _MOST_BYTES:
        return f'it has {found.st_size:,} bytes, and records no more than {_MOST_BYTES:,}'
    return None


def content(path: str | os.PathLike) -> bytes:
    """What is in a record's file, up to as much as a record may have.

    Raises:
        FileNotFoundError: if there is none.
        RecordError: if it is what nobody should read to the end; names the file.
    """
    problem, parts, size = _unreadable(path), [], 0
    if problem is None:
        # A kernel has files that never end, or make readers wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            while size <= _MOST_BYTES and (part := os.read(descriptor, _BYTES_A_READ)):
                parts.append(part)
                size += len(part)
        finally:
            os.close(descriptor)
        if size > _MOST_BYTES:
            problem = f'it has more than {_MOST_BYTES:,} bytes, and records do not'
    if problem:
        raise RecordError(f'{path} is not a run record: {problem}')
    return b''.join(parts)


def completed_config(config: Mapping) -> dict:
    """The config of a run that may be older than some keys, with those, and without what is none any more."""
    kept = {key: value for key, value in config.items() if key not in FORMER_CONFIG_KEYS}
    # The very first do not say that they began with no weights, which is a part of others' names.
    return {'init_from': '', **later_config_keys(config), **kept}


def later_config_keys(config: Mapping) -> dict:
    """Those of `LATER_CONFIG_KEYS` that a config of its task has."""
    of_images = config.get('task', LATER_CONFIG_KEYS['task']) == LATER_CONFIG_KEYS['task']
    return {key: value for key, value in LATER_CONFIG_KEYS.items() if of_images or key not in _KEYS_OF_IMAGES}


class Writer:
    """Writes the record of one run again and again, whole or not at all, at a cost that its curve hardly adds to.

    Points of the curve are checked and turned into text once, when they are new. While the run goes on, not every
    write waits for the disk: after a loss of power, an older record may be found.
    """

    def __init__(self, folder: str | os.PathLike, name: str = FILE_NAME):
        self._path = pathlib.Path(folder, name)
        self._known = 0
        self._curve = bytearray()
        self._seen_onto_disk = -math.inf

    def write(self, record: Record) -> None:
        """Writes `run.json`; the record's curve begins as that of the record written before.

        Raises:
            RecordError: if the record is not valid.
            OSError: if it cannot be written; the one before is still there.
        """
        validate(record, known_points=self._known)
        for point in record['curve'][self._known :]:
            self._curve += (',\n  ' if self._curve else '  ').encode() + json.dumps(point, allow_nan=False).encode()
        self._known = len(record['curve'])
        # Indented for people once it is finished, which takes json's slow encoder; the curve last, a line a point.
        indent = None if record['status'] == 'running' else 1
        rest = {key: value for key, value in record.items() if key != 'curve'}
        head = json.dumps(rest, indent=indent, allow_nan=False)[:-1].rstrip() + ',\n "curve": [\n'
        waits = record['status'] != 'running' or time.monotonic() - self._seen_onto_disk > _SECONDS_BETWEEN_WAITS
        write_atomically(self._path, head.encode(), self._curve, b'\n ]\n}\n', wait=waits)
        if waits:
            self._seen_onto_disk = time.monotonic()


def write(workdir: str | os.PathLike, record: Record) -> None:
    """Writes `run.json`, whole or not at all; see `Writer`."""
    Writer(workdir).write(record)


def first_crossing(curve: Sequence[Mapping], target: Mapping, metrics: Mapping[str, Metric]) -> dict | None:
    """Where a curve first meets a target: the crossing's position, compute and time, or None.

    Args:
        curve: points with the target's metric.
        target: `metric`, the name of one of `metrics`, and `value`.
        metrics: by name.
    """
    metric = metrics[target['metric']]
    for point in curve:
        if metric.meets(point[metric.name], target['value']):
            return {key: point[key] for key in CROSSING}
    return None


def interpolated_crossing(curve: Sequence[Mapping], target: Mapping, metrics: Mapping[str, Metric]) -> dict | None:
    """The crossing where the straight line between the evaluations around it meets the target, or None.

    A curve whose first point meets the target has nothing before it to draw a line from: that point is returned.
    """
    metric, value = metrics[target['metric']], target['value']
    for i, point in enumerate(curve):
        if metric.meets(point[metric.name], value):
            before = curve[max(0, i - 1)]
            change = point[metric.name] - before[metric.name]
            share = (value - before[metric.name]) / change if change else 1.0
            return {key: _between(before[key], point[key], share) for key in CROSSING}
    return None


def _between(before: float | None, after: float | None, share: float) -> float | None:
    return None if before is None or after is None else before + share * (after - before)


def spent(record: Record) -> tuple[int, int]:
    """What a run has computed so far: dense macs of all training, and of all evaluations' forward passes."""
    train = first_macs(record)
    train += sum(program['steps'] * program['train_dense_macs_per_step'] for program in record['programs'])
    return train, record['evaluation']['dense_macs'] + (record.get('test') or {}).get('dense_macs', 0)


def first_macs(record: Record) -> int:
    """The dense macs by which a run's initial values were taken from its data: part of its train compute."""
    return (record.get('initialisation') or {}).get('dense_macs', 0)


def unpadded(record: Record) -> int | None:
    """Of a run's train macs so far those of what is no padding; None where nothing is padded, or it is not known."""
    programs = record['programs']
    known = programs and all(program.get(UNPADDED) is not None for program in programs)
    return sum(program['steps'] * program[UNPADDED] for program in programs) if known else None


def spent_by_part(record: Record) -> dict[str, int]:
    """The dense macs of all train steps by the parts that a step has, as self-play and updates; empty without parts."""
    found: collections.Counter[str] = collections.Counter()
    for program in record['programs']:
        for part in program.get('parts') or ():
            found[part['name']] += program['steps'] * part['calls_per_step'] * part['dense_macs_per_call']
    return dict(found)


def is_finished(record: Record) -> bool:
    """Whether the run has nothing left to do."""
    return record['status'] in ('reached', 'exhausted')


def place_of(program: Mapping[str, Any]) -> Place:
    """The numbers of the stage that a program of a record was of, and of the form that its batches had in that.

    The first records do not say it: they have one of each.
    """
    return program.get('stage', 0), program.get('form', 0)


def task_of(record: Record) -> str:
    """The domain of a record; that of the first records, which do not say it, is images."""
    return record.get('task') or 'images'


def files_below(folder: str | os.PathLike) -> Iterator[str]:
    """What is taken for a run record below a folder: every `*.json`, a folder of such a name too.

    Not what is hidden, nor what a run keeps in folders of its own beside its record: checkpoints, and logs of others.
    """
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _NO_RECORDS and not name.startswith('.'))
        for name in sorted(names + folders):
            if name.endswith('.json') and not name.startswith('.'):
                yield os.path.join(parent, name)
