"""The page in a real browser: it needs no network, its tables sort, its figures answer to the pointer, and it fits."""

import base64
import csv
import gzip
import html.parser
import io
import json
import re
import shutil

import pytest

from efficiency import report
from efficiency.analysis.document import Column, Section, Table
from efficiency.analysis.page import csv_text, write_report
from efficiency.tables import csv_cell, render
from tests.analysis.conftest import saver

CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser')
HOSTILE = '<img src=x onerror=alert(1)></script><script>document.title="taken"</script>'
NOT_UTF_8 = b'f\xfcr'.decode(errors='surrogateescape')
FORMULA = '=HYPERLINK("http://127.0.0.1/"&A1)'

needs_browser = pytest.mark.skipif(not CHROMIUM, reason='there is no chromium; Debian has it as the package chromium')


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """A report on a few runs, some of which try to take over the page."""
    tmp_path = tmp_path_factory.mktemp('site')
    save = saver(tmp_path / 'runs')
    for seed in range(3):
        save(f'alexnet-{seed}', model='alexnet', seed=seed, accuracies=(0.3, 0.6, 0.7 + seed / 100, 0.85))
        save(f'lenet5-{seed}', model='lenet5', seed=seed, accuracies=(0.5, 0.8 + seed / 50, 0.9), macs_per_epoch=500)
    save('formula', model=FORMULA, accuracies=(0.9,))
    save('bytes', model=NOT_UTF_8, accuracies=(0.9,))
    folder = save('hostile', model=HOSTILE, accuracies=(0.9,), note=HOSTILE)
    (folder / f'{HOSTILE.replace("/", "")}.json').write_text('{}')
    out = tmp_path / 'out'
    assert report.main([f'--runs={folder}', f'--out={out}']) == 0
    return out


@pytest.fixture(scope='module')
def browser():
    playwright = pytest.importorskip('playwright.sync_api')
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        yield chromium
        chromium.close()


@pytest.fixture(params=[(1280, 900), (390, 844)], ids=['desktop', 'phone'])
def opened(request, browser, site):
    """The page, opened, with all that went wrong and all that it asked the network for."""
    width, height = request.param
    page = browser.new_page(viewport={'width': width, 'height': height})
    wrong, asked = [], []
    page.on('console', lambda message: wrong.append(message.text) if message.type in ('error', 'warning') else None)
    page.on('pageerror', lambda error: wrong.append(str(error)))
    page.on('dialog', lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    page.on('request', lambda request: asked.append(request.url))
    page.goto((site / 'index.html').as_uri())
    page.wait_for_selector('body[data-ready=yes]', timeout=60_000)
    yield page, wrong, [url for url in asked if not url.startswith(('file:', 'data:', 'blob:'))]
    page.close()


@needs_browser
def test_nothing_is_wrong_and_nothing_is_fetched(opened, site):
    page, wrong, asked = opened
    page.wait_for_timeout(500)
    assert not wrong
    assert not asked
    assert page.title() == report.TITLE
    # Each chart is drawn as it comes into view: that of compute over date with its two networks of known dates.
    for chart in page.locator('.chart').all():
        chart.scroll_into_view_if_needed()
        chart.locator('svg.main-svg .trace').first.wait_for(state='attached', timeout=20_000)
    assert page.locator('[id^="chart-compute-over-date-data"] .scatterlayer .point').count() == 2
    assert page.locator('.chart').count() == len(list((site / 'figures').glob('*.svg')))
    assert page.locator('img').count() == 0


@needs_browser
@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_nothing_stands_in_anybodys_way_by_an_accessibility_checker(opened, scheme):
    page, _, _ = opened
    axe = pytest.importorskip('axe_playwright_python.sync_playwright')
    page.emulate_media(color_scheme=scheme)
    for chart in page.locator('.chart').all():
        chart.scroll_into_view_if_needed()
        chart.locator('svg.main-svg .trace').first.wait_for(state='attached', timeout=20_000)
    found = axe.Axe().run(page, options={'runOnly': ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']})
    assert found.violations_count == 0, found.generate_report()


@needs_browser
def test_the_page_does_not_move_when_charts_are_drawn(opened):
    page, _, _ = opened
    before = page.evaluate('document.documentElement.scrollHeight')
    for chart in page.locator('.chart').all():
        chart.scroll_into_view_if_needed()
        chart.locator('svg.main-svg .trace').first.wait_for(state='attached', timeout=20_000)
    page.wait_for_timeout(300)
    assert page.evaluate('document.documentElement.scrollHeight') == before


@needs_browser
def test_labels_do_not_collide(opened):
    page, _, _ = opened
    chart = page.locator('[id^="chart-compute-over-date-imagenet-top5-79"]')
    chart.scroll_into_view_if_needed()
    chart.locator('.textpoint text').first.wait_for(state='attached', timeout=20_000)
    page.wait_for_timeout(300)
    boxes = [box for text in chart.locator('.textpoint text').all() if (box := text.bounding_box())]
    assert len(boxes) >= 5
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            apart = a['x'] >= b['x'] + b['width'] - 2 or b['x'] >= a['x'] + a['width'] - 2
            assert apart or a['y'] >= b['y'] + b['height'] - 3 or b['y'] >= a['y'] + a['height'] - 3, (a, b)


@needs_browser
def test_a_table_is_copied_as_csv_without_formulas(opened):
    page, _, _ = opened
    page.context.grant_permissions(['clipboard-read', 'clipboard-write'])
    table = page.locator('table[id^="table-runs-"]').first.get_attribute('id')
    page.locator(f'button[data-copies="{table}"]').click()
    page.wait_for_function('id => document.querySelector(`[data-copies="${id}"]`).textContent === "copied"', arg=table)
    rows = list(csv.DictReader(io.StringIO(page.evaluate('navigator.clipboard.readText()'))))
    assert sorted(row['system'] for row in rows) == sorted(
        ['alexnet'] * 3 + ['lenet5'] * 3 + [f"'{FORMULA}", r'f\udcfcr', HOSTILE]
    )
    assert {row['final accuracy'] for row in rows if row['system'] == 'alexnet'} == {'0.85'}


@needs_browser
def test_a_long_table_has_all_the_rows_that_it_says_and_takes_little_room(browser, tmp_path):
    columns = [Column('name', 'name'), *(Column(f'n{i}', f'number {i}') for i in range(20))]
    rows = [{'name': f'row {i}'} | {f'n{j}': i + j / 7 for j in range(20)} for i in range(10_000)]
    tables = [Table(f'long-{i}', 'Long', columns, rows) for i in range(3)]
    write_report('Long', [Section('long', 'Long', ['Three long tables.'], tables=tables)], tmp_path)
    assert (tmp_path / 'index.html').stat().st_size < 3e6
    page = browser.new_page()
    page.goto((tmp_path / 'index.html').as_uri())
    page.wait_for_selector('body[data-ready=yes]', timeout=60_000)
    assert '10000 rows, of which the first 500 are shown here' in page.locator('p.files').first.text_content()
    names = page.evaluate('document.getElementById("table-long-2").rowsOf().map(row => row.cells[0].textContent)')
    assert names == [f'row {i}' for i in range(500)]
    page.locator('#table-long-2 thead th', has_text='number 3').click()
    page.locator('#table-long-2 thead th', has_text='number 3').click()
    page.locator('#table-long-2 tbody tr', has_text='row 499').wait_for(timeout=10_000)
    page.close()


@needs_browser
def test_the_page_is_no_wider_than_the_window(opened):
    page, _, _ = opened
    assert page.evaluate('document.documentElement.scrollWidth <= window.innerWidth')


@needs_browser
def test_a_click_on_a_heading_sorts_by_number(opened):
    page, _, _ = opened
    table = page.locator('table[id^="table-systems-"]').first
    heading = table.locator('thead th', has_text='train compute, macs')
    column = heading.evaluate('cell => cell.cellIndex')
    cells = f'#{table.get_attribute("id")} tbody td:nth-child({column + 1})'.replace('.', r'\.')
    orders = f'() => JSON.stringify([...document.querySelectorAll({cells!r})].map(cell => Number(cell.dataset.order)))'
    numbers = json.loads(page.evaluate(orders))
    # As `site` has them: the level is reached after 1,000 macs, but by AlexNet in its fourth evaluation.
    assert sorted(numbers) == [1000] * 4 + [4000]
    for wanted in (sorted(numbers), sorted(numbers, reverse=True)):
        heading.click()
        # The table is drawn anew some time after the click.
        page.wait_for_function(f'wanted => ({orders})() === wanted', arg=json.dumps(wanted, separators=(',', ':')))


@needs_browser
def test_pointing_at_a_point_says_what_it_is(opened):
    page, _, _ = opened
    chart = page.locator('[id^="chart-factors-data"]')
    chart.scroll_into_view_if_needed()
    chart.locator('.scatterlayer .point').first.hover(force=True)
    label = chart.locator('.hoverlayer .hovertext').first
    label.wait_for(timeout=10_000)
    # Of `site`, the first of those that take a quarter of AlexNet's epochs, of as many macs each.
    parts = 'epochs factor 4.00 [one seed: not known]macs factor 1.00 [1.00, 1.00]'
    told = label.text_content().encode(errors='backslashreplace').decode()
    assert told == rf'f\udcfcr{parts}efficiency factor 4.00measured'


def test_every_table_and_figure_of_the_page_is_a_file(site):
    text = (site / 'index.html').read_text()
    tables, charts = re.findall(r'id="table-([^"]+)"', text), re.findall(r'id="chart-([^"]+)"', text)
    assert {f'{name}.csv' for name in tables} == {path.name for path in (site / 'tables').iterdir()}
    assert {f'{name}.{kind}' for name in charts for kind in ('svg', 'png')} == {
        path.name for path in (site / 'figures').iterdir()
    }
    assert all(f'](figures/{name}.svg)' in (site / 'report.md').read_text() for name in charts)


class _Tables(html.parser.HTMLParser):
    """The tables of a page: by name, a row after the other, each cell's text and what it is sorted by."""

    def __init__(self, page):
        super().__init__()
        self.tables, self._rows, self._cell = {}, None, None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag == 'table':
            self._rows = self.tables.setdefault(found['id'].removeprefix('table-'), [])
        elif tag == 'tr':
            self._rows.append([])
        elif tag in ('td', 'th'):
            self._cell = ['', found.get('data-order')]
            self._rows[-1].append(self._cell)

    def handle_endtag(self, tag):
        if tag in ('td', 'th'):
            self._cell = None

    def handle_data(self, data):
        if self._cell is not None:
            self._cell[0] += data


def unpacked(page):
    """The page with what it carries compressed, libraries but for, as it is unpacked: rows, and what charts show."""

    def content(found):
        text = gzip.decompress(base64.b64decode(found['packed'])).decode()
        # Rows stand behind their table's first ones.
        return f'{text}</tbody></table></div>' if found['what'] == 'more' else f'{found["end"]}{text}'

    packed = r'<script type="text/plain" id="(?P<what>more|figure)-[^"]+">(?P<packed>[^<]*)</script>'
    return re.sub(rf'(?P<end>(</tbody></table></div>\n)?){packed}', content, page)


@pytest.fixture(scope='module')
def shown(site):
    """The tables of the page."""
    return _Tables(unpacked((site / 'index.html').read_text())).tables


def test_the_page_shows_what_the_runs_took(shown):
    (systems,) = (rows for name, rows in shown.items() if name.startswith('systems-'))
    headings = [text for text, _ in systems[0]]
    rows = {row[0][0]: dict(zip(headings, (text for text, _ in row), strict=True)) for row in systems[1:]}
    columns = ('seeds', 'reached', 'epochs', 'train compute, macs', 'efficiency factor', 'final accuracy')
    # As `site` has them: 0.8 in the fourth epoch of 1,000 macs, in the second of 500, in the first of 1,000.
    assert [rows['alexnet'][column] for column in columns] == ['3', '3', '4.00', '4,000', '1.00 [1.00, 1.00]', '0.8500']
    assert [rows['lenet5'][column] for column in columns] == ['3', '3', '2.00', '1,000', '4.00 [4.00, 4.00]', '0.9000']
    one_seed = ['1', '1', '1.00', '1,000', '4.00 [one seed: not known]', '0.9000']
    assert [rows[HOSTILE][column] for column in columns] == one_seed


def test_the_page_sorts_by_the_very_numbers_of_its_files(site, shown):
    compared = 0
    for name, (headings, *rows) in shown.items():
        with open(site / 'tables' / f'{name}.csv', newline='') as file:
            _, *lines = csv.reader(file)
        assert len(lines) == len(rows), name
        for cells, line in zip(rows, lines, strict=True):
            assert len(cells) == len(headings)
            for (_, order), value in zip(cells, line, strict=False):  # the file has more columns
                if order is not None:
                    assert min(float(value), 1e308) == float(order), name
                    compared += 1
    assert compared > 1000


def test_what_records_say_is_text_in_every_form(site):
    # In what plotly draws, as elsewhere.
    assert '<img src=x' not in unpacked((site / 'index.html').read_text())
    assert '<img' not in re.sub(r'\\.', '', (site / 'report.md').read_text())
    with open(next((site / 'tables').glob('systems-data-*')), newline='') as file:
        names = {row['system'] for row in csv.DictReader(file)}
    assert HOSTILE in names
    assert f"'{FORMULA}" in names
    assert r'f\udcfcr' in names
    assert FORMULA not in names
    with open(site / 'tables' / 'left-out.csv', newline='') as file:
        assert [row['reason'] for row in csv.DictReader(file)] == ['is not a run record: schema_version is missing']


@pytest.mark.parametrize(
    'text', ['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', '\r=1', '\n=1', ' =1', '\xa0=1', '\uff1d1', '-']
)
def test_no_cell_of_a_csv_file_is_a_formula(text):
    rows = [{'name': text, 'number': -1.5, 'whole': -2, 'nothing': None}]
    table = Table('t', 'T', [Column(key, key) for key in rows[0]], rows)
    for written in (csv_text(table), render(rows, 'csv')):
        (read,) = csv.DictReader(io.StringIO(written, newline=''))
        assert read == {'name': f"'{text}".replace('\r', '\n'), 'number': '-1.5', 'whole': '-2', 'nothing': ''}


@pytest.mark.parametrize('text', ['a=b', '1-2', "'quoted", 'x@y', '', '5 - 3', '>= 0.9', '[-1, 2]'])
def test_a_text_that_is_no_formula_is_kept_as_it_is(text):
    assert csv_cell(text) == text
