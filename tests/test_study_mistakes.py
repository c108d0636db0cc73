"""What is wrong with a study, its command or its folders is one sentence, and what lies there is let be."""

import json

import pytest

from efficiency import study
from efficiency.training.workdir import locked
from tests.conftest import ROOT
from tests.study_command import LENET, TUNE, listed, run, written


def one(**system):
    return {'seeds': [0], 'systems': {'a': LENET | system}}


@pytest.mark.parametrize(
    ('content', 'says'),
    [
        ('', 'must have a function get_study()'),
        ('def get_study(:', 'line 1: invalid syntax'),
        ('def get_study():\n    return {}[1]', 'line 2: KeyError: 1'),
        ([], 'the study is []; it must be a dict'),
        ({'sytems': {}}, "no key of the study is named 'sytems'; the nearest are systems"),
        ({'systems': {}}, 'systems is {}; it must be a dict of systems'),
        (one() | {'baseline': 'lenet5'}, "no system is named 'lenet5'"),
        (one(sede=1), "system 'a': no key of it is named 'sede'; the nearest are seeds"),
        (one(config='configs/lenet.py'), 'no config file configs/lenet.py; in configs there are lenet5.py'),
        (one(overrides={'batch_sise': 3}), 'no key batch_sise; did you mean batch_size'),
        (one(overrides={'batch_size': 'many'}), 'config.batch_size must be a whole number'),
        (one(overrides={'learning_rate': None}), 'learning_rate'),
        (one(overrides={'seed': 1}), 'without the seed'),
        (one(seeds=3), 'seeds is 3; it must be whole numbers from 0 to 2147483647, each once, as range(3)'),
        (one(seeds=[1, 1]), 'each once'),
        (one(seeds=[True]), 'whole numbers'),
        ({'seeds': [0], 'systems': {'a/b': {}}}, "system 'a/b': its name cannot be that of a folder"),
        ({'seeds': [0], 'systems': {'..': {}}}, 'cannot be that of a folder'),
        ({'baseline': 'b', 'systems': {'a': LENET, 1: LENET}}, "no system is named 'b'; there are 1, a"),
        (one(tune=TUNE | {'rule': 'best'}), "no rule is named 'best'"),
        (one(tune=TUNE | {'rules': 1}), "no key of tune is named 'rules'; the nearest are rule"),
        (one(tune=TUNE | {'seeds': [0]}), 'seed 0 is in seeds and in tune.seeds'),
        (one(tune=TUNE | {'settings': {'learning_rate': 0.1}}), 'config keys with values to choose from'),
        (one(tune=TUNE | {'settings': {'init_from': ['a/b']}}), 'cannot be that of a folder'),
        (one() | {'systems': {'a': LENET, 'b': dict(LENET)}}, 'a/seed0 and b/seed0 are the same run'),
        (one() | {'systems': {'a': LENET, 'A': {'config': 'configs/alexnet.py'}}}, "two systems are named 'A'"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_study_is_one_sentence(tmp_path, capsys, content, says):
    path = tmp_path / 'wrong.py'
    path.write_text(content if isinstance(content, str) else f'def get_study():\n    return {content!r}\n')
    assert_mistake(capsys, [f'--study={path}'], says)


@pytest.mark.parametrize(
    ('args', 'says'),
    [
        ([], 'which study? Pass one with --study'),
        (['--study=studies/mnist.py'], 'no study file studies/mnist.py; in studies there are alexnet_level.py'),
        (['--study=studies/mnist5k.py', '--only=lenet4*'], "--only='lenet4*' matches no run and no system"),
        (['--study=studies/mnist5k.py', '--jobs=0'], '--jobs=0 is not a whole number, 1 or more'),
        (['--study=studies/mnist5k.py', '--jobs=two'], '--jobs=two is not a whole number'),
        (['--study=studies/mnist5k.py', '--engine=slurn'], "no engine is named 'slurn'; the nearest are slurm"),
        (['--study=studies/mnist5k.py', '--log=tensorbord'], "no log is named 'tensorbord'; the nearest are"),
        (['--study=studies/mnist5k.py', '--engine_options=--gpus=1'], 'are for --engine=slurm or ray'),
        (['--study=studies/mnist5k.py', '--engine=ray', '--engine_options=num_gpu=1'], 'the nearest are num_gpus'),
        (['--study=studies/mnist5k.py', '--lst'], 'unrecognized arguments: --lst'),
    ],
)
def test_a_mistake_in_the_command_is_one_sentence(capsys, monkeypatch, args, says):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: True)
    assert_mistake(capsys, args, says)


@pytest.mark.parametrize(('engine', 'says'), [('slurm', 'whose sbatch is not installed'), ('ray', 'pip install')])
def test_an_engine_that_is_not_installed_is_said_so(capsys, monkeypatch, engine, says):
    monkeypatch.setattr('shutil.which', lambda name: None)
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    assert_mistake(capsys, ['--study=studies/mnist5k.py', f'--engine={engine}'], says)


def assert_mistake(capsys, args, says):
    assert study.main(args) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.startswith('efficiency: ')
    assert len(error.splitlines()) == 1, error


@pytest.mark.parametrize('where', ['results/small/a/seed0.json', 'runs/small/a/seed0/run.json'])
def test_a_record_of_another_config_is_left_alone(tmp_path, capsys, where):
    path, kept = written(tmp_path, **one()), tmp_path / where
    kept.parent.mkdir(parents=True)
    record = (ROOT / 'results' / 'mnist5k' / 'shufflenet_v1_x1_0' / 'seed0.json').read_bytes()
    folders = [f'--study={path}', f'--runs={tmp_path / "runs"}', f'--results={tmp_path / "results"}']
    for content, says in (
        (record, 'differs in learning_rate, model.name, stop_at_target'),
        (b'{}', 'not a run record'),
    ):
        kept.write_bytes(content)
        for more in ([], ['--list']):
            assert_mistake(capsys, [*folders, *more], says)
        assert kept.read_bytes() == content


def test_a_run_that_another_process_trains_is_running_and_let_be(tmp_path):
    path = written(tmp_path, **one())
    with locked(tmp_path / 'runs' / 'small' / 'a' / 'seed0'):
        assert listed(path)['a/seed0'][0] == 'running'
        done = run(path)
    assert done.returncode == 1
    assert done.stderr.startswith('efficiency: 1 of 1 runs are not done, a/seed0: the first is run by another command')


@pytest.mark.parametrize('option', ['runs', 'results'])
def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path, capsys, option):
    path = written(tmp_path, **one())
    (tmp_path / 'file').write_text('')
    workdir = tmp_path / 'runs' / 'small' / 'a' / 'seed0'
    workdir.mkdir(parents=True)
    record = json.loads((ROOT / 'results' / 'mnist5k' / 'lenet5' / 'seed0.json').read_text())
    record['config']['stop_at_target'] = True
    (workdir / 'run.json').write_text(json.dumps(record))
    folders = {'runs': tmp_path / 'runs', 'results': tmp_path / 'results'} | {option: tmp_path / 'file'}
    args = [f'--study={path}', *(f'--{name}={folder}' for name, folder in folders.items())]
    assert_mistake(capsys, args, f'take another folder for --{option}')
