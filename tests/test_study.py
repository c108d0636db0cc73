"""A study makes what is missing by the main command, and says what there is, what it says and what it cost."""

import json
import os
import pathlib
import signal
import time

import pytest

from efficiency import records, study
from efficiency.studies.answer import comparison
from efficiency.studies.choice import lowest_median_compute
from efficiency.studies.definition import Study, System, read_study
from efficiency.studies.order import expected_macs
from efficiency.studies.state import State, diverged
from tests.analysis.conftest import make_record
from tests.conftest import ROOT
from tests.main_process import NOT_FORKED
from tests.study_command import LENET, TUNE, listed, run, start, written


def billed(output):
    """Runs, train macs and evaluation macs of each line of the bill."""
    table = output.split('bill ')[1].splitlines()[1:4]
    return {words[0]: [int(word.replace(',', '')) for word in words[1:4]] for words in map(str.split, table)}


def processes_of(folder):
    """Ids of the processes whose command line names a folder."""
    found = []
    for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
        try:
            if str(folder).encode() in path.read_bytes() and int(path.parent.name) != os.getpid():
                found.append(int(path.parent.name))
        except OSError:  # it has ended
            continue
    return found


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'it has taken too long'
        time.sleep(0.05)


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """A study of a run that ends well and two that fail, made once: its file, and what the command said."""
    too_high = {'learning_rate': 1e30, 'gradient_clip_norm': 0.0}
    path = written(
        tmp_path_factory.mktemp('made'), 'three', baseline='good', seeds=[7], overrides={'num_epochs': 0.1},
        systems={
            'good': LENET,
            'diverges': LENET | {'overrides': too_high},
            'refused': LENET | {'overrides': {'schedule': 'cosin'}},
        },
    )  # fmt: skip
    return path, run(path, '--jobs=2', '--log=tensorboard')


def test_a_run_that_fails_stops_no_other_and_is_told_with_its_reason(made):
    path, done = made
    assert done.returncode == 1
    assert '2 of 3 runs are not done, diverges/seed7, refused/seed7' in done.stderr
    assert 'Traceback' not in done.stderr
    states = listed(path)
    assert states['good/seed7'] == ['done', 'exhausted']
    assert ' '.join(states['diverges/seed7']).startswith('failed the loss is')
    assert diverged(records.read(path.parent / 'runs' / 'three' / 'diverges' / 'seed7'))
    assert not diverged(make_record() | {'status': 'failed', 'failure': 'example 3 of the split train cannot be read'})
    assert ' '.join(states['refused/seed7']).startswith("failed no schedule is named 'cosin'")


def test_a_kept_record_is_the_runs_own_and_names_its_study(made):
    path, _ = made
    kept = records.read(path.parent / 'results' / 'three' / 'good' / 'seed7.json')
    own = records.read(path.parent / 'runs' / 'three' / 'good' / 'seed7')
    assert kept.pop('study') == {'name': 'three', 'system': 'good', 'role': 'baseline'}
    assert kept == own
    assert sorted(os.listdir(path.parent / 'results' / 'three')) == ['good']


def test_runs_keep_the_logs_that_are_asked_for(made):
    path, _ = made
    assert len(list((path.parent / 'runs' / 'three' / 'good' / 'seed7').glob('events.out.tfevents.*'))) == 1


def test_a_run_is_that_of_the_main_command(made, run_main, tmp_path):
    path, _ = made
    args = ['--config=configs/lenet5.py', f'--workdir={tmp_path}', '--config.seed=7', '--config.num_epochs=0.1']
    assert run_main(*args, env=NOT_FORKED).returncode == 0
    by_study, by_hand = map(records.read, (path.parent / 'runs' / 'three' / 'good' / 'seed7', tmp_path))
    timed = ('clock', 'throughput', 'curve', 'final')
    assert {k: v for k, v in by_study.items() if k not in timed} == {k: v for k, v in by_hand.items() if k not in timed}
    assert by_study['final']['loss'] == by_hand['final']['loss']


def test_the_bill_is_of_all_runs_failed_ones_too(made):
    path, done = made
    good, diverged = (records.read(path.parent / 'runs' / 'three' / name / 'seed7') for name in ('good', 'diverges'))
    # 13 steps of 32 images at 1,104,120 macs; one evaluation of 1,000 at 454,440.
    assert records.spent(good) == (13 * 32 * 1_104_120, 1000 * 454_440)
    train, evaluation = (a + b for a, b in zip(records.spent(good), records.spent(diverged), strict=True))
    assert records.spent(diverged)[0] > 0
    assert billed(done.stdout) == {
        'systems': [2, train, evaluation],
        'tuning': [0, 0, 0],
        'all': [2, train, evaluation],
    }


def test_started_again_it_makes_only_what_is_missing(made):
    path, _ = made
    workdir, kept = path.parent / 'runs' / 'three' / 'good', path.parent / 'results' / 'three' / 'good' / 'seed7.json'

    def state():
        return {file: file.stat().st_mtime_ns for file in workdir.rglob('*')}

    before, content = state(), kept.read_bytes()
    kept.unlink()
    again = run(path, '--only=good')
    assert (again.returncode, again.stderr) == (0, '')
    assert kept.read_bytes() == content
    assert state() == before


def test_a_signal_stops_the_runs_which_save_and_are_gone_on_with(tmp_path):
    overrides = {'num_epochs': 8.0, 'target.value': 1.0}
    path = written(tmp_path, seeds=[0], overrides=overrides, systems={'long': LENET})
    workdir = tmp_path / 'runs' / 'small' / 'long' / 'seed0'

    def checkpoints():
        return [int(file.name) for file in workdir.glob('checkpoints/*') if file.name.isdigit()]

    process = start(path)
    wait_until(checkpoints)
    assert listed(path)['long/seed0'][0] == 'running'
    process.kill()  # which nothing can catch: the run is told by the kernel
    process.wait()
    wait_until(lambda: not processes_of(workdir))
    at = max(checkpoints())
    process = start(path)
    wait_until(lambda: max(checkpoints()) > at)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert 'the same command goes on' in errors
    assert not processes_of(workdir)
    assert listed(path)['long/seed0'][0] == 'stopped'
    assert run(path).returncode == 0
    record = records.read(tmp_path / 'results' / 'small' / 'long' / 'seed0.json')
    assert (record['status'], len(record['resumed_from_steps'])) == ('exhausted', 2)


def test_a_setting_is_chosen_by_tuning_runs_and_measured_by_others(tmp_path):
    tune = TUNE | {'settings': {'learning_rate': [0.02, 0.03]}}
    systems = {'plain': LENET, 'tuned': LENET | {'tune': tune}}
    path = written(tmp_path, baseline='plain', seeds=[0], overrides={'num_epochs': 0.05}, systems=systems)
    assert ' '.join(listed(path)['tuned/seed0']) == 'missing waits for tuning'
    assert 'tuned' not in run(path, '--list', '--only=plain').stdout.partition('\n\n')[0]
    done = run(path, '--jobs=2')
    assert done.returncode == 0, done.stderr
    assert done.stderr.index('tuned-learning_rate=0.03/seed1: done') < done.stderr.index('tuned/seed0 has begun')
    found = {
        p.relative_to(tmp_path / 'results' / 'small'): records.read(p) for p in tmp_path.glob('results/*/*/*.json')
    }
    roles = {str(name): record['study']['role'] for name, record in found.items()}
    assert roles == {
        'plain/seed0.json': 'baseline',
        'tuned/seed0.json': 'compared',
        'tuned-learning_rate=0.02/seed1.json': 'tuning',
        'tuned-learning_rate=0.03/seed1.json': 'tuning',
    }
    # Neither gets to the target, so the better at the end is chosen.
    finals = {
        r['config']['learning_rate']: r['final']['top1'] for r in found.values() if r['study']['role'] == 'tuning'
    }
    chosen = found[pathlib.Path('tuned/seed0.json')]['config']['learning_rate']
    assert finals[chosen] == max(finals.values())
    assert f'tuned-learning_rate={chosen} was chosen among 2 by lowest median compute to target' in done.stdout
    assert [row[0] for row in billed(done.stdout).values()] == [2, 2, 4]


def test_a_key_of_a_group_is_tuned_too(tmp_path):
    key = 'optimizer.groups[1].learning_rate'
    system = {'config': 'configs/speedrun/airbench94.py:mnist5k', 'tune': TUNE | {'settings': {key: [0.5, 1.5]}}}
    study = read_study(str(written(tmp_path, seeds=[0], systems={'a': system})))
    assert {each.name: each.settled['optimizer']['groups'][1]['learning_rate'] for each in study.fixed} == {
        'a-optimizer.groups.1.learning_rate=0.5': 0.5,
        'a-optimizer.groups.1.learning_rate=1.5': 1.5,
    }


def test_the_rule_takes_the_lowest_median_and_those_that_never_get_there_last():
    def runs(*finals, macs):
        return [make_record(accuracies=(0.1, final), macs_per_epoch=macs, target=0.8) for final in finals]

    assert lowest_median_compute({'a': runs(0.9, 0.9, macs=1000), 'b': runs(0.9, 0.9, macs=500)}) == 'b'
    # Two of three never get there: the median is infinite, however cheap the third.
    assert lowest_median_compute({'a': runs(0.9, 0.9, 0.9, macs=1000), 'b': runs(0.9, 0.5, 0.5, macs=10)}) == 'a'
    assert lowest_median_compute({'a': runs(0.5, macs=10), 'b': runs(0.7, macs=1000)}) == 'b'
    failed = [run | {'status': 'failed', 'first_crossing': None} for run in runs(0.75, macs=10)]
    assert lowest_median_compute({'a': failed, 'b': runs(0.2, macs=1000)}) == 'b'


def test_a_factor_is_of_medians_and_its_interval_of_resampled_seeds():
    def system(name, role, macs, *curves):
        found = System(name, 'net.py', {}, range(len(curves)), role, {})
        each = [make_record(accuracies=curve, macs_per_epoch=macs) for curve in curves]
        return found, [State(run, 'done', '', record) for run, record in zip(found.runs(), each, strict=True)]

    plain = system('plain', 'baseline', 1000, (0.1, 0.9), (0.9,), (0.1, 0.1, 0.9))  # 2,000, 1,000 and 3,000 macs
    other = system('other', 'compared', 100, (0.9,), (0.1, 0.9), (0.1, 0.1, 0.1))  # 100, 200 and never
    tried = system('tried', 'tuning', 1, (0.9,))
    systems, states = [plain[0], other[0], tried[0]], [*plain[1], *other[1], *tried[1]]
    (rows,) = comparison(Study('small', 'plain', systems), systems, states).values()
    assert [(row['system'], row['reached'], row['train_macs'], row['of_seeds']) for row in rows] == [
        ('other', '2 of 3', '200', '[100, never]'),
        ('plain', '3 of 3', '2,000', '[1,000, 3,000]'),
    ]
    # With 3 seeds, 1 resample in 4 has a median that is the largest of them, here "never", and as many the smallest.
    assert [row['factor'] for row in rows] == ['10.0 [0, 30.0]', '1.00 [1.00, 1.00]']
    assert [row['stopped'] for row in rows] == [None, None]


@pytest.fixture
def of_one_setting(tmp_path):
    """A study whose rule can choose only what another system is, and whose records are there."""
    tune = TUNE | {'settings': {'learning_rate': [0.01]}}
    path = written(tmp_path, seeds=[0], systems={'plain': LENET, 'tuned': LENET | {'tune': tune}})
    for name, seed in (('plain', 0), ('tuned-learning_rate=0.01', 1)):
        record = json.loads((ROOT / 'results' / 'mnist5k' / 'lenet5' / f'seed{seed}.json').read_text())
        record['config']['stop_at_target'] = True
        kept = tmp_path / 'results' / 'small' / name / f'seed{seed}.json'
        kept.parent.mkdir(parents=True)
        kept.write_text(json.dumps(record))
    return path


def test_where_the_rule_chooses_what_another_system_is_its_runs_are_that_ones(of_one_setting, tmp_path):
    done = run(of_one_setting)
    assert (done.returncode, done.stderr) == (0, '')
    assert not (tmp_path / 'runs').exists()
    assert not (tmp_path / 'results' / 'small' / 'tuned').exists()


def test_the_code_is_looked_at_of_what_is_asked_for_and_of_what_its_setting_is_chosen_by(of_one_setting, monkeypatch):
    looked_at = []
    monkeypatch.setattr(
        'efficiency.studies.state.check_finished', lambda record, *_: looked_at.append(record['config']['seed'])
    )
    folder = of_one_setting.parent
    command = [f'--study={of_one_setting}', f'--results={folder}/results', f'--runs={folder}/runs', '--list']
    for more, seeds in ([], {0, 1}), (['--only=plain'], {0}), (['--only=tuned'], {1}), (['--changed_code'], set()):
        looked_at.clear()
        assert study.main([*command, *more]) == 0
        assert set(looked_at) == seeds, more


def test_what_a_system_will_take_is_the_count_of_its_steps(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    systems = {'whole': LENET | {'seeds': [0]}, 'again': LENET | {'seeds': [1]}}
    found = read_study(str(written(tmp_path, systems=systems)))
    took = records.spent(records.read(ROOT / 'results' / 'mnist5k' / 'lenet5' / 'seed0.json'))[0]
    assert dict(expected_macs(found.fixed, [], None)) == {'whole': took, 'again': took}
    monkeypatch.setattr('efficiency.studies.order.ProcessPoolExecutor', None)  # the second time it is remembered
    assert dict(expected_macs(found.fixed, [], None)) == {'whole': took, 'again': took}


@pytest.mark.parametrize('name', ['mnist5k', 'learning_rate'])
def test_the_kept_records_are_those_of_the_studies(name, capsys):
    assert study.main([f'--study={ROOT / "studies" / name}.py', f'--results={ROOT / "results"}', '--list']) == 0
    lines = [line.split() for line in capsys.readouterr().out.split('\n\n')[0].splitlines()[1:]]
    done = [words[0] for words in lines if words[2] == 'done']
    kept = sorted((ROOT / 'results' / name).rglob('*.json'))
    assert sorted(done) == sorted(str(path.relative_to(ROOT / 'results' / name).with_suffix('')) for path in kept)
    for words in lines:
        if words[2] == 'done':
            record = records.read(ROOT / 'results' / name / f'{words[0]}.json')
            assert record['study'] == {'name': name, 'system': words[0].split('/')[0], 'role': words[1]}
