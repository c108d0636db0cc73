"""A record says what happened, and a bad one says what is wrong with it."""

import copy
import json
import os
import pathlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efficiency import records
from efficiency.metrics import OF_CLASSES, of_record


def point(step, top1):
    return {
        'step': step, 'examples': 10 * step, 'epochs': step / 10, 'paper_macs': 300 * step, 'train_macs': 290 * step,
        'compiled_flops': 600.0 * step, 'train_seconds': 0.5 * step, 'loss': 1.0, 'top1': top1, 'top5': 1.0,
    }  # fmt: skip


def crossing(step):
    return {key: value for key, value in point(step, 0).items() if key not in ('loss', 'top1', 'top5')}


@pytest.fixture
def record():
    curve = [point(10, 0.5), point(20, 0.7), point(30, 0.9)]
    target = {'metric': 'top1', 'value': 0.8}
    return {
        'schema_version': 1, 'status': 'reached', 'model': 'net',
        'config': records.completed_config({}), 'seed': 0,
        'dataset': {
            'name': 'd', 'version': '1', 'fingerprint': 'f', 'num_train': 100, 'num_eval': 10, 'num_classes': 10
        },
        'target': target, 'first_crossing': crossing(30), 'interpolated_crossing': crossing(25), 'final': curve[-1],
        'curve': curve,
        'macs_per_example': {'forward_dense': 10, 'forward_real': 9, 'train_dense': 29, 'train_real': 27},
        'programs': [{
            'steps': 30, 'batch_size': 10, 'image_size': 28, 'train_dense_macs_per_step': 290,
            'train_real_macs_per_step': 270, 'optimizer_dense_macs_per_step': 0,
        }],
        'xla': {'lowered_flops_per_step': 1.0, 'compiled_flops_per_step': None, 'compiled_over_train_dense': None},
        'evaluation': {'examples': 30, 'dense_macs': 300},
        'clock': dict.fromkeys(
            (f'{phase}_seconds' for phase in ('compile', 'train', 'data_wait', 'evaluation', 'checkpoint')), 1.0
        ),
        'throughput': {
            'examples_per_second': 1.0, 'train_dense_macs_per_second': 29.0, 'matmul_peak_macs_per_second': 58.0,
            'share_of_peak': 0.5,
        },
        'precision': 'float32',
        'devices': {'kind': 'cpu', 'count': 1, 'hosts': 1}, 'versions': {}, 'git': None, 'resumed_from_steps': [],
        'failure': None,
    }  # fmt: skip


def test_what_is_written_is_read_again(tmp_path, record):
    records.write(tmp_path, record)
    assert records.read(tmp_path) == records.read(tmp_path / 'run.json') == record
    assert os.listdir(tmp_path) == ['run.json']


def test_records_from_before_peaks_were_measured_are_read(tmp_path, record):
    for key in ('matmul_peak_macs_per_second', 'share_of_peak'):
        del record['throughput'][key]
    records.validate(record)
    del record['throughput']['examples_per_second']
    with pytest.raises(records.RecordError, match='examples_per_second is missing'):
        records.validate(record)


def test_first_and_interpolated_crossing():
    curve, target = [point(10, 0.5), point(20, 0.7), point(30, 0.9)], {'metric': 'top1', 'value': 0.8}
    assert records.first_crossing(curve, target, OF_CLASSES) == crossing(30)
    assert records.interpolated_crossing(curve, target, OF_CLASSES) == pytest.approx(crossing(25))
    exactly = {'metric': 'top1', 'value': 0.7}
    assert records.first_crossing(curve, exactly, OF_CLASSES) == crossing(20)
    assert records.interpolated_crossing(curve, exactly, OF_CLASSES) == pytest.approx(crossing(20))
    assert records.interpolated_crossing(curve, {'metric': 'top1', 'value': 0.4}, OF_CLASSES) == crossing(10)
    assert records.first_crossing(curve, {'metric': 'top1', 'value': 0.91}, OF_CLASSES) is None
    assert records.interpolated_crossing(curve, {'metric': 'top1', 'value': 0.91}, OF_CLASSES) is None


def broken(record, path, value):
    record = copy.deepcopy(record)
    *outer, last = path
    place = record
    for key in outer:
        place = place[key]
    if value is KeyError:
        del place[last]
    else:
        place[last] = value
    return record


@pytest.mark.parametrize(
    ('path', 'value', 'says'),
    [
        (('schema_version',), 2, 'schema_version is 2'),
        (('model',), KeyError, 'model is missing'),
        (('dataset', 'num_train'), -1, 'dataset.num_train is -1'),
        (('curve', 1, 'loss'), float('nan'), r'curve\[1\].loss is nan'),
        (('curve', 1, 'step'), '20', r"curve\[1\].step is '20'"),
        (('curve', 1, 'step'), 40, 'order'),
        (('status',), 'done', "status is 'done', not one of running, reached"),
        (('first_crossing',), None, 'first_crossing is not the first point'),
        (('target', 'value'), 0.95, 'first_crossing is not the first point'),
        (('programs', 0, 'steps'), 29, 'more train_macs than the programs'),
        (('programs', 0, 'steps'), True, 'steps is True'),
        (('curve',), {}, 'curve is dict, not a list'),
    ],
)
def test_a_bad_record_says_what_is_wrong(tmp_path, record, path, value, says):
    bad = broken(record, path, value)
    with pytest.raises(records.RecordError, match=says):
        records.validate(bad)
    (tmp_path / 'run.json').write_text(json.dumps(bad))
    with pytest.raises(records.RecordError, match='is not a run record'):
        records.read(tmp_path)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)
    )
)
@settings(max_examples=100)
def test_no_json_value_breaks_the_reader(value):
    with pytest.raises(records.RecordError):
        records.validate(value)


def test_text_that_is_not_json_is_a_record_error(tmp_path):
    for text in (b'{', b'\xff\xfe', b'[' * 100_000):
        pathlib.Path(tmp_path, 'run.json').write_bytes(text)
        with pytest.raises(records.RecordError, match='is not JSON'):
            records.read(tmp_path)


def test_a_write_that_fails_leaves_the_old_record(tmp_path, record, monkeypatch):
    records.write(tmp_path, record)

    def full(*args):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match='No space'):
        records.write(tmp_path, record | {'seed': 1})
    assert records.read(tmp_path) == record
    assert os.listdir(tmp_path) == ['run.json']


def test_the_config_of_a_record_from_before_a_key_has_what_it_stands_for(tmp_path, record):
    for config, read in (({}, 0), ({'batch_norm_group': 8}, 8)):
        records.write(tmp_path, record | {'config': config})
        expected = {'init_from': '', **records.LATER_CONFIG_KEYS, 'batch_norm_group': read}
        assert records.read(tmp_path)['config'] == expected


def of_bits(record):
    """The same record as of a language model: bits per byte fall."""
    values = (3.0, 1.5, 1.2)
    curve = [
        {key: x for key, x in each.items() if key not in OF_CLASSES} | {'bits_per_byte': value}
        for each, value in zip(record['curve'], values, strict=True)
    ]
    for program in record['programs']:
        del program['image_size']
    return record | {
        'task': 'language', 'dataset': {'name': 'd', 'version': '1', 'fingerprint': 'f'}, 'curve': curve,
        'final': curve[-1], 'target': {'metric': 'bits_per_byte', 'value': 1.35},
        'metrics': {'bits_per_byte': {'unit': 'bits per byte', 'rises': False, 'low': 0, 'high': None}},
    }  # fmt: skip


def test_a_record_of_another_domain_says_its_metric_and_need_not_have_classes_or_pixels(tmp_path, record):
    # 1.5 to 1.2 is 0.15 of the way at 1.35: half, between 20 and 30 steps.
    fell = of_bits(record)
    records.write(tmp_path, fell)
    assert records.read(tmp_path) == fell
    assert records.task_of(fell) == 'language'
    assert records.task_of(record) == 'images'
    metrics = of_record(fell)
    for value, first, between in ((3.5, 10, 10), (3.0, 10, 10), (1.5, 20, 20), (2.25, 20, 15), (1.2, 30, 30)):
        target = {'metric': 'bits_per_byte', 'value': value}
        assert records.first_crossing(fell['curve'], target, metrics) == crossing(first)
        assert records.interpolated_crossing(fell['curve'], target, metrics) == pytest.approx(crossing(between))
    assert records.first_crossing(fell['curve'], {'metric': 'bits_per_byte', 'value': 1.1}, metrics) is None


BITS = {'unit': 'bits per byte', 'rises': False, 'low': 0, 'high': None}


@pytest.mark.parametrize(
    ('path', 'value', 'says'),
    [
        (('metrics',), [], r'metrics is \[\]; it must be an object'),
        (('metrics',), None, 'metrics is None'),
        (('metrics',), {}, 'metrics is {}'),
        (('metrics',), 'bits', "metrics is 'bits'"),
        (('metrics', 'bits_per_byte'), 5, "the metric 'bits_per_byte' is 5; it must be an object with unit, rises"),
        (('metrics', ''), BITS, "a metric is named ''"),
        (('metrics', 'loss'), BITS, 'named loss, which every point of a curve has already'),
        (('metrics', 'step'), BITS, 'named step, which every point'),
        (('metrics', 'bits_per_byte', 'low'), float('nan'), 'low of bits_per_byte is nan'),
        (('metrics', 'bits_per_byte', 'high'), float('inf'), 'high of bits_per_byte is inf'),
        (('metrics', 'bits_per_byte', 'high'), -1, 'low must be below high'),
        (('metrics', 'bits_per_byte', 'rises'), 'yes', "rises of bits_per_byte is 'yes'"),
        (('metrics', 'bits_per_byte', 'colour'), 'red', "has the key 'colour', which means nothing"),
        (('metrics', 'bits_per_byte', 'low'), KeyError, 'lacks low'),
        (('target', 'metric'), 'bleu', "target.metric is 'bleu', not one of bits_per_byte"),
        (('target', 'metric'), 5, 'target.metric is 5, not str'),
        (('target', 'value'), -1, 'target.value is -1, not a number at least 0, in bits per byte'),
        (('target', 'value'), float('inf'), 'target.value is inf'),
        (('curve', 1, 'bits_per_byte'), KeyError, r'curve\[1\].bits_per_byte is missing'),
        (('curve', 1, 'bits_per_byte'), float('inf'), r'curve\[1\].bits_per_byte is inf, not a number, at least 0'),
        (('curve', 1, 'bits_per_byte'), float('nan'), r'curve\[1\].bits_per_byte is nan'),
        (('curve', 1, 'bits_per_byte'), -1, r'curve\[1\].bits_per_byte is -1'),
        (('curve', 1, 'bits_per_byte'), '1', r"curve\[1\].bits_per_byte is '1'"),
        (('curve', 1, 'bits_per_byte'), 10**400, r'curve\[1\].bits_per_byte is 1000'),
        (('metrics', 'bits_per_byte', 'rises'), True, 'first_crossing is not the first point'),
        (('metrics',), KeyError, "target.metric is 'bits_per_byte', not one of top1, top5"),
    ],
)
def test_a_bad_section_of_metrics_is_one_sentence_that_names_the_file(tmp_path, record, path, value, says):
    fell = of_bits(record)
    fell['metrics'] = {'bits_per_byte': dict(BITS)}
    bad = broken(fell, path, value)
    (tmp_path / 'run.json').write_text(json.dumps(bad))
    with pytest.raises(records.RecordError, match=says) as error:
        records.read(tmp_path)
    assert str(error.value).startswith(f'{tmp_path / "run.json"} is not a run record: ')
    assert '\n' not in str(error.value)


def test_a_writer_takes_no_point_without_its_metric(tmp_path, record):
    writer = records.Writer(tmp_path)
    fell = of_bits(record)
    writer.write(fell)
    worse = copy.deepcopy(fell)
    worse['curve'].append({**fell['curve'][-1], 'step': 31, 'bits_per_byte': float('nan')})
    with pytest.raises(records.RecordError, match=r'curve\[3\]'):
        writer.write(worse | {'final': worse['curve'][-1]})
    assert records.read(tmp_path) == fell


def test_what_a_run_keeps_beside_its_record_is_taken_for_none(tmp_path):
    taken = ['a/run.json', 'b.json', 'c/folder.json/x.json']
    for name in (
        *taken, 'a/checkpoints/5/progress.json', 'a/damaged-checkpoints/5.x/progress.json', 'a/metrics.jsonl',
        'a/wandb/offline-run-1/files/wandb-summary.json', '.hidden.json', '.hidden/run.json',
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [os.path.relpath(path, tmp_path) for path in records.files_below(tmp_path)]
    assert sorted(found) == sorted([*taken, 'c/folder.json'])
    assert list(records.files_below(tmp_path / 'absent')) == []
