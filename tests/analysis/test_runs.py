"""Every record below a folder is used or listed with its reason, and a crossing is what the curve says."""

import json
import math
import os
import pathlib
import socket

import pytest

from efficiency.analysis.runs import Target, read_runs, shared_targets, systems
from efficiency.errors import UserError
from tests.analysis.conftest import TOP1, make_record

TARGET = Target('data', 'f' * 8, TOP1, 0.8)


def test_runs_of_one_recipe_are_one_system_by_seed(save):
    save('a', model='net', seed=1, accuracies=(0.9,), target=0.7)
    save('b', model='net', seed=0, accuracies=(0.5, 0.85), batch_size=8)
    folder = save('c', model='net', seed=0, accuracies=(0.8, 0.9))
    runs, left_out = read_runs(folder)
    assert not left_out
    one, other = systems(runs)
    assert [run.seed for run in one.runs] == [0]
    assert one.name == 'net (batch_size=8)'
    assert [run.seed for run in other.runs] == [0, 1]
    assert [crossing.epochs for _, crossing in other.crossings(TARGET)] == [1, 1]
    assert [crossing.train_macs for _, crossing in one.crossings(TARGET)] == [2000]


def test_a_run_that_ended_below_the_target_never_reached_it_and_one_that_was_stopped_takes_more(save):
    save('ended', model='a', accuracies=(0.5, 0.6), stop=True)
    save('to-the-end', model='b', accuracies=(0.75, 0.7), target=0.7)
    save('stopped', model='c', accuracies=(0.6, 0.75), target=0.7, stop=True)
    save('met-it-last', model='d', accuracies=(0.6, 0.75), target=0.7, stop=True, num_epochs=2.0)
    folder = save('before-its-end', model='e', accuracies=(0.6, 0.75), target=0.7, stop=True, num_epochs=3.0)
    crossings = {system.model: system.crossings(TARGET)[0][1] for system in systems(read_runs(folder)[0])}
    assert [crossings[model].train_macs for model in 'abcde'] == [math.inf, math.inf, 2000, math.inf, 2000]
    assert [crossings[model].censored for model in 'abcde'] == [False, False, True, False, True]
    assert not any(crossing.reached for crossing in crossings.values())


def test_what_cannot_be_used_is_listed_with_its_reason(save):
    folder = save('good', seed=0)
    save('same', seed=0)
    for name, change in {
        'running': {'status': 'running'},
        'failed': {'status': 'failed', 'failure': 'no'},
        'schema': {'schema_version': 2},
        'number': {'seed': 'x'},
    }.items():
        record = make_record(seed=1) | change
        (folder / f'{name}.json').write_text(json.dumps(record))
    (folder / 'cut.json').write_text('{"schema_version": 1')
    (folder / 'list.json').write_text('[]')
    (folder / 'bytes.json').write_bytes(b'\xff\xfe\x00')
    (folder / 'good' / 'checkpoints').mkdir()
    (folder / 'good' / 'checkpoints' / 'progress.json').write_text('{}')
    runs, left_out = read_runs(folder)
    assert len(runs) == 1
    reasons = {entry.path.rsplit('/', 1)[1]: entry.reason for entry in left_out}
    assert len(left_out) == 8
    assert 'incomplete' in reasons['running.json']
    assert 'failed' in reasons['failed.json']
    assert 'schema_version' in reasons['schema.json']
    assert 'seed' in reasons['number.json']
    assert 'same recipe and seed' in reasons['run.json']
    assert all('not JSON' in reasons[name] for name in ('cut.json', 'bytes.json'))
    assert not any(str(folder) in reason for name, reason in reasons.items() if name != 'run.json')


def test_targets_are_those_that_two_networks_share(save):
    save('a', model='a', target=0.7)
    save('b', model='b', target=0.7)
    folder = save('c', model='c', target=0.8)
    assert [target.value for target in shared_targets(read_runs(folder)[0])] == [0.7]
    only = [run for run in read_runs(folder)[0] if run.model == 'c']
    assert [target.value for target in shared_targets(only)] == [0.8]


def test_a_folder_without_records_is_said_so(tmp_path):
    with pytest.raises(UserError, match='no file'):
        read_runs(tmp_path)
    with pytest.raises(UserError, match='no folder'):
        read_runs(tmp_path / 'x')


def test_what_is_no_regular_file_is_left_out_with_its_reason_and_never_waited_for(save):
    folder = save('good', model='a', accuracies=(0.9,))
    os.mkfifo(folder / 'pipe.json')
    (folder / 'device.json').symlink_to('/dev/zero')
    (folder / 'loop.json').symlink_to('loop.json')
    (folder / 'nowhere.json').symlink_to('absent')
    (folder / 'folder.json').mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(folder / 'socket.json'))
    with open(folder / 'huge.json', 'wb') as file:
        file.truncate(10**12)
    runs, left_out = read_runs(folder)
    assert [run.model for run in runs] == ['a']
    reasons = {os.path.basename(entry.path): entry.reason for entry in left_out}
    assert all('no regular file' in reasons[f'{name}.json'] for name in ('pipe', 'device', 'socket'))
    assert 'symbolic links' in reasons['loop.json']
    assert 'No such file' in reasons['nowhere.json']
    assert 'is a folder' in reasons['folder.json']
    assert '1,000,000,000,000 bytes' in reasons['huge.json']
    assert len(reasons) == 7


def test_what_only_a_hash_would_tell_apart_is_called_as_its_study_does(save):
    groups = {'plain': [{'params': 'bias'}], 'muon': [{'params': 'bias', 'name': 'muon'}, {'params': 'kernel'}]}
    for name, own in groups.items():
        folder = save(name, model='net', optimizer={'name': 'sgd', 'groups': own})
    runs, _ = read_runs(folder)
    assert all(
        'optimizer.groups=hash ' in system.name for system in systems(runs) if 'muon' in str(system.runs[0].path)
    )
    for run in runs:
        object.__setattr__(run, 'system', pathlib.Path(run.path).parent.name)
    assert [system.name for system in systems(runs)] == ['net (muon)', 'net (plain)']
    # What two systems are called is no name.
    object.__setattr__(runs[0], 'system', runs[1].system)
    assert all('optimizer.groups=' in system.name for system in systems(runs))


def test_another_network_of_many_settings_changes_no_name(save):
    for name, rate in (('slow', 0.1), ('fast', 0.2)):
        save(name, model='net', learning_rate=rate)
    for name, size in (('small', 1), ('large', 2)):
        folder = save(name, model='other', depth=size, width=size, heads=size)
    runs, _ = read_runs(folder)
    for run in runs:
        object.__setattr__(run, 'system', pathlib.Path(run.path).parent.name)
    assert [system.name for system in systems(runs)] == [
        'net (learning_rate=0.1)', 'net (learning_rate=0.2)', 'other (large)', 'other (small)',
    ]  # fmt: skip


def test_what_many_settings_would_tell_apart_is_called_as_its_study_does(save):
    sizes = {'small': (1, 8, 2), 'large': (2, 16, 4)}
    for name, (layers, width, heads) in sizes.items():
        folder = save(name, model='net', depth=layers, width=width, heads=heads)
    runs, _ = read_runs(folder)
    assert 'net (depth=1, heads=2, width=8)' in [system.name for system in systems(runs)]
    for run in runs:
        object.__setattr__(run, 'system', pathlib.Path(run.path).parent.name)
    assert [system.name for system in systems(runs)] == ['net (large)', 'net (small)']


def test_what_learns_without_end_is_called_by_how_it_learns(save):
    learners = {'dqn': {'updates': 8}, 'dqn_every_4_frames': {'updates': 2}, 'pqn': {'updates': 64}}
    for name, own in learners.items():
        folder = save(name, model='net', learner=name[:3], **own)
    runs, _ = read_runs(folder)
    assert {system.name.split()[0] for system in systems(runs)} == {'net'}
    for run in runs:
        object.__setattr__(run, 'unit', 'frames')
    assert [system.name for system in systems(runs)] == ['dqn (updates=2)', 'dqn (updates=8)', 'pqn']
    for run in runs:
        object.__setattr__(run, 'system', pathlib.Path(run.path).parent.name)
        run.config['n_step'], run.config['double'] = len(run.system), run.system
    assert [system.name for system in systems(runs)] == ['dqn', 'dqn (dqn_every_4_frames)', 'pqn']
