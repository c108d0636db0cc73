"""Writes a report: the page, its Markdown, a CSV file a table, an SVG and a PNG file a chart.

All text that comes from records and ledgers is escaped: on the page by Jinja, in Markdown here, in CSV files by
`efficiency.tables`, in charts where they are drawn.
"""

import base64
import csv
import gzip
import importlib.resources
import importlib.util
import io
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence

import jinja2
import markupsafe

from efficiency.analysis import figures, interactive
from efficiency.analysis.answers import colophon
from efficiency.analysis.document import Column, Row, Section, Table
from efficiency.analysis.drawing import Drawing
from efficiency.errors import UserError
from efficiency.files import write_atomically
from efficiency.tables import csv_cell

# Tables that are longer can be searched, and are shown a page at a time.
ROWS_A_PAGE = 25
_MARKDOWN_ROWS = 50
_LONG = 40  # characters of a text that takes more than one line
# More would make the page slow to open; the CSV file has all.
MOST_ROWS = 500


def write_report(
    title: str,
    sections: Sequence[Section],
    out: pathlib.Path,
    progress: Callable[[str], None] = lambda text: None,
    drawing: Drawing | None = None,
) -> None:
    """Writes `index.html`, `report.md`, `tables/` and `figures/` into a folder, each file whole or not at all.

    Args:
        progress: told the name of each file that was written.
        drawing: what has begun to draw the sections' charts, if something has.

    Raises:
        UserError: if the folder cannot be made or written to.
    """
    try:
        for folder in (out / 'tables', out / 'figures'):
            folder.mkdir(parents=True, exist_ok=True)
        drawing = drawing or Drawing()
        for section in sections:
            for table in section.tables:
                write_atomically(out / 'tables' / f'{table.name}.csv', _encoded(csv_text(table)))
                progress(f'tables/{table.name}.csv')
        files = {chart.name: figures.file_names(chart) for section in sections for chart in section.charts}
        write_atomically(out / 'report.md', _encoded(markdown(title, sections)))
        whole_page = _encoded(page(title, sections, files))
        drawing.help()
        for section in sections:
            for chart in section.charts:
                for name, data in drawing.drawn(chart).items():
                    write_atomically(out / 'figures' / name, data)
                progress(f'figures/{chart.name}')
        # Last, so that what it shows is there.
        write_atomically(out / 'index.html', whole_page)
    except OSError as error:
        raise UserError(f'cannot write to {error.filename or out}: {error.strerror}; take another --out') from error


def _encoded(text: str) -> bytes:
    """As UTF-8; what a name has that is none, as a file's may, as escapes."""
    return text.encode(errors='backslashreplace')


def csv_text(table: Table) -> str:
    """The table as CSV, numbers with all their digits, and no text that a spreadsheet would take for a formula."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator='\n')
    columns = (*table.columns, *table.in_file)
    writer.writerow(column.key for column in columns)
    for row in table.rows:
        writer.writerow(csv_cell(row[column.key]) for column in columns)
    return file.getvalue()


def page(title: str, sections: Sequence[Section], files: Mapping[str, Sequence[str]]) -> str:
    """The page, with all that it needs inside.

    Args:
        files: for each chart, the names of its files in `figures/`.
    """
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    own = importlib.resources.files('efficiency.analysis')
    template = environment.from_string(own.joinpath('page.html.j2').read_text(encoding='utf-8'))
    return template.render(
        title=title,
        sections=sections,
        colophon=colophon(),
        files=files,
        rendered=_rendered,
        more=_more,
        figure=lambda chart: _packed(interactive.figure_json(chart).encode()),
        css=own.joinpath('page.css').read_text(encoding='utf-8'),
        script=own.joinpath('page.js').read_text(encoding='utf-8'),
        rows_a_page=ROWS_A_PAGE,
        most_rows=MOST_ROWS,
        chart_library=_packed(interactive.library()),
        table_style=_packed(_of_tables('dt_bundle.css')),
        table_library=_packed(_of_tables('dt_bundle.js')),
    )


def _packed(content: bytes) -> str:
    """What the page carries and shows later: 5.4 MB of JavaScript in less than half, charts and rows in a tenth."""
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def _of_tables(name: str) -> bytes:
    """A file of DataTables, which the package itables carries; it is not imported, as pandas would be with it."""
    (folder,) = importlib.util.find_spec('itables').submodule_search_locations
    return pathlib.Path(folder, 'html', name).read_bytes()


def _rendered(table: Table, row: Row) -> markupsafe.Markup:
    cells = (_cell(row, column, i == 0) for i, column in enumerate(table.columns))
    return markupsafe.Markup(f'<tr>{"".join(cells)}</tr>')


def _more(table: Table) -> str:
    """The rows behind the first page of a table, packed."""
    return _packed(_encoded('\n'.join(_rendered(table, row) for row in table.rows[ROWS_A_PAGE:MOST_ROWS])))


def _cell(row: Row, column: Column, is_name: bool) -> markupsafe.Markup:
    """A cell of the page; a row's name, its first, is never cut."""
    # All that is put together here is escaped.
    value, address = row[column.key], row.get(column.link) if column.link else None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    text = markupsafe.escape(column.shown(row))
    is_long = not is_number and not is_name and len(text) > _LONG
    link = ''
    if address:
        shown = 'source' if is_long else text
        link = f'<a href="{markupsafe.escape(_safe(address))}">{shown}</a>'
    if is_long:
        # One or two lines of it, and all where that is asked for.
        opened = f'<details><summary>{text}</summary></details>'
        return markupsafe.Markup(f'<td class="text long">{opened}{link}</td>')
    content = link or text
    if not is_number:
        return markupsafe.Markup(f'<td class="text">{content}</td>')
    order = value if math.isfinite(value) else math.copysign(1e308, value)
    told = '' if column.text or not math.isfinite(value) else ' data-exact'
    return markupsafe.Markup(f'<td class="number" data-order="{order}"{told}>{content}</td>')


def _safe(address: str) -> str:
    """An address that leads to a page or a file, whatever a ledger says."""
    scheme, colon, _ = address.partition(':')
    return address if scheme in ('http', 'https') or not colon else f'./{address}'


def markdown(title: str, sections: Sequence[Section]) -> str:
    """The report as Markdown: its text, its pictures, and the first rows of its tables."""
    lines = [f'# {_escaped(title)}', '']
    for section in sections:
        lines += [f'## {_escaped(section.title)}', '']
        for paragraph in section.text:
            lines += [_escaped(paragraph), '']
        for chart in section.charts:
            lines += [f'![{_escaped(chart.title)}](figures/{chart.name}.svg)', '', _escaped(chart.text), '']
        for table in section.tables:
            lines += [f'### {_escaped(table.title)}', '', *([_escaped(table.text), ''] if table.text else [])]
            lines += [*_markdown_table(table), '']
        if section.methods:
            lines += ['### How to read it', '']
        for paragraph in section.methods:
            lines += [_escaped(paragraph), '']
    return '\n'.join(lines)


def _markdown_table(table: Table) -> list[str]:
    if not table.rows:
        return ['None.']
    columns = table.columns
    numbers = {c.key for c in columns if any(isinstance(row[c.key], (int, float)) for row in table.rows)}
    lines = [
        f'| {" | ".join(_escaped(column.label) for column in columns)} |',
        f'| {" | ".join("---:" if column.key in numbers else "---" for column in columns)} |',
    ]
    for row in table.rows[:_MARKDOWN_ROWS]:
        lines.append(f'| {" | ".join(_markdown_cell(row, column) for column in columns)} |')
    if len(table.rows) > _MARKDOWN_ROWS:
        lines += ['', f'{len(table.rows) - _MARKDOWN_ROWS} more in tables/{table.name}.csv.']
    return lines


def _markdown_cell(row: Row, column: Column) -> str:
    text = _escaped(column.shown(row))
    address = row.get(column.link) if column.link else None
    return f'[{text}](<{_safe(address).replace("<", "%3C").replace(">", "%3E")}>)' if address else text


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    for character in '\\`*_[]<>|':
        text = text.replace(character, f'\\{character}')
    return ' '.join(text.split())
