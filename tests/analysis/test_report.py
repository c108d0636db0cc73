"""What the command reports is what the records say, and it answers what it is asked."""

import csv
import json
import math
import re
import subprocess
import sys
import urllib.parse

import pytest

from efficiency import report
from efficiency.analysis.document import cell_text
from efficiency.published.points import points
from tests.conftest import ROOT

RESULTS = ROOT / 'results' / 'mnist5k'


def table(out, name):
    (path,) = out.glob(f'tables/{name}')
    with open(path, newline='') as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope='module')
def measured(tmp_path_factory):
    """The report on the committed records, made by a process that says whether it has imported jax."""
    out = tmp_path_factory.mktemp('report')
    program = (
        'import sys; from efficiency import report; code = report.main(sys.argv[1:]); '
        'print("jax" in sys.modules, "tensorflow" in sys.modules); sys.exit(code)'
    )
    first = sorted(RESULTS.glob('*/seed0.json'))[0]
    options = [
        f'--runs={RESULTS}', f'--out={out}', '--budget_macs=1e12', '--compare', str(RESULTS / 'lenet5' / 'seed0.json'),
        str(RESULTS / 'shufflenet_v1_x1_0' / 'seed0.json'),
    ]  # fmt: skip
    assert first.exists()
    done = subprocess.run(
        [sys.executable, '-c', program, *options], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == 'False False'
    return out


def test_factors_are_those_of_the_records(measured):
    rows = {row['system']: row for row in table(measured, 'systems-*')}
    macs = []
    for seed in range(3):
        curve = json.loads((RESULTS / 'shufflenet_v1_x1_0' / f'seed{seed}.json').read_text())['curve']
        macs.append(next(point['train_macs'] for point in curve if point['top1'] >= 0.954))
    ours, base = rows['shufflenet_v1_x1_0'], rows['alexnet']
    assert float(ours['train_macs']) == sorted(macs)[1]
    assert float(ours['train_factor']) == pytest.approx(float(base['train_macs']) / sorted(macs)[1])
    parts = float(ours['examples_factor']) * float(ours['train_macs_factor'])
    assert parts == pytest.approx(float(ours['train_factor']))
    assert (base['seeds'], base['seeds_reached']) == ('5', '4')


def test_the_table_of_readme_is_the_measured_one(measured):
    readme = (ROOT / 'README.md').read_text()
    names = {point.model: point.system for point in points() if point.series == 'hb2020-table3'} | {'lenet5': 'LeNet-5'}
    page = (measured / 'report.md').read_text().replace('\\', '').splitlines()
    for row in table(measured, 'systems-*'):
        reached = f'{row["seeds_reached"]} of {row["seeds"]}'
        epochs, macs = float(row['epochs']), float(row['train_macs'])
        assert f'| {names[row["system"]]} | {reached} | {shown_or_never(epochs)} |' in readme
        # The factor with its interval, as the page has it.
        cells = next(line for line in page if line.startswith(f'| [{row["system"]}](')).split(' | ')
        assert f'| {cell_text(macs)} | {row["train_macs_range"] or "-"} | {cells[1]} |' in readme


def words(path):
    """A page's text, however its lines are broken."""
    return ' '.join((ROOT / path).read_text().split())


def between(interval):
    """'9.9 to 24.7 months' as the pages have it, [9.9, 24.7]."""
    return re.sub(r'^(\S+) to (\S+) months$', r'[\1, \2]', interval)


def test_the_answers_that_readme_begins_with_are_the_reports(measured):
    of_paper = {'target': 'AlexNet level on the ILSVRC 2012', 'which': 'the paper, operations'}
    fall, trend = (
        next(row for row in table(measured, name) if all(row[key].startswith(of_paper[key]) for key in of_paper))
        for name in ('trends.csv', 'trend-tests.csv')
    )
    readme = words('README.md')
    fallen, every = cell_text(float(fall['factor'])), cell_text(float(fall['least_squares']))
    assert (
        f'| **{fallen} x**, to {fall["last"]} (2019) | {every} months '
        f'| {cell_text(float(trend["months"]))} {between(trend["interval"])}, p = {float(trend["corrected_p"]):.3f} '
        f'| {fall["points"]} networks, one run each'
    ) in readme
    systems = {row['system']: row for row in table(measured, 'systems-*')}
    later = [row for row in systems.values() if row['published'] >= systems['alexnet']['published']]
    cheapest = min(later, key=lambda row: float(row['train_macs']))
    assert (cheapest['system'], cheapest['published'][:4]) == ('shufflenet_v1_x1_0', '2017')
    assert math.isinf(float(cheapest['train_factor_high']))
    found = {row['what']: row for row in table(measured, 'trend-mnist5k*')}
    ours = found['all 15 points, regression']
    assert (
        f'| **{cell_text(float(cheapest["train_factor"]))} x** '
        f'[{cell_text(float(cheapest["train_factor_low"]))}, unbounded), '
        f'to ShuffleNet v1 (2017) | {cell_text(float(found["frontier, least squares"]["months"]))} months '
        f'| {cell_text(float(ours["months"]))} {between(ours["interval"])}, p = {float(ours["corrected_p"]):.3f} '
        f'| {len(systems)} networks, {len(table(measured, "runs-*"))} runs, one recipe |'
    ) in readme


def test_the_figures_of_the_results_page_are_the_reports(measured):
    page = words('docs/results.md')
    found = {row['what']: row for row in table(measured, 'trend-mnist5k*')}
    frontier, ours = found['frontier, least squares'], found['all 15 points, regression']
    without = found['all points without alexnet, regression']
    resampled = found['frontier, over resampled frontier points']['interval'].removesuffix(' months')
    assert f'every {cell_text(float(frontier["months"]))} months ({resampled} over resampled' in page
    assert f'one as fast comes in {float(frontier["p"]):.0%}'.replace('%', ' % of cases') in page
    assert f'a doubling in {cell_text(float(ours["months"]))} months {between(ours["interval"])}' in page
    assert f'comes in {float(ours["p"]):.1%}'.replace('%', ' % of shuffles') in page
    assert f'(p = {float(ours["corrected_p"]):.3f} after' in page
    assert f'is the level, {cell_text(float(without["months"]))} {between(without["interval"])}.' in page
    draws = found['all 15 points, over points, seeds and dates']['interval']
    together = re.match(r'(.* months) \((.* %) of the draws', draws)
    assert f'it is anything from {together[1]}, as AlexNet\'s median is "never" in {together[2]} of the draws' in page
    trends = [row for row in table(measured, 'trends.csv') if row['last'] == 'EfficientNet-b0']
    of_paper, of_all = (next(row for row in trends if row['points'] == points) for points in ('16', '89'))
    assert f'the headline is {cell_text(float(of_paper["factor"]))} x and a doubling' in page
    assert f'every {cell_text(float(of_paper["least_squares"]))} months, where' in page
    assert f'A frontier as fast comes in {float(of_paper["as_fast_percent"]):.0f} % of cases' in page
    tests = table(measured, 'trend-tests.csv')
    trend, trend_of_all = (
        next(row for row in tests if (row['points'], row['target']) == (each['points'], each['target']))
        for each in (of_paper, of_all)
    )
    assert f'over all 16 it is {cell_text(float(trend["months"]))} months {between(trend["interval"])}' in page
    # Of each, one of the line and one of the frontier.
    corrected = f"p = {float(trend['corrected_p']):.3f} after Holm's correction for the ledger's {2 * len(tests)} tests"
    assert corrected in page
    assert f'p = {float(trend_of_all["p"]):.2f} before any correction' in page
    factors = sorted(float(row['factor']) for row in table(measured, 'resnet50-level.csv'))
    (as_it_stands,) = [row['factor'] for row in table(measured, 'resnet50-level.csv')][:1]
    low, high = cell_text(factors[0]), cell_text(factors[-1])
    assert f'{cell_text(float(as_it_stands))} x as it stands, {low} to {high} x over all of them' in page
    assert f'the ledger: {len(points())} points' in words('docs/report.md')


@pytest.mark.parametrize(
    ('page', 'drawn'),
    [
        ('compute-over-date-mnist5k.svg', 'compute-over-date-mnist5k-*-top1-0.954.svg'),
        ('compute-over-date-imagenet.svg', 'figure-3.svg'),
    ],
)
def test_the_figures_of_readme_are_the_reports(measured, page, drawn):
    (path,) = (measured / 'figures').glob(drawn)
    # The names of shapes are hashes of what they are; places may differ by a rounding between machines.
    files = (ROOT / 'docs' / 'figures' / page, path)
    texts = [re.sub(r'\b[a-z][0-9a-f]{10}\b', '', file.read_text()) for file in files]
    number = r'-?\d+\.\d+|-?\d+'
    assert re.sub(number, '0', texts[0]) == re.sub(number, '0', texts[1])
    numbers = [[float(each) for each in re.findall(number, text)] for text in texts]
    assert numbers[0] == pytest.approx(numbers[1], abs=0.01)


def shown_or_never(epochs):
    return 'never' if epochs == math.inf else f'{epochs:g}'


def test_every_link_of_the_page_leads_to_a_file_or_a_public_page(measured):
    page = (measured / 'index.html').read_text()
    links = set(re.findall(r'<a href="([^"#]+)"', re.sub(r'<script.*?</script>', '', page, flags=re.DOTALL)))
    local = {link for link in links if not link.startswith(('http://', 'https://', 'data:'))}
    assert any('seed0.json' in link for link in local)
    for link in local:
        assert (measured / urllib.parse.unquote(link)).is_file(), link


def test_what_a_budget_buys_is_read_from_the_curves(measured):
    rows = {row['system']: row for row in table(measured, 'budget-*')}
    curve = json.loads((RESULTS / 'lenet5' / 'seed0.json').read_text())['curve']
    assert max(point['train_macs'] for point in curve) < 1e12
    levels = sorted(
        max(p['top1'] for p in json.loads((RESULTS / 'lenet5' / f'seed{seed}.json').read_text())['curve'])
        for seed in range(3)
    )
    assert float(rows['lenet5']['level']) == levels[1]
    assert rows['lenet5']['ended'] == '3 of 3'


def test_a_pair_of_records_is_split_into_causes_whose_product_is_the_whole(measured):
    rows = {row['cause'].split(':')[0]: float(row['factor']) for row in table(measured, 'pair.csv')}
    compute = rows['examples'] * rows['macs an example']
    assert compute == pytest.approx(rows['both'])
    hardware = rows['faster hardware (peak of a matrix multiply)'] * rows['better use of its peak']
    assert compute * hardware == pytest.approx(rows['all'])


def test_two_points_of_the_ledger_are_a_pair_too(tmp_path):
    pair = ['--compare', 'hb2020-table3-alexnet', 'hb2020-table3-efficientnet_b0']
    assert report.main([f'--out={tmp_path}', *pair]) == 0
    rows = {row['cause'].split(':')[0]: float(row['factor']) for row in table(tmp_path, 'pair.csv')}
    assert rows['examples'] == pytest.approx(90 / 4)
    assert rows['macs an example'] == pytest.approx(714_188_480 / 385_814_752)


def test_the_paper_is_there_with_and_without_runs(measured, tmp_path):
    assert report.main([f'--out={tmp_path}']) == 0
    for out in (measured, tmp_path):
        rows = {row['claim']: row for row in table(out, 'claims.csv')}
        assert rows['headline.factor']['printed_text'] == '44x'
        assert float(rows['headline.factor']['derived']) == pytest.approx(44.42, abs=0.01)
        assert len(table(out, 'table-3.csv')) == 16
        assert len(table(out, 'ledger.csv')) > 200
    # The same input gives the same files.
    for path in tmp_path.glob('figures/*.svg'):
        assert path.read_bytes() == (measured / 'figures' / path.name).read_bytes(), path.name


@pytest.mark.parametrize(
    ('options', 'sentence'),
    [
        (['--runs=/nowhere'], 'there is no folder'),
        ([f'--runs={RESULTS}', '--budget_macs=many'], 'number of multiply-adds'),
        ([f'--runs={RESULTS}', '--budget_macs=-1'], 'number of multiply-adds'),
        ([f'--runs={RESULTS}', '--target=top1'], 'top1:0.954'),
        (
            [f'--runs={RESULTS}', '--target=top1:95.4'],
            'a share above 0 and at most 1, as 0.954 for 95.4 %; 95.4 % is top1:0.954',
        ),
        ([f'--runs={RESULTS}', '--target=top5:79.1%'], '79.1 % is top5:0.791'),
        ([f'--runs={RESULTS}', '--target=top1:0.5%'], '0.5 % is top1:0.005'),
        *[
            ([f'--runs={RESULTS}', f'--target={level}'], 'above 0 and at most 1')
            for level in ('top1:0', 'top1:-1', 'top1:954')
        ],
        *[
            ([f'--runs={RESULTS}', f'--target={level}'], 'a level is a metric and its value, as top1:0.954')
            for level in ('top1:nan', 'top1:inf', 'top1:', '', 'top1:%', ':0.5', 'top1:1e999')
        ],
        ([f'--runs={RESULTS}', '--target=top9:0.5'], 'there is no metric top9; the metrics are top1, top5'),
        (['--budget_macs=1e12'], 'pass --runs=DIR'),
        (['--target=top1:0.9'], 'pass --runs=DIR'),
        (['--compare', 'hb2020-table3-alexnet', 'hb2020-resnet50-level-resnet50'], '--compare'),
        (['--compare', 'a.json', 'b.json'], 'a.json'),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, capsys, options, sentence):
    assert report.main([f'--out={tmp_path / "out"}', *options]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / 'out').exists()


def test_data_of_one_name_are_told_apart(save, tmp_path):
    for i, fingerprint in enumerate(('a' * 8, 'b' * 8)):
        folder = save(f'run-{i}', model=f'net{i}')
        file = folder / f'run-{i}' / 'run.json'
        record = json.loads(file.read_text())
        record['dataset']['fingerprint'] = fingerprint
        file.write_text(json.dumps(record))
    assert report.main([f'--runs={folder}', f'--out={tmp_path / "out"}']) == 0
    text = (tmp_path / 'out' / 'report.md').read_text()
    for which in ('data aaaaaa', 'data bbbbbb'):
        assert f'on data, {which}\n' in text
        assert f'On the {which} of this name: Measured: ' in text


def test_a_pair_of_other_images_or_one_that_never_got_there_is_said_so(save, tmp_path, capsys):
    save('a', model='a', accuracies=(0.9,))
    folder = save('b', model='b', accuracies=(0.5,))
    pair = ['--compare', str(folder / 'a'), str(folder / 'b')]
    assert report.main([f'--out={tmp_path / "out"}', f'--runs={folder}', *pair]) == 2
    assert 'does not reach' in capsys.readouterr().err


def test_what_is_left_out_is_said_with_the_first_reason(save, tmp_path, capsys):
    folder = save('a', model='a')
    assert report.main([f'--runs={folder}', f'--out={tmp_path / "out"}']) == 0
    assert 'left out' not in capsys.readouterr().err
    record = json.loads((folder / 'a' / 'run.json').read_text())
    (folder / 'still.json').write_text(json.dumps(record | {'seed': 1, 'status': 'running'}))
    assert report.main([f'--runs={folder}', f'--out={tmp_path / "out"}']) == 0
    said = '1 file is left out, which the section Records lists; the first, {}: is incomplete: its status is running'
    assert said.format(folder / 'still.json') in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_said_so(tmp_path, capsys):
    (tmp_path / 'file').write_text('')
    assert report.main([f'--out={tmp_path / "file"}']) == 2
    assert 'cannot write to' in capsys.readouterr().err
