"""Records whose steps take several forms, or whose data have no end, are checked as others are."""

import copy
import json

import pytest

from configs.games import alphago_zero, dqn
from efficiency import records
from efficiency.analysis.submission import check
from efficiency.training.loop import train
from tests.analysis.tampered import numbers, unnoticed
from tests.tasks.games import test_arcade_games, test_board_task
from tests.tasks.translation import synthetic

_ANY = {'raw_accuracy': 0.01, 'return': 0.01, 'bits_per_byte': 100.0}


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return synthetic.write_pairs(tmp_path_factory.mktemp('pairs') / 'data')


def short(name):
    """A run of some steps of two forms: a gate after every second, learning after the replay is warm, two buckets."""
    if name == 'translation':
        config = synthetic.config_of(num_epochs=2.0, eval_every=0.5)
        metric = 'bits_per_byte'
    elif name == 'board_games':
        config = test_board_task.small(alphago_zero, simulations=2, gate_every=2, gate_games=4, match_rollouts=0)
        metric = 'raw_accuracy'
    else:
        config, metric = test_arcade_games.small(dqn), 'return'
    config.target = {'metric': metric, 'value': _ANY[metric]}
    config.stop_at_target = False
    return config


@pytest.fixture(scope='module', params=['translation', 'board_games', 'arcade_games'])
def whole(request, data, tmp_path_factory):
    """A run's record, of a commit."""
    workdir = tmp_path_factory.mktemp(request.param) / 'run'
    train(short(request.param), workdir, data if request.param == 'translation' else None)
    record = records.read(workdir)
    assert records.task_of(record) == request.param
    assert len({program['form'] for program in record['programs']}) == 2
    return record | {'git': {'commit': 'a' * 40, 'dirty': False}}


def checked(tmp_path, record, data):
    """What is wrong with a record, but that so short a run may not have met its target."""
    path = tmp_path / 'run.json'
    path.write_text(json.dumps(record))
    return [problem for problem in check(path, data_dir=data) if 'no evaluation meets the target' not in problem]


def test_it_is_accepted(tmp_path, whole, data):
    assert checked(tmp_path, whole, data) == []


def test_steps_of_the_cheaper_form_in_place_of_the_dearer_are_said(tmp_path, whole, data):
    record = copy.deepcopy(whole)
    programs = sorted(record['programs'], key=lambda program: program['train_dense_macs_per_step'])
    assert programs[0]['train_dense_macs_per_step'] < programs[1]['train_dense_macs_per_step']
    programs[0]['steps'] += 1
    programs[1]['steps'] -= 1
    paper = 3 * programs[0]['batch_size'], 'forward_dense_macs_per_example'
    last = record['curve'][-1]
    for key, (times, each) in {
        'train_macs': (1, 'train_dense_macs_per_step'),
        'compiled_flops': (1, 'compiled_flops_per_step'),
        'paper_macs': paper,
    }.items():
        if last[key] is not None:
            last[key] += times * (programs[0][each] - programs[1][each])
    record['final'] = dict(last)
    problems = checked(tmp_path, record, data)
    assert any('steps of form' in problem for problem in problems), problems


@pytest.mark.parametrize('day', ['2001-01-01', None])
def test_another_day_or_none_is_said(tmp_path, whole, data, day):
    (problem,) = checked(tmp_path, whole | {'published': day}, data)
    assert f'published is {day}, and ' in problem


def test_another_unit_is_said(tmp_path, whole, data):
    problems = checked(tmp_path, whole | {'unit': 'rounds'}, data)
    # Of sentences there are epochs, which a record with a unit has not.
    words = "unit is 'rounds', and that of " if whole.get('unit') else "epochs is 0.5333333333333333, and unit 'rounds'"
    assert any(words in problem for problem in problems), problems


def test_other_parts_of_a_step_are_said(tmp_path, whole, data):
    record = copy.deepcopy(whole)
    program = record['programs'][0]
    program['parts'] = [] if program.get('parts') else [
        {'name': 'self-play', 'calls_per_step': 1, 'dense_macs_per_call': program['train_dense_macs_per_step'],
         'real_macs_per_call': program['train_real_macs_per_step']}
    ]  # fmt: skip
    problems = checked(tmp_path, record, data)
    assert any('programs[0].parts are ' in problem for problem in problems), problems


def test_a_curve_that_goes_on_for_ever_is_said_in_no_more_time(tmp_path, whole, data):
    record = copy.deepcopy(whole)
    record['config']['num_epochs'] = 10_000.0
    record['curve'][-1]['step'] = 10**12
    record['final'] = dict(record['curve'][-1])
    problems = checked(tmp_path, record, data)
    assert any('curve ends at step 1000000000000, and the programs took' in problem for problem in problems), problems


# Nobody but who trained can know, as of images; of an evaluation nobody knows when its sentences or games ended.
UNKNOWABLE = {
    'loss', 'bits_per_byte', 'bleu', 'chrf', 'lowered_flops_per_step', 'dense_macs', 'compile_seconds',
    'data_wait_seconds', 'evaluation_seconds', 'checkpoint_seconds', 'train_seconds',
}  # fmt: skip


def test_no_number_of_compute_can_be_ten_times_another(whole, data):
    kept = [
        place
        for place in numbers(whole)
        if place[0] not in ('metrics', 'config', 'test')
        and place[-1] not in UNKNOWABLE
        and (place[0] != 'curve' or place[1] == 0)
    ]
    assert len(kept) > 30
    assert unnoticed(whole, kept, data) == set()
