"""Rows as text: for reading, for Markdown, for spreadsheets and for programs."""

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Rows = Sequence[Mapping[str, Any]]
# What spreadsheets take for the beginning of a formula (OWASP, CSV Injection), after blanks too, which some drop; in
# full width as East Asian keyboards type it.
_FORMULA = re.compile(r'[\s\x00\ufeff\u200b-\u200f]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\n]')


def render(rows: Rows, form: str) -> str:
    """The rows in one of `FORMATS`.

    Args:
        rows: all with the keys of the first, its columns: texts, numbers, or None for what is not there.
        form: 'table' and 'markdown' separate thousands, round ratios and leave out what is empty in all rows; 'csv' and
            'json' are exact and whole.
    """
    return FORMATS[form](rows)


def _cell(value):
    if value is None:
        return '-'
    if isinstance(value, float):
        return f'{value:.3f}' if abs(value) < 1e5 else f'{value:.6g}'
    return f'{value:,}' if isinstance(value, int) else str(value)


def _cells(rows: Rows) -> tuple[list[list[str]], list[bool]]:
    """A line of headings, then the rows; and which columns are texts."""
    if not rows:
        return [['nothing']], [True]
    columns = [column for column in rows[0] if any(row[column] is not None for row in rows)]
    lines = [columns, *([_cell(row[column]) for column in columns] for row in rows)]
    return lines, [any(isinstance(row[column], str) for row in rows) for column in columns]


def _table(rows):
    lines, texts = _cells(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]

    def line(cells):
        aligned = (
            cell.ljust(width) if text else cell.rjust(width)
            for cell, width, text in zip(cells, widths, texts, strict=True)
        )
        return '  '.join(aligned).rstrip()

    return '\n'.join(map(line, lines))


def _markdown(rows):
    (headings, *lines), texts = _cells(rows)
    rule = ['---' if text else '---:' for text in texts]
    return '\n'.join(f'| {" | ".join(cells)} |' for cells in (headings, rule, *lines))


def csv_cell(value: Any) -> Any:
    """A cell of a CSV file: a text that a spreadsheet would compute gets an apostrophe first, '' stands for None.

    Numbers stay as they are, negative ones too. Lines of a text end in a line feed: where they do not, Python 3.11
    writes a carriage return without quotes, and what follows it is a row of its own.
    """
    if not isinstance(value, str):
        return '' if value is None else value
    text = value.replace('\r\n', '\n').replace('\r', '\n')
    return f"'{text}" if _FORMULA.match(text) else text


def _csv(rows):
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]) if rows else [], lineterminator='\n')
    writer.writeheader()
    writer.writerows({column: csv_cell(value) for column, value in row.items()} for row in rows)
    return file.getvalue().rstrip('\n')


def _json(rows):
    return json.dumps(rows, indent=1, allow_nan=False)


FORMATS: dict[str, Callable[[Rows], str]] = {'table': _table, 'csv': _csv, 'json': _json, 'markdown': _markdown}
