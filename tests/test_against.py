"""Our counts beside other frameworks': equal where conventions agree, every difference explained to the last mac."""

import json

import pytest

from efficiency import count
from efficiency.against import compare_networks
from efficiency.tasks.images.networks import list_models

QUICK = ('alexnet', 'densenet121', 'googlenet', 'mobilenet_v1_x0_25', 'shufflenet_v2_x0_5')
# Neither torchvision nor timm has these.
ABSENT = {
    'airbench94', 'inception_bn', 'lenet5', 'resnet50_fixup', 'whitened_tiny',
    *(f'shufflenet_v1_{form}' for form in ('x0_25', 'x0_5', 'x1_0', 'x1_5', 'x2_0')),
    *(f'shufflenet_v1_g{groups}_x1_0' for groups in (1, 2, 4, 8)),
}  # fmt: skip
NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in list_models()]


@pytest.mark.crosscheck
@pytest.mark.parametrize('size', [None, pytest.param(97, marks=pytest.mark.slow)])
@pytest.mark.parametrize('name', NAMES)
def test_every_difference_is_explained(name, size):
    pytest.importorskip('thop', reason='needs the extra crosscheck')
    rows = compare_networks([name], ['torch', 'fvcore', 'thop'], size)
    assert (rows[0]['framework'] is None) == (name in ABSENT)
    if name in ABSENT:
        assert rows[0]['reason'] == f'neither torchvision nor timm has {name}'
        return
    found = {(row['framework'], row['pass']): row for row in rows}
    assert list(found) == [('torch', 'forward'), ('torch', 'train'), ('fvcore', 'forward'), ('thop', 'forward')]
    assert found['torch', 'forward']['reason'] == 'equal'
    for row in rows:
        assert row['difference'] == row['their_macs'] - row['our_dense_macs']
        assert 'unexplained' not in row['reason']
        assert (row['reason'] == 'equal') == (row['difference'] == 0)
    grouped = 'grouped' in found['torch', 'train']['reason']
    assert grouped == any(family in name for family in ('mobilenet', 'shufflenet', 'efficientnet', 'resnext'))


@pytest.mark.crosscheck
def test_what_no_rule_explains_is_said(monkeypatch, capsys):
    frameworks = pytest.importorskip('efficiency.flops.frameworks')
    pytest.importorskip('thop', reason='needs the extra crosscheck')
    wrong = {**frameworks.FRAMEWORKS, 'torch': lambda *_: {'forward': (714_188_481, {'rounding': 2})}}
    monkeypatch.setattr(frameworks, 'FRAMEWORKS', wrong)
    assert count.main(['--models=alexnet', '--against=torch', '--format=json']) == 1
    printed = capsys.readouterr()
    (row,) = json.loads(printed.out)
    assert row['reason'] == 'rounding: +2; unexplained: -1'
    assert 'no rule explains all of the difference for alexnet' in printed.err


@pytest.mark.parametrize(
    ('args', 'says'),
    [
        (['--against=tensorflow'], "no framework is named 'tensorflow'; there are fvcore, thop, torch"),
        (['--against=torch', '--by_layer'], 'leave --by_layer out'),
        (['--against=torch', '--config=configs/alexnet.py'], 'leave --config out'),
    ],
)
def test_mistakes_are_one_sentence(args, says, capsys):
    assert count.main(['--models=alexnet', *args][args[-1].startswith('--config') :]) == 2
    assert says in capsys.readouterr().err


def test_frameworks_that_are_not_there_are_named(monkeypatch, capsys):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None if name == 'thop' else name)
    assert count.main(['--models=alexnet', '--against=torch,thop']) == 2
    assert '--against=thop needs thop, which is not installed: pip install' in capsys.readouterr().err
