"""The factor at ResNet-50 level, with and without each of its assumptions."""

import pytest

from efficiency.analysis.resnet50_level import assumptions, level_table
from efficiency.published import points as ledger

POINTS, NETWORKS = ledger.points(), ledger.networks()
MACS = {size: network.forward_dense_macs for (model, size), network in NETWORKS.items() if model == 'resnet50'}
RESNET50_EPOCH = 3 * 1.28e6 * MACS[224]
# The entry of least compute: epochs at each size.
ALIBABA = {96: 12, 128: 6, 224: 2, 288: 1}
EFFICIENTNET_B1 = 3 * 71 * 1.28e6 * NETWORKS['efficientnet_b1', 240].forward_dense_macs


def alibaba(largest=288):
    return 3 * 1281167 * sum(epochs * MACS[min(size, largest)] for size, epochs in ALIBABA.items())


def test_each_assumption_changes_the_factor_by_what_it_is():
    rows = {(round(row.epochs), row.evaluations): row for row in assumptions(POINTS, NETWORKS)}
    printed = round(17 * 8.64e16 / RESNET50_EPOCH)
    assert printed == 94
    sizes = (
        'at any size',
        'at any size, epochs at more than 224 pixels counted at 224',
        "at the network's own size alone",
    )
    assert set(rows) == {(epochs, size) for epochs in (90, printed, 73) for size in sizes}
    for (_, evaluations), row in rows.items():
        last = dict(zip(sizes, (alibaba(), alibaba(224), EFFICIENTNET_B1), strict=True))[evaluations]
        assert row.factor == pytest.approx(row.epochs * RESNET50_EPOCH / last, rel=1e-6)
        assert row.last == ('EfficientNet-b1' if last is EFFICIENTNET_B1 else 'ResNet-50 v1.5, Alibaba, 8 V100')
    assert rows[90, sizes[0]].factor == pytest.approx(11.49, abs=0.01)
    assert rows[90, sizes[2]].factor == pytest.approx(7.547, abs=0.01)
    assert rows[90, sizes[0]].points - rows[90, sizes[2]].points == sum(
        point.evaluated_at is not None for point in POINTS if point.target == 'imagenet-top5-92.9'
    )


def test_what_was_evaluated_at_another_size_says_so():
    level = [point for point in POINTS if point.target == 'imagenet-top5-92.9' and not point.off_frontier]
    for point in level:
        sizes = ledger.image_sizes(point.image_size)
        if len(sizes) > 1:
            largest = max(size for _, size in sizes)
            assert point.evaluated_at == {288: 288, 192: 256}[largest]
            assert f'evaluated at {"the " * ("taken" in point.note)}{point.evaluated_at} pixels' in point.note
        else:
            assert point.evaluated_at is None


def test_the_table_says_how_far_the_factor_moves():
    table = level_table(POINTS, NETWORKS)
    factors = [row['factor'] for row in table.rows]
    assert len(factors) == 9
    assert '11.5 as the trends have it' in table.text
    assert f'from {min(factors):.2f} to {max(factors):.1f} over' in table.text
