"""The page in a real browser: it needs no network, its tables sort, its figures answer to the pointer, and it fits."""

import csv
import io
import json
import re
import shutil

import pytest

from efficiency import report
from efficiency.analysis.document import Column, Table
from efficiency.analysis.page import csv_text
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
def test_nothing_is_wrong_and_nothing_is_fetched(opened):
    page, wrong, asked = opened
    page.wait_for_timeout(500)
    assert not wrong
    assert not asked
    assert page.title() == report.TITLE
    assert page.locator('svg.main-svg').count() > 0
    assert page.locator('img').count() == 0


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
    assert len(set(numbers)) > 1
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
    assert 'efficiency factor' in label.text_content()


def test_every_table_and_figure_of_the_page_is_a_file(site):
    text = (site / 'index.html').read_text()
    tables, charts = re.findall(r'id="table-([^"]+)"', text), re.findall(r'id="chart-([^"]+)"', text)
    assert {f'{name}.csv' for name in tables} == {path.name for path in (site / 'tables').iterdir()}
    assert {f'{name}.{kind}' for name in charts for kind in ('svg', 'png')} == {
        path.name for path in (site / 'figures').iterdir()
    }
    assert all(f'](figures/{name}.svg)' in (site / 'report.md').read_text() for name in charts)


def test_what_records_say_is_text_in_every_form(site):
    # In scripts, where plotly keeps what figures show, as elsewhere.
    assert '<img src=x' not in (site / 'index.html').read_text()
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
