"""What was wrong in the ledger and was put right: epochs by the logs, dates of recipes, macs of the papers."""

import datetime
import importlib
import re
from collections import defaultdict

import pytest

from efficiency.published import points as ledger
from efficiency.tasks.images.networks import list_models, model_entry
from tests.conftest import ROOT

POINTS = {point.id: point for point in ledger.points()}
COUNTS = {
    size: network.forward_dense_macs for (model, size), network in ledger.networks().items() if model == 'resnet50'
}
TRAIN_IMAGES = 1281167
# Top-5 after each epoch, numbered from 0 in the logs of DAWNBench (commit fb27b827), and the epochs at each image size.
HUAWEI = [
    18.2, 28.5, 35.0, 42.5, 53.7, 53.9, 44.2, 51.9, 57.9, 53.0, 45.0, 53.9, 57.7, 57.2, 76.9, 74.9, 83.5, 81.2, 83.4,
    81.5, 82.8, 85.8, 85.2, 86.6, 88.3, 89.6, 90.3, 90.8, 92.9111, 93.1, 93.2,
]  # fmt: skip
HUAWEI_SIZES = {128: 14, 224: 14, 288: 3}
FAST_AI_4 = [
    14.5, 34.4, 41.1, 45.3, 51.0, 55.2, 57.1, 53.2, 58.0, 66.2, 63.6, 69.4, 72.1, 77.6, 75.6, 78.9, 80.2, 82.3, 80.2,
    83.0, 86.4, 88.2, 89.8, 89.9, 90.4, 91.1, 91.3, 92.966, 93.008, 93.0,
]  # fmt: skip
# Minutes an epoch: 0.5, from the 14th on 1.2, and 3.5 at the 28th.
FAST_AI_4_SIZES = {128: 13, 224: 14, 288: 3}


def macs_of(epochs, sizes):
    """3 x examples x the macs of an image, summed over the first epochs of a schedule of sizes."""
    pixels = [size for size, number in sizes.items() for _ in range(number)]
    return 3 * TRAIN_IMAGES * sum(COUNTS[size] for size in pixels[:epochs])


@pytest.mark.parametrize(
    ('entry', 'top5', 'sizes', 'level', 'epochs'),
    [
        ('huawei-mxnet', HUAWEI, HUAWEI_SIZES, 79.1, 17),
        ('huawei-mxnet', HUAWEI, HUAWEI_SIZES, 92.9, 29),
        ('fastai-4-machines', FAST_AI_4, FAST_AI_4_SIZES, 79.1, 17),
        ('fastai-4-machines', FAST_AI_4, FAST_AI_4_SIZES, 92.9, 28),
    ],
)
def test_epochs_are_those_of_the_log_each_at_its_size(entry, top5, sizes, level, epochs):
    assert len(top5) == sum(sizes.values())
    assert next(i for i, value in enumerate(top5, 1) if value >= level) == epochs
    point = POINTS[f'dawnbench-{entry}-{level:g}']
    assert point.epochs == epochs
    assert point.dense_macs == pytest.approx(macs_of(epochs, sizes), rel=1e-6)


def test_the_last_epoch_at_288_pixels_is_counted():
    for entry in ('huawei-mxnet', 'fastai-4-machines'):
        parts = ledger.image_sizes(POINTS[f'dawnbench-{entry}-92.9'].image_size)
        assert parts[-1] == (1, 288)
        assert POINTS[f'dawnbench-{entry}-92.9'].evaluated_at == 288


@pytest.mark.parametrize('point', [p for p in POINTS.values() if ' + ' in p.image_size], ids=lambda point: point.id)
def test_compute_is_summed_over_the_epochs_at_each_size(point):
    total = sum(epochs * COUNTS[size] for epochs, size in ledger.image_sizes(point.image_size))
    assert point.dense_macs == pytest.approx(3 * point.examples * total, rel=1e-6)


@pytest.mark.parametrize(
    ('network', 'macs', 'pixels'),
    [
        ('tinynet-e', 24e6, '106'),  # arXiv:2010.14819
        ('ghostnetv2-1.3', 269e6, '224'),  # arXiv:2211.12905
        ('ghostnetv3-1.0', 167e6, '224'),  # arXiv:2211.12905 of GhostNetV2 1.0x, which it is when deployed
    ],
)
def test_macs_of_small_networks_are_those_of_their_papers(network, macs, pixels):
    point = POINTS[f'inference-today-{network}']
    assert point.dense_macs == point.macs_per_example == macs
    assert point.image_size == pixels


@pytest.mark.parametrize(
    ('row', 'first', 'last'),
    [
        ('katago-katago', '2019-05-01', '2019-06-30'),
        ('airbench-96-resnet18', '2024-03-20', '2024-06-14'),
        ('airbench-96-legacy', '2024-06-14', '2024-06-14'),
        ('airbench-94', '2024-11-10', '2024-11-10'),
        ('airbench-96', '2024-08-10', '2024-08-10'),
        ('glue-bert-small', '2020-03-23', '2020-03-23'),
        ('counted-translation-multi30k-attention', '2020-01-21', '2020-01-21'),
        ('counted-translation-multi30k-transformer', '2020-01-21', '2020-01-21'),
        ('inference-today-mobilenetv3-small-0.50', '2022-01-19', '2022-01-19'),
        ('algoperf-resnet50-shampoo-best', '2025-03-17', '2025-03-24'),
        ('hb2020-table3-shufflenet_v2_x1_0', '2018-07-30', '2018-07-30'),
    ],
)
def test_a_recipe_has_a_date_of_its_own(row, first, last):
    assert datetime.date.fromisoformat(first) <= POINTS[row].published <= datetime.date.fromisoformat(last)


def test_what_the_date_of_a_name_says_is_its_date():
    dated = {row: re.search(r'\d{4}-\d{2}(?:-\d{2}(?!\.))?', row) for row in POINTS}
    found = {row: match[0] for row, match in dated.items() if match}
    assert len(found) > 15
    assert {row: str(POINTS[row].published)[: len(text)] for row, text in found.items()} == found


def test_a_network_has_one_date():
    """In the registry, the counts, the configs, and where a row stands for the network's own paper."""
    dates = defaultdict(set)
    for name in list_models('*'):
        dates[name].add(model_entry(name).published)
    for network in ledger.networks().values():
        dates[network.model].add(network.published)
    for path in sorted((ROOT / 'configs').glob('*.py')):
        config = importlib.import_module(f'configs.{path.stem}')
        if published := re.search(r'^Published (\d{4}-\d{2}-\d{2})', config.__doc__ or '', re.MULTILINE):
            dates[config.get_config().model.name].add(datetime.date.fromisoformat(published[1]))
    for point in POINTS.values():
        if point.model and point.series in ('hb2020-table3', 'hb2020-resnet50-level', 'inference'):
            dates[point.model].add(point.published)
    assert {name: sorted(map(str, found)) for name, found in dates.items() if len(found) > 1} == {}


def test_a_paper_has_one_date():
    dates = defaultdict(set)
    for network in ledger.networks().values():
        dates[network.paper].add(network.published)
    for point in POINTS.values():
        for paper in re.findall(r'date: (arXiv:\d{4}\.\d{5})', point.source):
            dates[paper].add(point.published)
    # Dated before its paper, by the competition that it won.
    assert len(dates.pop('arXiv:1404.5997')) == 1
    assert {paper: found for paper, found in dates.items() if len(found) > 1} == {}
    for paper, (date,) in dates.items():
        if paper.startswith('arXiv:'):
            assert paper[6:10] == f'{date:%y%m}', f'{paper} is not of {date}'


def test_a_system_of_a_paper_has_one_date():
    dates = defaultdict(set)
    for point in POINTS.values():
        if re.match('hb2020|ai-and-compute|counted|inference$|vaswani', point.series):
            dates[point.system].add(point.published)
    assert {system: found for system, found in dates.items() if len(found) > 1} == {}


def test_what_is_not_known_to_have_met_its_level():
    assert {point.id for point in POINTS.values() if point.level != 'published'} == {
        'gpt2-level-llm.c', 'gluoncv-mobilenet0.25-79.1', 'gluoncv-mobilenetv2_0.25-79.1', 'gluoncv-resnet152_v1d-79.1',
    }  # fmt: skip
    assert POINTS['gpt2-level-llm.c'].dense_macs == pytest.approx(1.57e20, rel=0.01)
    assert POINTS['gpt2-level-llm.c'].off_frontier == 'its level is not published'
    assert POINTS['gluoncv-inceptionv3-79.1'].off_frontier == 'its compute is not known'
    assert POINTS['dawnbench-huawei-mxnet-92.9'].off_frontier == ''


# What the notes say of a level, in the units of its target.
STATED = (
    ('glue', r'dev average ([\d.]+)', 1),
    ('gpt2-level', r'CORE ([\d.]+)', 1),
    ('gluoncv-logs', r'ends at [\d.]+/([\d.]+) %', 0.01),
    ('inference', r'([\d.]+) % top-5', 0.01),
)


def test_what_is_said_of_a_level_meets_it():
    targets, checked = ledger.targets(), 0
    for series, pattern, unit in STATED:
        for point in POINTS.values():
            if (
                point.series.startswith(series)
                and (stated := re.search(pattern, point.note))
                and not point.off_frontier
            ):
                assert float(stated[1]) * unit >= targets[point.target].value, point.id
                checked += 1
    assert checked > 90
