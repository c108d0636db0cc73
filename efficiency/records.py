"""The run record: what a run leaves behind in `run.json`, how it is written, read and checked.

Every count of compute says its convention: `macs` are multiply-adds, `flops` are two each; `paper_macs` are the
paper's, 3 x forward dense macs x examples; `train_macs` are the dense macs of the train step itself x steps;
`compiled_flops` are what XLA says of the executable that ran, all devices together, a loop's body counted once. Every
key of a time ends in `_seconds`; everything else in `curve` is the same each time a run is repeated on one machine.
"""

import json
import math
import os
import pathlib
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from efficiency.errors import shown

Record = dict[str, Any]

SCHEMA_VERSION = 1
FILE_NAME = 'run.json'
STATUSES = ('running', 'reached', 'exhausted', 'failed')
METRICS = ('top1', 'top5')
# In a study: what others are compared with, what is compared, and what was there to choose a setting by.
ROLES = ('baseline', 'compared', 'tuning')
# One teraflop/s-day, in multiply-adds where a multiply-add counts as one operation, as in the paper.
MACS_PER_TFS_DAY = 1e12 * 24 * 60 * 60
_SECONDS_BETWEEN_WAITS = 10


# Keys of a config that are younger than the first records, and the value that runs from before them stand for.
LATER_CONFIG_KEYS = {'batch_norm_group': 0}


class RecordError(Exception):
    """A run record that is not one; the message says where and what is wrong."""


# Whole numbers in JSON may be larger than any float.
_LARGEST = 1e300
# A point of the curve takes 300 bytes: a million evaluations.
_MOST_BYTES = 2**28


class _Number:
    """A finite number, whole or not, at least `low`."""

    def __init__(self, kind: type = float, low: float = 0):
        self.kind, self.low = kind, low

    def problem(self, value: Any) -> str | None:
        kinds = int if self.kind is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds):
            return f'is {shown(value)}, not {"a whole number" if self.kind is int else "a number"}'
        if not self.low <= value <= _LARGEST:  # which is not so of NaN either
            return f'is {shown(value)}, not finite and at least {self.low}'
        return None


class _Optional:
    """Something, or null; also nothing at all, where earlier records did not have it."""

    def __init__(self, schema: Any, may_lack: bool = False):
        self.schema, self.may_lack = schema, may_lack


_COUNT, _SOME, _AMOUNT, _ANY = _Number(int), _Number(int, low=1), _Number(), _Number(low=-_LARGEST)
_COUNTED = ('step', 'examples', 'paper_macs', 'train_macs')
_CROSSING = dict.fromkeys(_COUNTED, _SOME) | {
    'epochs': _AMOUNT,
    'compiled_flops': _Optional(_AMOUNT),
    'train_seconds': _AMOUNT,
}
# Between two evaluations nothing is whole.
_BETWEEN = _CROSSING | dict.fromkeys(_COUNTED, _AMOUNT)
_POINT = _CROSSING | {'loss': _ANY, 'top1': _AMOUNT, 'top5': _AMOUNT}
_SCHEMA = {
    'schema_version': SCHEMA_VERSION,
    'status': STATUSES,
    'model': str,
    'config': dict,
    'seed': _COUNT,
    'dataset': {
        'name': str,
        'version': str,
        'fingerprint': str,
        'num_train': _COUNT,
        'num_eval': _COUNT,
        'num_classes': _COUNT,
        'sample': _Optional(str, may_lack=True),
    },
    'target': {'metric': METRICS, 'value': _AMOUNT},
    'first_crossing': _Optional(_CROSSING),
    'interpolated_crossing': _Optional(_BETWEEN),
    'final': _Optional(_POINT),
    'curve': [_POINT],
    'macs_per_example': dict.fromkeys(('forward_dense', 'forward_real', 'train_dense', 'train_real'), _AMOUNT),
    'programs': [
        dict.fromkeys(
            (
                'steps',
                'batch_size',
                'image_size',
                'train_dense_macs_per_step',
                'train_real_macs_per_step',
                'optimizer_dense_macs_per_step',
            ),
            _COUNT,
        )
        | {
            'compiled_flops_per_step': _Optional(_AMOUNT, may_lack=True),
            'traced': _Optional(dict.fromkeys(('step_sha256', 'forward_sha256', 'traced_by'), str), may_lack=True),
        }
    ],
    'xla': {
        'lowered_flops_per_step': _Optional(_AMOUNT),
        'compiled_flops_per_step': _Optional(_AMOUNT),
        'compiled_over_train_dense': _Optional(_AMOUNT),
    },
    'evaluation': {'examples': _COUNT, 'dense_macs': _COUNT},
    'clock': dict.fromkeys(
        ('compile_seconds', 'train_seconds', 'data_wait_seconds', 'evaluation_seconds', 'checkpoint_seconds'), _AMOUNT
    ),
    'throughput': {
        'examples_per_second': _AMOUNT,
        'train_dense_macs_per_second': _AMOUNT,
        'matmul_peak_macs_per_second': _Optional(_AMOUNT, may_lack=True),
        'share_of_peak': _Optional(_AMOUNT, may_lack=True),
    },
    'precision': str,
    # What the run is of beside its config; `efficiency.training.code` says when it is compared.
    'code': _Optional(
        {'initial_sha256': _Optional(str), 'init_from_sha256': _Optional(str), 'own_files': dict}, may_lack=True
    ),
    'devices': {'kind': str, 'count': _COUNT, 'hosts': _COUNT},
    'versions': dict,
    'git': _Optional({'commit': str, 'dirty': bool}),
    'resumed_from_steps': [_COUNT],
    'failure': _Optional(str),
    # Of a record that a study keeps: what the run was there for. `config` says nothing of it.
    'study': _Optional({'name': str, 'system': str, 'role': ROLES}, may_lack=True),
}


def _problems(value: Any, schema: Any, path: str, known: Mapping[str, int] | None = None) -> Iterator[str]:
    """What is wrong with a value; of the list at a path, the first `known[path]` items are taken as right."""
    if isinstance(schema, _Optional):
        if value is not None:
            yield from _problems(value, schema.schema, path)
    elif isinstance(schema, _Number):
        if problem := schema.problem(value):
            yield f'{path} {problem}'
    elif isinstance(schema, dict):
        if not isinstance(value, dict):
            yield f'{path or "the record"} is {type(value).__name__}, not an object'
            return
        for key, inner in schema.items():
            name = f'{path}.{key}' if path else key
            if key in value:
                yield from _problems(value[key], inner, name, known)
            elif not getattr(inner, 'may_lack', False):
                yield f'{name} is missing'
    elif isinstance(schema, list):
        if not isinstance(value, list):
            yield f'{path} is {type(value).__name__}, not a list'
            return
        for i in range((known or {}).get(path, 0), len(value)):
            yield from _problems(value[i], schema[0], f'{path}[{i}]')
    elif isinstance(schema, type):
        if not isinstance(value, schema):
            yield f'{path} is {shown(value)}, not {schema.__name__}'
    elif isinstance(schema, tuple):
        if value not in schema:
            yield f'{path} is {shown(value)}, not one of {", ".join(schema)}'
    elif type(value) is not type(schema) or value != schema:
        yield f'{path} is {shown(value)}, not {schema!r}'


def validate(record: Any, known_points: int = 0) -> None:
    """Checks that a record is complete and agrees with itself.

    Args:
        record: anything.
        known_points: how many points at the beginning of its curve are known to be points.

    Raises:
        RecordError: says what is wrong first, and where.
    """
    for problem in _problems(record, _SCHEMA, '', {'curve': known_points}):
        raise RecordError(problem)
    steps = [point['step'] for point in record['curve'][max(0, known_points - 1) :]]
    if steps != sorted(set(steps)):
        raise RecordError('curve is not in the order of its steps')
    crossing = first_crossing(record['curve'], record['target'])
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


def read(path: str | os.PathLike) -> Record:
    """Reads and checks a record; its config gets the keys that are younger than it.

    Args:
        path: of a `run.json`, or the folder it is in.

    Raises:
        FileNotFoundError: if there is none.
        RecordError: if it is not a valid record, or what nobody should read to the end; names the file.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        path /= FILE_NAME
    try:
        if problem := _unreadable(path):
            raise RecordError(problem)
        record = json.loads(_text(path))
        validate(record)
    except (ValueError, RecursionError) as error:
        raise RecordError(f'{path} is not JSON: {error}') from error
    except RecordError as error:
        raise RecordError(f'{path} is not a run record: {error}') from error
    record['config'] = completed_config(record['config'])
    return record


def _unreadable(path: pathlib.Path) -> str | None:
    """Why nobody should read what is there to its end: a pipe waits for a writer for ever, a device never ends."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        return 'it is no regular file'
    if found.st_size > _MOST_BYTES:
        return f'it has {found.st_size:,} bytes, and records no more than {_MOST_BYTES:,}'
    return None


def _text(path: pathlib.Path) -> str:
    """What is in a file, up to as much as a record may have: a kernel has some that never end, or make readers wait."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), 'rb', buffering=0) as file:
        found = b''
        while part := file.read(_MOST_BYTES):
            found += part
            if len(found) > _MOST_BYTES:
                raise RecordError(f'it has more than {_MOST_BYTES:,} bytes, and records do not')
    return found.decode('utf-8')


def completed_config(config: Mapping) -> dict:
    """The config of a run that may be older than some keys, with those."""
    return {**LATER_CONFIG_KEYS, **config}


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


def write_atomically(path: pathlib.Path, *parts: bytes, wait: bool = True) -> None:
    """Replaces a file by a new one: whoever reads it, at any moment, sees the old one or the new one whole."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.')
    os.close(descriptor)
    try:
        write_whole(pathlib.Path(temporary), *parts, wait=wait)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        pathlib.Path(temporary).unlink(missing_ok=True)
        raise


def write_whole(path: pathlib.Path, *parts: bytes, wait: bool = True) -> None:
    """Writes a file, and by default waits until the disk has it.

    Raises:
        OSError: if there is no room, or another reason; names the file.
    """
    try:
        with open(path, 'wb') as file:
            file.writelines(parts)
            file.flush()
            if wait:
                os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def first_crossing(curve: Sequence[Mapping], target: Mapping) -> dict | None:
    """Where a curve first meets a target: the crossing's position, compute and time, or None."""
    for point in curve:
        if point[target['metric']] >= target['value']:
            return {key: point[key] for key in _CROSSING}
    return None


def interpolated_crossing(curve: Sequence[Mapping], target: Mapping) -> dict | None:
    """The crossing where the straight line between the evaluations around it meets the target, or None.

    A curve whose first point meets the target has nothing before it to draw a line from: that point is returned.
    """
    metric, value = target['metric'], target['value']
    for i, point in enumerate(curve):
        if point[metric] >= value:
            before = curve[max(0, i - 1)]
            rise = point[metric] - before[metric]
            share = (value - before[metric]) / rise if rise > 0 else 1.0
            return {key: _between(before[key], point[key], share) for key in _CROSSING}
    return None


def _between(before: float | None, after: float | None, share: float) -> float | None:
    return None if before is None or after is None else before + share * (after - before)


def spent(record: Record) -> tuple[int, int]:
    """What a run has computed so far: dense macs of all train steps, and of all evaluations' forward passes."""
    train = sum(program['steps'] * program['train_dense_macs_per_step'] for program in record['programs'])
    return train, record['evaluation']['dense_macs']


def is_finished(record: Record) -> bool:
    """Whether the run has nothing left to do."""
    return record['status'] in ('reached', 'exhausted')
