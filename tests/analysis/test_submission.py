"""A submission is accepted whole, or everything that is wrong with it is said."""

import collections
import copy
import csv
import json
import os

import pytest

from configs import common
from efficiency import records, report
from efficiency.analysis.agreement import disagreements
from efficiency.analysis.kinds import KINDS
from efficiency.analysis.recount import checked_config, opened_data, other_data
from efficiency.analysis.submission import check
from efficiency.published.points import POINT_COLUMNS, POINTS_FILE
from tests.analysis.tampered import numbers, scaled, unnoticed
from tests.conftest import ROOT

RESULTS = ROOT / 'results'
RECORD = RESULTS / 'mnist5k' / 'lenet5' / 'seed0.json'
WHOLE = records.read(RECORD)


def written(tmp_path, record):
    path = tmp_path / 'run.json'
    path.write_text(json.dumps(record))
    return path


def changed(tmp_path, **content):
    """The record with other values, by their place in it: `dataset__num_classes=100`."""
    record = copy.deepcopy(WHOLE)
    for place, value in content.items():
        *holders, key = place.split('__')
        holder = record
        for name in holders:
            holder = holder[name]
        holder[key] = value
    return written(tmp_path, record)


@pytest.mark.parametrize('record', [RECORD, RESULTS / 'mnist5k' / 'alexnet' / 'seed0.json'], ids=['lenet5', 'alexnet'])
def test_a_record_of_ours_is_accepted(record):
    assert check(record) == []


def test_every_record_that_we_keep_agrees_with_itself():
    found = {path: records.read(path) for path in sorted(RESULTS.glob('*/*/*.json'))}
    of_kinds = {path: record for path, record in found.items() if records.task_of(record) in KINDS}
    number = collections.Counter(map(records.task_of, of_kinds.values()))
    assert number['images'] > 40
    assert number['language'] >= 16
    for path, record in of_kinds.items():
        config = checked_config(record)
        _, forms = opened_data(record, config, print, None) if record.get('unit') else (None, None)
        assert not list(disagreements(record, forms)), path


@pytest.mark.parametrize(
    ('key', 'word'),
    [('paper_macs', 'forward dense macs'), ('train_macs', 'its steps x'), ('examples', 'examples')],
)
def test_compute_that_is_not_macs_times_examples_is_said(tmp_path, key, word):
    record = copy.deepcopy(WHOLE)
    for point in (*record['curve'], record['final'], record['first_crossing']):
        point[key] = point[key] // 2
    assert any(word in problem for problem in check(written(tmp_path, record)))


def all_macs_scaled(factor):
    """A record in which all that is compute is so many times as large, and agrees with itself."""
    record = copy.deepcopy(WHOLE)
    words = ('macs', 'flops', 'share_of_peak')

    def scale(value, inside=False):
        for key in value if isinstance(value, dict) else range(len(value)):
            here = inside or (isinstance(key, str) and any(word in key for word in words))
            if isinstance(value[key], dict | list):
                scale(value[key], here)
            elif here and key != 'compiled_over_train_dense':
                value[key] = scaled(value[key], factor)

    scale({key: value for key, value in record.items() if key not in ('config', 'versions', 'study')})
    record['throughput']['share_of_peak'] = WHOLE['throughput']['share_of_peak']
    return record


@pytest.mark.parametrize('factor', [0.1, 0.5, 2])
def test_a_record_of_which_all_compute_is_too_cheap_or_too_dear_is_said(tmp_path, factor):
    record = all_macs_scaled(factor)
    records.validate(record)
    assert not list(disagreements(record)), 'the record is no test if it does not agree with itself'
    problems = check(written(tmp_path, record))
    for key in ('macs_per_example.forward_dense', 'programs[0].train_dense_macs_per_step'):
        assert any(key in problem for problem in problems)


# Nobody but who trained can know: see `efficiency.analysis.agreement`.
UNKNOWABLE = {
    'learning_rate', 'momentum', 'warmup_epochs', 'weight_decay', 'gradient_clip_norm', 'eval_batch_size', 'loss',
    'compile_seconds', 'data_wait_seconds', 'evaluation_seconds', 'checkpoint_seconds',
}  # fmt: skip


def test_no_number_that_matters_can_be_ten_times_another():
    record = copy.deepcopy(WHOLE)
    at = next(i for i, point in enumerate(record['curve']) if point['step'] == record['first_crossing']['step'])
    kept = [place for place in numbers(record) if place[0] != 'curve' or place[1] in (at - 1, at)]
    assert len(kept) > 80
    assert unnoticed(WHOLE, kept) <= UNKNOWABLE


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'dataset__fingerprint': 'f' * 64}, 'dataset.fingerprint'),
        ({'dataset__num_classes': 100}, 'dataset.num_classes is 100, and mnist5k has 10'),
        ({'config__batch_size': 64}, 'programs[0].batch_size is 32, and the config says 64'),
        ({'config__model': {'name': 'alexnet'}}, "model is 'lenet5', and the config says 'alexnet'"),
        ({'config__model': {'name': 'lenet6'}, 'model': 'lenet6'}, 'cannot be recounted'),
        ({'config__model': {'name': 'lenet5', 'width': 2}}, 'has no option'),
        ({'config__optimizer': {'name': 'mine', 'momentum': 0.9}}, 'cannot be recounted: no optimizer'),
        ({'config__init_from': 'weights.safetensors'}, 'whose training it does not count'),
        ({'config__train_split': 'test'}, "trains on examples of the split 'test'"),
        ({'config__train_split': 'test[50%:]'}, "trains on examples of the split 'test'"),
        ({'config__eval_every': 0.5}, 'lacks an evaluation'),
        ({'config__eval_every': 2.0}, 'where the config has no evaluation'),
        ({'config__num_epochs': 40.0}, 'its 40 epochs are 5000 steps'),
        ({'config__num_epochs': 0.5}, 'its 0.5 epochs are 63 steps'),
        ({'config__stop_at_target': True}, 'stops at its target'),
        ({'config': {}}, 'its config is none that a run can have'),
        ({'config__target': {'metric': 'top1', 'value': 0.9}}, 'target.value'),
        ({'xla__lowered_flops_per_step': None}, 'vouches for nothing'),
        ({'xla__lowered_flops_per_step': 7e7}, 'XLA counts from'),
        ({'xla__lowered_flops_per_step': 7e8}, 'XLA counts from'),
        ({'devices__count': 3}, 'does not divide over 3 devices'),
        ({'git__commit': 'HEAD'}, 'git does not name the code'),
        ({'git__dirty': True}, 'git does not name the code'),
        ({'programs': []}, 'programs'),
        ({'dataset__num_train': 0}, 'num_train is 0'),
        ({'dataset__num_train': None}, 'dataset.num_train is missing'),
        ({'task': 'gardening'}, "task is 'gardening', and only records of images, language, cloze, translation"),
        # Nobody gets around what is asked of accuracies by calling them something else.
        (
            {'metrics': {'top1': {'unit': '%', 'rises': True, 'low': 0, 'high': 1}}},
            'other than those of images',
        ),
        ({'evaluation__examples': 10**200}, 'no run comes to'),
    ],
    ids=lambda value: '-'.join(value) if isinstance(value, dict) else '',
)
def test_what_is_not_as_the_config_says_is_said(tmp_path, change, words):
    problems = check(changed(tmp_path, **change))
    assert any(words in problem for problem in problems), problems
    assert all(problem.startswith('run.json: ') for problem in problems)


def test_a_record_that_missed_its_target_or_has_no_code_is_said(tmp_path):
    target = {'metric': 'top1', 'value': 0.99}
    path = changed(
        tmp_path, target=target, config__target=target, status='exhausted', first_crossing=None,
        interpolated_crossing=None, git=None,
    )  # fmt: skip
    assert [problem.split(': ')[1].split(',')[0] for problem in check(path)] == [
        'no evaluation meets the target',
        'git does not name the code that ran; commit it and run again',
    ]


@pytest.mark.parametrize(
    ('name', 'sizes', 'word'),
    [
        ('cifar10', (50_000, 10_000, 10), ''),
        ('cifar10', (5_000, 10_000, 10), 'num_train is 5000, and cifar10 has 50000'),
        ('imagenet2012', (1_281_167, 50_000, 1000), ''),
        ('imagenet2012', (1_281_167, 50_000, 100), 'num_classes'),
        ('imagenet2012', (1_281_167, 5_000, 1000), 'num_eval'),
        ('flowers', (1, 2, 3), 'not known here'),
    ],
)
def test_a_data_set_that_all_know_has_its_classes_and_examples(name, sizes, word):
    config = common.paper_recipe('lenet5', name, 0.01)
    record = {'dataset': dict(zip(('num_train', 'num_eval', 'num_classes'), sizes, strict=True))}
    if name == 'flowers':
        config.eval_split = 'test'
    problems = list(other_data(record, config, print))
    assert [word in problem for problem in problems] == [True] * bool(word)


def test_a_part_of_a_known_split_has_its_share_of_it():
    config = common.paper_recipe('lenet5', 'cifar10', 0.01)
    config.train_split, config.eval_split = 'train[:90%]', 'train[90%:]'
    record = {'dataset': {'num_train': 45_000, 'num_eval': 5_000, 'num_classes': 10}}
    assert not list(other_data(record, config, print))
    config.eval_split = 'train[80%:]'
    assert 'trains on examples' in next(other_data(record, config, print))


def make_folder(path):
    path.mkdir()


def make_loop(path):
    path.symlink_to(path.name)


def make_huge(path):
    with open(path, 'wb') as file:
        file.truncate(10**12)


@pytest.mark.parametrize(
    ('name', 'make', 'words'),
    [
        ('absent.json', lambda path: None, 'there is no file'),
        ('folder.json', make_folder, 'is a folder'),
        ('folder.csv', make_folder, 'is a folder'),
        ('pipe.json', os.mkfifo, 'is no regular file'),
        ('pipe.csv', os.mkfifo, 'is no regular file'),
        ('device.json', lambda path: path.symlink_to('/dev/zero'), 'is no regular file'),
        ('loop.csv', make_loop, 'cannot be read'),
        ('notes.txt', lambda path: path.write_text('x'), 'neither'),
        ('huge.csv', make_huge, 'bytes'),
        ('x' * 300 + '.json', lambda path: None, 'cannot be read'),
    ],
)
def test_what_cannot_be_read_is_a_mistake_in_the_command(tmp_path, capsys, name, make, words):
    make(tmp_path / name)
    assert report.main([f'--check_submission={tmp_path / name}']) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert words in lines[0]


@pytest.mark.parametrize(
    ('name', 'content'),
    [
        ('empty.json', b''), ('cut.json', b'{"schema_version": 1'), ('other.json', b'{"a": 1}'),
        ('list.json', b'[{}, {}]'), ('number.json', b'7'), ('binary.json', b'\xff\x00\xfe'),
        ('deep.json', b'[' * 100_000), ('LIST.JSON', b'[]'), ('empty.csv', b''), ('columns.csv', b'a,b\n1,2\n'),
        ('binary.csv', b'\xff\x00\xfe'), ('nul.csv', b'a\0b\n'), ('quote.csv', b'"a'),
        ('header.csv', ','.join(POINT_COLUMNS).encode()),
    ],
)  # fmt: skip
def test_what_can_be_read_and_is_no_submission_has_problems(tmp_path, capsys, name, content):
    (tmp_path / name).write_bytes(content)
    assert report.main([f'--check_submission={tmp_path / name}']) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert all(line.startswith(f'efficiency: {name}') for line in lines), lines


def rows(tmp_path, **change):
    """A row of the ledger under another name, changed."""
    with open(POINTS_FILE, newline='') as file:
        row = next(row for row in csv.DictReader(file) if row['id'] == 'hb2020-table3-resnet50')
    path = tmp_path / 'rows.csv'
    with open(path, 'w', newline='') as file:
        writer = csv.DictWriter(file, POINT_COLUMNS)
        writer.writeheader()
        writer.writerow(row | {'id': 'mine'} | change)
    return path


def test_a_row_is_accepted(tmp_path, capsys):
    path = rows(tmp_path)
    assert check(path) == []
    assert report.main([f'--check_submission={path}']) == 0
    assert 'nothing is wrong' in capsys.readouterr().out


CHEAP = {'macs_per_example': '408918425.6', 'dense_macs': '1.256197e16', 'tfs_days_macs': '0.14539'}


@pytest.mark.parametrize(
    'change',
    [
        {'source': ''},
        {'source': 'trust me'},
        {'source': 'http://'},
        {'epochs': ''},
        {'epochs': '80'},
        {'epochs': '0', 'dense_macs': '0', 'tfs_days_macs': '0'},
        {'examples': ''},
        {'examples': '128000', 'dense_macs': '1.256197e16', 'tfs_days_macs': '0.14539'},
        {'macs_convention': 'flops'},
        {'printed_convention': ''},
        {'target': 'imagenet-top5-79'},
        {'dense_macs': '', 'tfs_days_macs': '', 'basis': 'none', 'note': 'unknown'},
        {'dense_macs': '1.256197e16', 'tfs_days_macs': '0.14539', 'note': 'dense_macs is right'},
        {'id': 'hb2020-table3-resnet50'},
        {'macs_per_example': '3.86e9', 'dense_macs': '1.186e17', 'tfs_days_macs': '1.373'},
        CHEAP | {'macs_convention': 'derived'},
        CHEAP | {'macs_convention': 'published', 'image_size': '224'},
        {'model': 'resnet51', 'macs_convention': 'published'},
        {'published': '10/12/2015'},
    ],
    ids='-'.join,
)
def test_a_row_that_lacks_something_is_said(tmp_path, capsys, change):
    path = rows(tmp_path, **change)
    problems = check(path)
    column = next(iter(change))
    assert any(f'column {column}' in problem for problem in problems) or column == 'epochs'
    assert report.main([f'--check_submission={path}']) == 1
    assert capsys.readouterr().err.count('efficiency: ') == len(problems) > 0


def test_macs_of_our_network_that_are_derived_are_held_against_our_count(tmp_path):
    # At 112 pixels our table has no count of ResNet-50, and it is 1,077,899,264.
    size = {'image_size': '112', 'macs_convention': 'derived'}
    right = {'macs_per_example': '1.078e9', 'dense_macs': '3.3113e16', 'tfs_days_macs': '0.38325'}
    assert check(rows(tmp_path, **size, **right)) == []
    wrong = {'macs_per_example': '1.078e8', 'dense_macs': '3.3113e15', 'tfs_days_macs': '0.038325'}
    (problem,) = check(rows(tmp_path, **size, **wrong))
    assert 'our count of resnet50' in problem
    assert check(rows(tmp_path, model='', **size, **wrong)) == []
