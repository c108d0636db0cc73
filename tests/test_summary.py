"""A run in a few lines says what it took, whether it got there or not."""

import pathlib

import pytest

from efficiency import records
from efficiency.summary import summary
from tests.analysis.conftest import BITS, BLEU, RETURN, make_record


def lines_of(record):
    lines = (line.strip().split('  ', 1) for line in summary(record, pathlib.Path('runs/x')).splitlines())
    return dict(lines)


def test_a_run_that_missed_its_target_says_what_it_took():
    lines = lines_of(make_record(accuracies=(0.1, 0.2, 0.3), target=0.8, macs_per_epoch=1000))
    assert lines['run'] == 'net on data, exhausted'
    assert lines['reached'] == 'no, up to step 30'
    assert lines['examples'] == '300, 3.00 epochs'
    assert lines['paper compute'].startswith('3000 macs')
    assert lines['train compute'].startswith('3000 macs')
    assert 'efficiency factor' not in lines


def test_a_run_with_padding_says_how_much_of_its_compute_was_of_real_tokens():
    record = make_record()
    (program,) = record['programs']
    assert 'of real tokens' not in lines_of(record)
    program |= {'padding_share': 0.25, 'train_unpadded_macs_per_step': program['train_dense_macs_per_step'] * 3 // 4}
    other = program | {'form': 1, 'steps': 3 * program['steps'], 'train_unpadded_macs_per_step': 0}
    record['programs'] = [program, other]
    records.validate(record)
    assert lines_of(record)['of real tokens'].startswith('0.188 ')  # 3/4 of a quarter
    del other['train_unpadded_macs_per_step']
    assert 'of real tokens' not in lines_of(record)


def test_a_run_without_evaluations_says_that_it_is_not_there():
    record = make_record() | {'status': 'running', 'curve': [], 'final': None}
    record |= {'first_crossing': None, 'interpolated_crossing': None}
    assert lines_of(record)['reached'] == 'no'


@pytest.mark.parametrize(
    ('metric', 'values', 'target', 'goal', 'final'),
    [
        (BLEU, (20.0, 27.345678), 27.3, 'bleu >= 27.3', 'bleu 27.346'),
        (BITS, (2.0, 1.2), 1.25, 'bits_per_byte <= 1.25', 'bits_per_byte 1.2'),
        (RETURN, (-900.0, -140.5), -150, 'return >= -150', 'return -140.5'),
    ],
)
def test_of_any_metric(metric, values, target, goal, final):
    record = make_record(accuracies=values, target=target, metric=metric)
    lines = lines_of(record)
    assert lines['target'] == f'{goal} on 10 examples'
    assert lines['reached'].startswith('at step 20')
    assert lines['final'] == f'{final}, loss 1.0000 at step 20'
    del record['dataset']['num_eval']
    assert lines_of(record)['target'] == goal
