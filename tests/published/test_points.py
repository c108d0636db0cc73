"""The published ledger is whole, agrees with itself and with our counts, and says so where a row does not."""

import csv
import datetime
import math
import subprocess
import sys

import pytest

from benchmarks.published_networks import OTHER_SIZES, network_row
from efficiency.count import count_network
from efficiency.errors import UserError
from efficiency.published import points as ledger
from efficiency.tasks.images.networks import list_models

ALEXNET = 'hb2020-table3-alexnet'
QUICK = (('alexnet', 224), ('squeezenet1_1', 224), ('resnet50', 96))


@pytest.fixture
def changed(tmp_path):
    """Writes the committed points with some cells of a row changed, or with rows put in another way."""

    def write(row_id=ALEXNET, rows=lambda rows: rows, **cells):
        with open(ledger.POINTS_FILE, encoding='utf-8', newline='') as file:
            table = list(csv.DictReader(file))
        for row in table:
            if row['id'] == row_id:
                row.update(cells)
        path = tmp_path / 'points.csv'
        with open(path, 'w', encoding='utf-8', newline='') as file:
            writer = csv.DictWriter(file, ledger.POINT_COLUMNS, lineterminator='\n')
            writer.writeheader()
            writer.writerows(rows(table))
        return path

    return write


def test_the_committed_ledger_is_whole():
    found, problems = ledger.examine(ledger.POINTS_FILE)
    assert problems == []
    assert found == ledger.points()
    assert {point.target for point in found} == set(ledger.targets())
    assert ledger.claims()
    for name in ('points', 'targets', 'claims', 'findings', 'networks'):
        data = (ledger.POINTS_FILE.parent / f'{name}.csv').read_bytes()
        assert b'\r' not in data
        assert data.endswith(b'\n')


def test_what_others_found_has_its_intervals_and_what_is_derived_follows():
    found = {finding.finding: finding for finding in ledger.findings()}
    halvings = [found[f'ho2024-halving-{version}'] for version in ('preprint', 'proceedings')]
    assert [(each.value, each.low, each.high, each.interval) for each in halvings] == [
        (8, 5, 14, '95 %'),
        (8, 2, 22, '90 %'),
    ]
    factors = [found[f'gundlach2025-factor-{flop}'].value for flop in ('1e15', '2e23')]
    power = math.log(factors[1] / factors[0]) / math.log(2e23 / 1e15)
    assert found['gundlach2025-power'].value == pytest.approx(power, rel=1e-3)
    assert found['hoffmann2022-power'].value == pytest.approx(0.34 * 0.28 / (0.34 + 0.28), rel=1e-3)


def test_a_finding_without_a_source_is_refused(tmp_path, monkeypatch):
    text = ledger.FINDINGS_FILE.read_text()
    path = tmp_path / 'findings.csv'
    path.write_text(text.replace('arXiv:2001.08361 equation 1.3', 'they say so'))
    monkeypatch.setattr(ledger, 'FINDINGS_FILE', path)
    with pytest.raises(ledger.PublishedError, match='row kaplan2020-power, column source: says nowhere'):
        ledger.findings()
    path.write_text(text.replace(',confirmed,arXiv:2001', ',certain,arXiv:2001'))
    with pytest.raises(ledger.PublishedError, match="column confidence: 'certain' is not one of confirmed"):
        ledger.findings()


def test_a_point_is_typed():
    point = next(point for point in ledger.points() if point.id == ALEXNET)
    assert point.published == datetime.date(2012, 6, 1)
    assert point.printed_compute == 266.1
    assert point.dense_macs == pytest.approx(3 * 90 * 1.28e6 * 714188480)
    assert point.tfs_days_macs == pytest.approx(2.8567, abs=1e-4)
    assert point.correction
    with pytest.raises(AttributeError):
        point.epochs = 62


@pytest.mark.parametrize(
    ('column', 'value', 'message'),
    [
        ('target', 'imagenet-top5-79.2', 'the nearest are imagenet-top5-79.1'),
        ('domain', 'games', 'image-classification'),
        ('published', '6/30/2018', "'6/30/2018' is not a date as 2018-07-30"),
        ('published', '20180630', 'is not a date'),
        ('published', '2999-01-01', 'later than today'),
        ('published', '2012-05-31', 'before its network was, 2012-06-01'),
        ('date_precision', 'week', 'day, month, year'),
        ('printed_unit', '', 'as printed'),
        ('printed_convention', '', 'what an operation is'),
        ('dense_macs', '-1', 'finite number'),
        ('dense_macs', 'nan', 'finite number'),
        ('dense_macs', '2.6e17', '3 x epochs x examples x macs_per_example'),
        ('tfs_days_macs', '2.857', None),
        ('tfs_days_macs', '2.858', 'which is 2.8568'),
        ('tfs_days_macs', '', 'which is 2.8568'),
        ('basis', 'guessed', 'counted, printed'),
        ('basis', 'none', 'with dense_macs'),
        ('macs_convention', '', 'not one of'),
        ('macs_per_example', '714188481000', 'our count is 714188480'),
        ('image_size', '96 + 128', 'epochs at pixels'),
        ('image_size', '50 at 224', 'has 50 epochs'),
        ('evaluated_at', '224 pixels', 'whole number'),
        ('level', '', 'published, unpublished, missed'),
        ('level', 'met', 'published, unpublished, missed'),
        ('confidence', 'certain', 'confirmed, secondary'),
        ('source', '', 'say where'),
        ('id', 'Alex Net', 'letters, digits'),
    ],
)
def test_a_wrong_cell_is_named(changed, column, value, message):
    path = changed(**{column: value})
    if message is None:
        ledger.points(path)
        return
    _, problems = ledger.examine(path)
    row = value if column == 'id' else ALEXNET
    assert any(
        str(problem).startswith(f'points.csv, row {row}, column {column}: ') and message in str(problem)
        for problem in problems
    ), problems
    with pytest.raises(UserError, match=r'^points\.csv, row'):
        ledger.points(path)


def test_a_count_is_of_a_network_and_a_size_that_we_count(changed):
    with pytest.raises(ledger.PublishedError, match=r"networks\.csv has no 'alexnet' at image size '96'; write"):
        ledger.points(changed(image_size='96'))


def test_compute_may_differ_where_the_note_says_why(changed):
    path = changed(dense_macs='2.6e17', tfs_days_macs='3.0093', note='dense_macs also has the evaluation in it')
    ledger.points(path)


def test_no_compute_takes_a_reason(changed):
    empty = {'dense_macs': '', 'tfs_days_macs': '', 'note': ''}
    _, problems = ledger.examine(changed(**empty))
    assert [str(problem).split(': ')[0] for problem in problems] == [
        f'points.csv, row {ALEXNET}, column {column}' for column in ('basis', 'note')
    ]
    ledger.points(changed(**empty | {'basis': 'none', 'note': 'wall time only'}))


@pytest.mark.parametrize('level', ['unpublished', 'missed'])
def test_a_level_that_is_not_known_to_be_met_takes_a_reason(changed, level):
    with pytest.raises(ledger.PublishedError, match=f'column note: is empty where the level is {level}'):
        ledger.points(changed(level=level, note=''))
    ledger.points(changed(level=level, note='stopped before it was evaluated'))


def test_a_date_is_before_its_network_by_what_is_known_of_it(changed):
    ledger.points(changed(published='2012-01-01', date_precision='year'))
    with pytest.raises(ledger.PublishedError, match='2012-05-01 is before its network'):
        ledger.points(changed(published='2012-05-01', date_precision='month'))


def test_a_name_is_there_once(changed):
    path = changed(rows=lambda rows: [*rows, rows[0]])
    with pytest.raises(ledger.PublishedError, match='column id: is there twice'):
        ledger.points(path)


def test_a_file_that_is_no_ledger_is_said_to_be_none(tmp_path):
    path = tmp_path / 'points.csv'
    with pytest.raises(ledger.PublishedError, match='cannot be read'):
        ledger.points(path)
    path.write_text('id,name\nx,y\n')
    with pytest.raises(ledger.PublishedError, match='does not have the columns id,domain'):
        ledger.points(path)
    path.write_text(f'{",".join(ledger.POINT_COLUMNS)}\nx,y\n')
    with pytest.raises(ledger.PublishedError, match=r'row x, .* does not have 26 cells'):
        ledger.points(path)


def test_image_sizes_are_read_with_their_epochs():
    assert ledger.image_sizes('224') == [(None, 224)]
    assert ledger.image_sizes('12 at 96 + 1.5 at 128') == [(12, 96), (1.5, 128)]
    ours = ledger.networks()
    mean = (12 * ours['resnet50', 96].forward_dense_macs + 4 * ours['resnet50', 128].forward_dense_macs) / 16
    assert ledger.counted_macs('resnet50', '12 at 96 + 4 at 128') == mean
    assert ledger.counted_macs('resnet50', '97') is None


def test_reading_needs_neither_jax_nor_numpy():
    program = (
        'import sys; from efficiency.published import points as p; p.points(); p.claims(); '
        'print([m for m in ("jax", "numpy", "flax") if m in sys.modules])'
    )
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'


@pytest.mark.parametrize(('model', 'image_size'), QUICK)
def test_the_networks_are_counted(model, image_size):
    with open(ledger.NETWORKS_FILE, encoding='utf-8', newline='') as file:
        assert network_row(model, image_size) in list(csv.DictReader(file))


def test_every_network_has_its_rows():
    expected = {(model, count) for model in list_models('*') for count in [None, *OTHER_SIZES.get(model, ())]}
    assert len(ledger.networks()) == len(expected)
    assert {model for model, _ in ledger.networks()} == set(list_models('*'))


@pytest.mark.slow
def test_all_networks_are_counted():
    for (model, image_size), network in ledger.networks().items():
        row = count_network(model, image_size=image_size)
        assert row['params'] == network.params
        for column in ('forward_dense_macs', 'train_dense_macs', 'forward_real_macs'):
            assert row[column] == getattr(network, column)


def test_known_figures_of_public_logs():
    found = {point.id: point for point in ledger.points()}
    # 60.3 and 122.8 petaflop by the size of the images alone.
    assert found['dawnbench-alibaba-1-machine-79.1'].dense_macs == pytest.approx(60.3e15, rel=0.02)
    assert found['dawnbench-alibaba-1-machine-92.9'].dense_macs == pytest.approx(122.8e15, rel=0.02)
    assert found['ffcv-16-epochs-79.1'].dense_macs == pytest.approx(72e15, rel=0.01)
    assert found['gluoncv-mobilenetv3_large-79.1'].dense_macs == pytest.approx(10.9e15, rel=0.01)
    assert found['gluoncv-inceptionv3-79.1'].dense_macs is None
    for point in found.values():
        if point.series in ('nanogpt-speedrun', 'katago'):
            assert point.dense_macs is None
