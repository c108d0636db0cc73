"""What a report says, apart from how it is written: sections of text, tables and charts."""

import dataclasses
import datetime
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from efficiency.analysis.charts import Chart, file_name

Row = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        key: of the row's value, and the heading in CSV files, where the unit and convention belong into it.
        label: the heading for people.
        digits: significant digits that people see of a number; CSV files have all.
        link: the key of the row's address that the cell leads to, '' for none.
        text: the key of what people see instead, '' for the number in so many digits.
    """

    key: str
    label: str
    digits: int = 3
    link: str = ''
    text: str = ''

    def shown(self, row: Row) -> str:
        """The row's cell as people read it."""
        return row[self.text] if self.text else cell_text(row[self.key], self.digits)


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """A table: rows of texts, numbers, dates and None, with infinity where a level was never reached.

    Attributes:
        name: of its CSV file, see `file_name`.
        in_file: columns that only the CSV file has: what people read in one cell, a number each.
    """

    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    text: str = ''
    in_file: Sequence[Column] = ()

    def __post_init__(self):
        object.__setattr__(self, 'name', file_name(self.name))


@dataclasses.dataclass(frozen=True, eq=False)
class Section:
    """A part of the report: what it says, its charts, its tables, and how to read them.

    Attributes:
        name: of its place on the page, see `file_name`.
        answers: what of it comes first on the page, a paragraph each.
        methods: how its numbers were come by and are to be read, which comes last.
    """

    name: str
    title: str
    text: Sequence[str] = ()
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    answers: Sequence[str] = ()
    methods: Sequence[str] = ()

    def __post_init__(self):
        object.__setattr__(self, 'name', file_name(self.name))


def cell_text(value: Any, digits: int = 3) -> str:
    """A cell as people read it: '-' for what is not there, 'never' for what was not reached."""
    if value is None:
        return '-'
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    if isinstance(value, (int, float)):
        return _number(value, digits)
    if isinstance(value, datetime.date):
        return value.isoformat()
    return ' '.join(str(value).split())


def _number(value: float, digits: int) -> str:
    if math.isnan(value):
        return '-'
    if math.isinf(value):
        return 'never' if value > 0 else '-never'
    if value and not 1e-3 <= abs(value) < 1e6:
        return f'{value:.{digits - 1}e}'.replace('e+', 'e')
    whole = isinstance(value, int) or (value == round(value) and abs(value) >= 10**digits)
    if whole:
        return f'{value:,.0f}'
    places = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
    return f'{value:,.{places}f}'


_ARXIV = re.compile(r'arXiv[: ]\s?(\d{4}\.\d{4,5})', re.IGNORECASE)
_ADDRESS = re.compile(r'https?://[^\s|;,)>"\'\\]+')


def address(source: str) -> str | None:
    """The first address in the text of a source, an arXiv number counting as one; None if it has none."""
    if found := _ADDRESS.search(source):
        return found.group().rstrip('.')
    if found := _ARXIV.search(source):
        return f'https://arxiv.org/abs/{found.group(1)}'
    return None
