"""What an hour of a device costs and draws: a list of its own with a date and a source, for anybody to replace.

Prices of the same device differ by a factor of four between providers and fall from year to year; power is what the
device may draw at most, without its host and its cooling. So both stand beside compute, never in its place.
"""

import csv
import dataclasses
import datetime
import math
import os
import pathlib

from efficiency.errors import UserError, shown

PRICES_FILE = pathlib.Path(__file__).parent / 'prices.csv'
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


def prices(path: str | os.PathLike = PRICES_FILE) -> dict[str, Price]:
    """The list, by kind of device.

    Raises:
        UserError: if it cannot be read or is no such list; names the line.
    """
    try:
        with open(path, encoding='utf-8', newline='') as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise UserError(f'{path} must have the columns {", ".join(COLUMNS)}')
            return {row['device_kind']: _price(row, f'{path}, line {line}') for line, row in enumerate(reader, 2)}
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, 'strerror', 'is no UTF-8')
        raise UserError(f'{path} cannot be read as a list of prices: {why}') from error


def _price(row: dict, where: str) -> Price:
    if None in row or None in row.values():
        raise UserError(f'{where} must have {len(COLUMNS)} columns')
    numbers = {}
    for key in ('usd_per_hour', 'watts'):
        try:
            numbers[key] = float(row[key])
        except ValueError:
            numbers[key] = math.nan
        if not 0 <= numbers[key] < math.inf:
            raise UserError(f'{where}: {key} is {shown(row[key])}, and must be a number, 0 or more')
    try:
        date = datetime.date.fromisoformat(row['date'])
    except ValueError:
        raise UserError(f'{where}: date is {shown(row["date"])}, and must be as 2026-11-30') from None
    return Price(row['device_kind'], row['description'], date=date, source=row['source'], **numbers)
