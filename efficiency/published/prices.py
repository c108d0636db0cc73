"""What an hour of a device costs and draws, and how much it multiplies at most: lists with dates and sources.

The list of prices is for anybody to replace. Prices of the same device differ by a factor of four between providers
and fall from year to year; power is what the device may draw at most, without its host and its cooling. So both
stand beside compute, never in its place.
"""

import csv
import dataclasses
import datetime
import math
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

from efficiency.errors import UserError, shown

PRICES_FILE = pathlib.Path(__file__).parent / 'prices.csv'
_PEAKS_FILE = PRICES_FILE.with_name('peaks.csv')
COLUMNS = ('device_kind', 'description', 'usd_per_hour', 'watts', 'date', 'source')


@dataclasses.dataclass(frozen=True)
class Price:
    """A row of the list.

    Attributes:
        device_kind: as jax calls it, and records keep it.
        description: what the price is of.
        usd_per_hour: dollars an hour of one device.
        watts: that one device draws.
        date: on which both were so.
        source: where from.
    """

    device_kind: str
    description: str
    usd_per_hour: float
    watts: float
    date: datetime.date
    source: str


@dataclasses.dataclass(frozen=True)
class Peak:
    """How fast a device multiplies at most, by its maker.

    Attributes:
        device_kind: as jax calls it.
        precision: as in `config.precision`: float32 is in all of its bits.
        tflops: dense, teraflop a second at two a multiply-add.
        date: on which the device was made known.
        source: where from.
    """

    device_kind: str
    precision: str
    tflops: float
    date: datetime.date
    source: str


def prices(path: str | os.PathLike = PRICES_FILE) -> dict[str, Price]:
    """The list of prices, by kind of device.

    Raises:
        UserError: if it cannot be read or is no such list; names the line.
    """
    found = {}
    for row, where in _rows(path, COLUMNS):
        numbers = {key: _number(row, key, where) for key in ('usd_per_hour', 'watts')}
        found[row['device_kind']] = Price(
            row['device_kind'], row['description'], date=_date(row, where), source=row['source'], **numbers
        )
    return found


def peaks() -> list[Peak]:
    """The list of peaks."""
    columns = [field.name for field in dataclasses.fields(Peak)]
    return [
        Peak(**row | {'tflops': _number(row, 'tflops', where), 'date': _date(row, where)})
        for row, where in _rows(_PEAKS_FILE, columns)
    ]


def _rows(path: str | os.PathLike, columns: Sequence[str]) -> Iterator[tuple[dict[str, str], str]]:
    """The rows of a list, each with where it stands."""
    try:
        with open(path, encoding='utf-8', newline='') as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != tuple(columns):
                raise UserError(f'{path} must have the columns {", ".join(columns)}')
            for line, row in enumerate(reader, 2):
                where = f'{path}, line {line}'
                if None in row or None in row.values():
                    raise UserError(f'{where} must have {len(columns)} columns')
                yield row, where
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, 'strerror', 'is no UTF-8')
        raise UserError(f'{path} cannot be read as a list of prices: {why}') from error


def _number(row: Mapping[str, str], key: str, where: str) -> float:
    try:
        number = float(row[key])
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise UserError(f'{where}: {key} is {shown(row[key])}, and must be a number, 0 or more')
    return number


def _date(row: Mapping[str, str], where: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(row['date'])
    except ValueError:
        raise UserError(f'{where}: date is {shown(row["date"])}, and must be as 2026-11-30') from None
