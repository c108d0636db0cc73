"""Facts of records that were read before, in a file beside them.

They are known by the SHA-256 of a record's very bytes, so that one which has changed is read anew, and by that of the
source of the program that reads records. A file that is damaged, of another program, or not there says nothing, and
where none can be written nothing is kept: a report is the same with it and without.
"""

import contextlib
import functools
import hashlib
import json
import os
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from efficiency import metrics, record_schema, records, schema
from efficiency.analysis import crossings, facts
from efficiency.analysis.facts import Facts, columns_of
from efficiency.files import write_atomically

FILE_NAME = '.report-cache'
_DIGEST = 32  # bytes of a SHA-256
_READERS = (records, record_schema, schema, metrics, crossings, facts)


class Read(NamedTuple):
    """Facts as bytes, which is how they go from one process to another, and into the file.

    Attributes:
        digest: of the record's content.
        said: JSON in one line.
        evaluations: float64, in the machine's order.
    """

    digest: bytes
    said: bytes
    evaluations: bytes

    @classmethod
    def of(cls, digest: bytes, found: Facts) -> 'Read':
        return cls(digest, json.dumps(found.said, separators=(',', ':')).encode(), found.evaluations.tobytes())


def facts_of_all(found: Sequence[Read]) -> list[Facts]:
    """What they say."""
    # Parsed at once, they share the strings of their keys.
    of_all = json.loads(b'[' + b','.join(read.said for read in found) + b']')
    columns = (len(columns_of(metrics.of_record(said), said['noise'])) for said in of_all)
    return [
        Facts(said, np.frombuffer(read.evaluations).reshape(count, -1))
        for said, read, count in zip(of_all, found, columns, strict=True)
    ]


def digest_of(content: bytes) -> bytes:
    """By which a record's content is known."""
    return hashlib.sha256(content).digest()


def load(folder: str | os.PathLike) -> dict[str, Read]:
    """What is kept of records below a folder, by their path from there; empty where nothing is."""
    try:
        data = pathlib.Path(folder, FILE_NAME).read_bytes()
    except OSError:
        return {}
    made_by, checksum = _source(), data[_DIGEST : 2 * _DIGEST]
    if data[:_DIGEST] != made_by or checksum != hashlib.sha256(memoryview(data)[2 * _DIGEST :]).digest():
        return {}
    at = data.index(b'\n', 2 * _DIGEST) + 1
    kept = {}
    for path, digest, *lengths in json.loads(data[2 * _DIGEST : at]):
        middle, end = at + lengths[0], at + sum(lengths)
        kept[path] = Read(bytes.fromhex(digest), data[at:middle], data[middle:end])
        at = end
    return kept


def save(folder: str | os.PathLike, found: Mapping[str, Read]) -> None:
    """Keeps these beside the records, in place of what was there; nothing, where that cannot be written."""
    head = [[path, read.digest.hex(), len(read.said), len(read.evaluations)] for path, read in found.items()]
    parts = [json.dumps(head, separators=(',', ':')).encode(), b'\n']
    for read in found.values():
        parts += read.said, read.evaluations
    checksum = hashlib.sha256()
    for part in parts:
        checksum.update(part)
    with contextlib.suppress(OSError):
        # Not seen onto the disk: what a loss of power leaves of it does not add up.
        write_atomically(pathlib.Path(folder, FILE_NAME), _source(), checksum.digest(), *parts, wait=False)


@functools.cache
def _source() -> bytes:
    """The digest of the source of the program that reads records, and of the machine's order of bytes."""
    found = hashlib.sha256(sys.byteorder.encode())
    for module in _READERS:
        found.update(pathlib.Path(module.__file__).read_bytes())
    return found.digest()
