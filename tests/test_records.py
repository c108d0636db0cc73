"""A record says what happened, and a bad one says what is wrong with it."""

import copy
import json
import os
import pathlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efficiency import records


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
        'config': {'batch_norm_group': 0}, 'seed': 0,
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
    assert records.first_crossing(curve, target) == crossing(30)
    assert records.interpolated_crossing(curve, target) == pytest.approx(crossing(25))
    exactly = {'metric': 'top1', 'value': 0.7}
    assert records.first_crossing(curve, exactly) == crossing(20)
    assert records.interpolated_crossing(curve, exactly) == pytest.approx(crossing(20))
    assert records.interpolated_crossing(curve, {'metric': 'top1', 'value': 0.4}) == crossing(10)
    assert records.first_crossing(curve, {'metric': 'top1', 'value': 0.91}) is None
    assert records.interpolated_crossing(curve, {'metric': 'top1', 'value': 0.91}) is None


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
        assert records.read(tmp_path)['config'] == {'batch_norm_group': read}
