"""The published ledger: what others measured, what they printed of it, and what our networks count.

`points.csv` holds a measurement a row, `targets.csv` the capabilities they are of, `claims.csv` the figures that the
paper (Hernandez & Brown 2020, arXiv:2005.04305) and its posts print, `findings.csv` what others found of language
models that is no measurement to a level, `networks.csv` our own counts
(`python -m benchmarks.published_networks`). Standard library only: reading needs no jax.

Compute is in dense multiply-adds, one operation each; where a source counts multiply and add apart its figure is
halved. A point keeps what was printed apart from what is right, and `correction` says why they differ. Of a training
run whose epochs are known, dense_macs = 3 x epochs x examples x macs_per_example, within 1 % unless its `note` or
`correction` says "dense_macs" and why not.
"""

import csv
import dataclasses
import datetime
import decimal
import difflib
import math
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from efficiency.errors import UserError, shown
from efficiency.published.schema import (
    BASES,
    CONFIDENCES,
    DIRECTIONS,
    LEVELS,
    MACS_CONVENTIONS,
    PRECISIONS,
    Claim,
    Finding,
    Network,
    PublishedPoint,
    PublishedTarget,
)
from efficiency.published.sources import source_problem
from efficiency.records import MACS_PER_TFS_DAY

_HERE = pathlib.Path(__file__).parent
POINTS_FILE = _HERE / 'points.csv'
TARGETS_FILE = _HERE / 'targets.csv'
CLAIMS_FILE = _HERE / 'claims.csv'
FINDINGS_FILE = _HERE / 'findings.csv'
NETWORKS_FILE = _HERE / 'networks.csv'

_VOCABULARIES = {'date_precision': PRECISIONS, 'basis': BASES, 'level': LEVELS, 'confidence': CONFIDENCES}
# How far compute may be from 3 x epochs x examples x macs_per_example.
TOLERANCE = 0.01


class PublishedError(UserError):
    """A file of the ledger that does not hold what it should; names file, row and column."""


POINT_COLUMNS = tuple(field.name for field in dataclasses.fields(PublishedPoint))
NETWORK_COLUMNS = tuple(field.name for field in dataclasses.fields(Network))
_T = TypeVar('_T')
_IDENTIFIER = re.compile(r'[a-z0-9][a-z0-9._-]*', re.IGNORECASE)
_SIZES = re.compile(r'(?:(?P<epochs>\d+(?:\.\d+)?) at )?(?P<size>\d+)')


def points(path: str | os.PathLike | None = None) -> list[PublishedPoint]:
    """The points of a file, the committed one where None.

    Raises:
        PublishedError: says what is wrong first.
    """
    found, problems = examine(path or POINTS_FILE)
    return _whole(found, problems)


def examine(path: str | os.PathLike) -> tuple[list[PublishedPoint], list[PublishedError]]:
    """The points of a file that can be read, and everything that is wrong in it.

    Raises:
        PublishedError: if it is no table of points at all.
    """
    rows, problems = _read(pathlib.Path(path), PublishedPoint, 'id')
    known, counts = targets(), networks()
    for row, point in rows:
        for column, problem in _point_problems(point, row, known, counts):
            problems.append(_error(path, point.id, column, problem))
    return [point for _, point in rows], problems


def targets() -> dict[str, PublishedTarget]:
    """The targets by name.

    Raises:
        PublishedError: says what is wrong first.
    """
    rows, problems = _read(TARGETS_FILE, PublishedTarget, 'target')
    for _, target in rows:
        if target.direction not in DIRECTIONS:
            problems.append(_error(TARGETS_FILE, target.target, 'direction', _not_one_of(target.direction, DIRECTIONS)))
        if problem := source_problem(target.source):
            problems.append(_error(TARGETS_FILE, target.target, 'source', problem))
    return {target.target: target for target in _whole([target for _, target in rows], problems)}


def claims() -> dict[str, Claim]:
    """The printed figures by name, in the order of the paper.

    Raises:
        PublishedError: says what is wrong first.
    """
    rows, problems = _read(CLAIMS_FILE, Claim, 'claim')
    for _, claim in rows:
        if problem := source_problem(claim.source):
            problems.append(_error(CLAIMS_FILE, claim.claim, 'source', problem))
    return {claim.claim: claim for claim in _whole([claim for _, claim in rows], problems)}


def findings() -> list[Finding]:
    """What others found of language models.

    Raises:
        PublishedError: says what is wrong first.
    """
    rows, problems = _read(FINDINGS_FILE, Finding, 'finding')
    for _, finding in rows:
        if finding.confidence not in CONFIDENCES:
            problem = _not_one_of(finding.confidence, CONFIDENCES)
            problems.append(_error(FINDINGS_FILE, finding.finding, 'confidence', problem))
        if problem := source_problem(finding.source):
            problems.append(_error(FINDINGS_FILE, finding.finding, 'source', problem))
    return _whole([finding for _, finding in rows], problems)


def networks() -> dict[tuple[str, int], Network]:
    """Our counts, by model and image size.

    Raises:
        PublishedError: says what is wrong first.
    """
    rows, problems = _read(NETWORKS_FILE, Network, None)
    found = _whole([network for _, network in rows], problems)
    return {(network.model, network.image_size): network for network in found}


def image_sizes(text: str) -> list[tuple[float | None, int]]:
    """The epochs at each image size, from the column's text: None where there is one size for all.

    Raises:
        ValueError: if it is not as '224' or '12 at 96 + 5 at 128'.
    """
    parts = [_SIZES.fullmatch(part) for part in text.split(' + ')]
    if None in parts or (len(parts) > 1 and not all(part['epochs'] for part in parts)):
        raise ValueError(text)
    return [(float(part['epochs']) if part['epochs'] else None, int(part['size'])) for part in parts]


def counted_macs(model: str, image_size: str, counts: Mapping[tuple[str, int], Network] | None = None) -> float | None:
    """Forward dense macs per example by our counts, averaged over the epochs at each size; None where not counted."""
    counts = networks() if counts is None else counts
    sizes = image_sizes(image_size)
    if any((model, size) not in counts for _, size in sizes):
        return None
    total = sum((epochs or 1) * counts[model, size].forward_dense_macs for epochs, size in sizes)
    return total / sum(epochs or 1 for epochs, _ in sizes)


def _error(path: str | os.PathLike, row: str, column: str, problem: str) -> PublishedError:
    return PublishedError(f'{pathlib.Path(path).name}, row {row}, column {column}: {problem}')


def _not_one_of(value: str, known: Sequence[str]) -> str:
    return f'{shown(value)} is not one of {", ".join(known)}'


def _whole(found: list[_T], problems: Sequence[PublishedError]) -> list[_T]:
    if problems:
        raise problems[0]
    return found


def _date(text: str) -> datetime.date:
    # fromisoformat also takes 20180630 and 2018-W26-6.
    return datetime.datetime.strptime(text, '%Y-%m-%d').date()


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or value < 0:
        raise ValueError(text)
    return value


_CELLS: dict[Any, tuple[Callable[[str], Any], str]] = {
    str: (str, 'a text'),
    int: (int, 'a whole number'),
    float: (_number, 'a finite number from 0 on, as 2.468e17'),
    float | None: (lambda text: _number(text) if text else None, 'empty or a finite number from 0 on, as 2.468e17'),
    int | None: (lambda text: int(text) if text else None, 'empty or a whole number'),
    datetime.date: (_date, 'a date as 2018-07-30, year, month and day'),
}
_Row = dict[str, str]


def _read(path: pathlib.Path, kind: type[_T], unique: str | None) -> tuple[list[tuple[_Row, _T]], list[PublishedError]]:
    """The rows of a file as written and as objects of a kind, and what is wrong with those left out."""
    columns = [field.name for field in dataclasses.fields(kind)]
    try:
        with open(path, encoding='utf-8-sig', newline='') as file:
            reader = csv.DictReader(file, strict=True)
            headings, rows = list(reader.fieldnames or ()), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PublishedError(f'{path.name} cannot be read as a table: {error}') from error
    if headings != columns:
        raise PublishedError(f'{path.name} does not have the columns {",".join(columns)}, in this order')
    found, problems, seen = [], [], set()
    for line, row in enumerate(rows, 2):
        name = row[columns[0]] or f'at line {line}'
        if None in row or None in row.values():
            problems.append(_error(path, name, columns[-1], f'the row does not have {len(columns)} cells'))
            continue
        if unique and row[unique] in seen:
            problems.append(_error(path, name, unique, 'is there twice; every row needs a name of its own'))
        seen.add(row[columns[0]])
        cells = {}
        for field in dataclasses.fields(kind):
            convert, right = _CELLS[field.type]
            try:
                cells[field.name] = convert(row[field.name])
            except ValueError:
                problems.append(_error(path, name, field.name, f'{shown(row[field.name])} is not {right}'))
        if len(cells) == len(columns):
            found.append((row, kind(**cells)))
    return found, problems


def _point_problems(
    point: PublishedPoint, row: _Row, known: Mapping[str, PublishedTarget], counts: Mapping[tuple[str, int], Network]
) -> Iterable[tuple[str, str]]:
    """Columns of a point that are wrong, and why."""
    if not _IDENTIFIER.fullmatch(point.id):
        yield 'id', f'{shown(point.id)} is not of letters, digits, dots and dashes'
    if point.target not in known:
        near = difflib.get_close_matches(point.target, known, n=3, cutoff=0.3) or sorted(known)
        yield 'target', f'{shown(point.target)} is not in targets.csv; the nearest are {", ".join(near)}'
    elif point.domain != known[point.target].domain:
        yield 'domain', f'{shown(point.domain)} is not the domain of its target, {known[point.target].domain}'
    if point.published > datetime.date.today():
        yield 'published', f'{point.published} is later than today'
    network = min((count.published for count in counts.values() if count.model == point.model), default=None)
    if network and _to_precision(point.published, point) < _to_precision(network, point):
        yield 'published', f'{point.published} is before its network was, {network}'
    for column, allowed in _VOCABULARIES.items():
        if getattr(point, column) not in allowed:
            yield column, _not_one_of(getattr(point, column), allowed)
    if point.level in ('unpublished', 'missed') and not point.note:
        yield 'note', f'is empty where the level is {point.level}; say what is known of it'
    for column in ('series', 'system'):
        if not getattr(point, column):
            yield column, 'is empty'
    if problem := source_problem(point.source):
        yield 'source', problem
    if point.printed_compute is not None:
        if not point.printed_unit:
            yield 'printed_unit', 'is empty beside a printed compute; give the unit as printed'
        if not point.printed_convention:
            yield 'printed_convention', 'is empty beside a printed compute; say what an operation is there'
    yield from _compute_problems(point, row)
    yield from _macs_problems(point, counts)


def _to_precision(date: datetime.date, point: PublishedPoint) -> tuple[int, ...]:
    """As much of a date as is known of the point's."""
    return (date.year, date.month, date.day)[: {'year': 1, 'month': 2}.get(point.date_precision, 3)]


def _compute_problems(point: PublishedPoint, row: _Row) -> Iterable[tuple[str, str]]:
    """What is wrong with the compute in all."""
    if point.dense_macs is None:
        if point.tfs_days_macs is not None:
            yield 'tfs_days_macs', 'is there without dense_macs'
        if point.basis != 'none':
            yield 'basis', f"is {shown(point.basis)} without dense_macs; without compute it is 'none'"
        if not point.note:
            yield 'note', 'is empty without dense_macs; say why the compute is not known'
        return
    if point.basis == 'none':
        yield 'basis', f"is 'none' with dense_macs; {', '.join(BASES[:-1])} say how it comes about"
    right = point.dense_macs / MACS_PER_TFS_DAY
    if point.tfs_days_macs is None or abs(point.tfs_days_macs - right) > _half_a_digit(row['tfs_days_macs']):
        yield 'tfs_days_macs', f'{shown(row["tfs_days_macs"])} is not dense_macs / 8.64e16, which is {right:.5g}'
    if None in (point.epochs, point.examples, point.macs_per_example):
        return
    product = 3 * point.epochs * point.examples * point.macs_per_example
    said = 'dense_macs' in f'{point.note} {point.correction}'
    if not math.isclose(point.dense_macs, product, rel_tol=TOLERANCE) and not said:
        yield (
            'dense_macs',
            (
                f'{row["dense_macs"]} is not within 1 % of 3 x epochs x examples x macs_per_example, {product:.7g}; '
                'put it right, or say of dense_macs in the note why not'
            ),
        )


def _half_a_digit(text: str) -> float:
    """Half of one in the last digit of a number's text, and the last bits of a float."""
    written = decimal.Decimal(text)
    return float(decimal.Decimal((0, (5,), written.as_tuple().exponent - 1)) + abs(written) * decimal.Decimal('1e-12'))


def _macs_problems(point: PublishedPoint, counts: Mapping[tuple[str, int], Network]) -> Iterable[tuple[str, str]]:
    """What is wrong with the macs per example, and the image size that they are of."""
    try:
        sizes = image_sizes(point.image_size) if point.image_size else []
    except ValueError:
        yield 'image_size', f"{shown(point.image_size)} is not as '224' or as '12 at 96 + 5 at 128', epochs at pixels"
        return
    parts = [epochs for epochs, _ in sizes if epochs is not None]
    if parts and (point.epochs is None or not math.isclose(sum(parts), point.epochs)):
        yield 'image_size', f'has {sum(parts):g} epochs, and the column epochs {shown(point.epochs)}'
    if point.macs_per_example is None:
        if point.macs_convention:
            yield 'macs_convention', 'is there without macs_per_example'
        return
    if point.macs_convention not in MACS_CONVENTIONS:
        yield 'macs_convention', _not_one_of(point.macs_convention, MACS_CONVENTIONS)
    if point.macs_convention != 'counted':
        return
    ours = counted_macs(point.model, point.image_size, counts) if sizes else None
    if ours is None:
        yield (
            'macs_convention',
            (
                f"is 'counted', and networks.csv has no {shown(point.model)} at image size {shown(point.image_size)}; "
                "write 'published' or 'derived', or name one of our networks"
            ),
        )
    elif not math.isclose(point.macs_per_example, ours, rel_tol=1e-6):
        yield 'macs_per_example', f'is {point.macs_per_example:.10g}, and our count is {ours:.10g}'
