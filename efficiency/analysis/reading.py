"""Reads many run records, as much of each as the analysis needs: by several processes, and each content once."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import TypeVar

from efficiency import records
from efficiency.analysis import kept_facts
from efficiency.analysis.facts import Facts, facts_of
from efficiency.analysis.helpers import shared
from efficiency.analysis.kept_facts import Read, facts_of_all

T = TypeVar('T')
# Fewer records are read sooner than a file that keeps their facts would be of use.
LEAST_KEPT = 500
_AT_ONCE = 100


def read_all(
    folder: str | os.PathLike, paths: Sequence[str], progress: Callable[[str], None], pool: Executor | None
) -> Iterator[tuple[str, Facts | str]]:
    """Of each record its path and its facts, or why it has none.

    Args:
        folder: that the records are below; of many records what was read is kept there, see `kept_facts`.
        paths: of the records, as they were found below the folder; a folder among them has none.
        progress: told how many were read.
        pool: of processes that help, see `helpers`.
    """
    if len(paths) < LEAST_KEPT:
        for number, path in enumerate(paths, 1):
            progress(f'{number} records read')
            yield path, _facts(path)
        return
    names = [os.path.relpath(path, folder) for path in paths]
    kept = kept_facts.load(folder)
    asked = [(path, kept[name].digest if name in kept else None) for path, name in zip(paths, names, strict=True)]
    found: dict[str, Read] = {}
    number = 0
    # The files of neighbours in a folder are close to one another on a disk, too.
    for read in shared(pool, _read, [asked[i : i + _AT_ONCE] for i in range(0, len(asked), _AT_ONCE)]):
        some = slice(number, number + len(read))
        number += len(read)
        progress(f'{number} records read')
        of_some = {
            name: kept[name] if one is None else one
            for name, one in zip(names[some], read, strict=True)
            if not isinstance(one, str)
        }
        found |= of_some
        facts = iter(facts_of_all(list(of_some.values())))
        for path, one in zip(paths[some], read, strict=True):
            yield path, one if isinstance(one, str) else next(facts)
    if any(kept.get(name) is not read for name, read in found.items()) or len(found) != len(kept):
        kept_facts.save(folder, found)


def _facts(path: str) -> Facts | str:
    return _unless_left_out(path, lambda: facts_of(records.read(path)))


def _read(asked: Sequence[tuple[str, bytes | None]]) -> list[Read | str | None]:
    """Of records by their paths what was found, why nothing was, or None where its content has this digest."""
    return [_unless_left_out(path, lambda path=path, known=known: _read_one(path, known)) for path, known in asked]


def _read_one(path: str, known: bytes | None) -> Read | None:
    content = records.content(path)
    digest = kept_facts.digest_of(content)
    return None if digest == known else Read.of(digest, facts_of(records.parsed(content, path)))


def _unless_left_out(path: str, read: Callable[[], T]) -> T | str:
    """What is read of a record, or why it is left out."""
    if os.path.isdir(path):
        return 'is a folder; what records are below it are read'
    try:
        return read()
    except OSError as error:
        return f'cannot be read: {error.strerror}'
    except records.RecordError as error:
        return str(error).removeprefix(path).strip()
