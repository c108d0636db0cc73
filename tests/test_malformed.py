"""Whatever a config, a flag or a record holds: one sentence, and never a trace."""

import functools
import json
import operator
import os
import pathlib
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import efficiency
from efficiency import records
from efficiency.analysis.submission import check
from efficiency.metrics import OF_CLASSES
from efficiency.summary import summary
from tests.commands import Commands
from tests.conftest import ROOT
from tests.training.several import image_tree

RECORD = ROOT / 'results' / 'mnist5k' / 'shufflenet_v1_x1_0' / 'seed0.json'
MANY = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
# Text that can stand on a command line and in a file.
TEXT = st.text(st.characters(codec='utf-8', exclude_characters='\0'), max_size=12)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.sampled_from([10**400, -(10**400), 0, 1, 2**63]) | st.floats() | TEXT
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=4)
KEYS = [
    'augmentation', 'batch_size', 'dataset', 'eval_batch_size', 'eval_every', 'eval_split', 'gradient_clip_norm',
    'image_size', 'init_from', 'learning_rate', 'model', 'model.name', 'num_epochs', 'optimizer',
    'optimizer.momentum', 'optimizer.name', 'precision', 'schedule', 'seed', 'stop_at_target', 'target',
    'target.metric', 'target.value', 'train_split', 'warmup_epochs', 'weight_decay',
]  # fmt: skip


@pytest.fixture(scope='module')
def commands():
    server = Commands()
    yield server
    server.close()


def assert_one_sentence(done):
    assert 'Traceback' not in done.output, done.output
    assert done.code in (0, 2), done
    if done.code == 2:
        lines = [line for line in done.output.splitlines() if not line.startswith(('W', 'I'))]
        assert lines[0].startswith('efficiency: ')
        assert len(lines) == 1, done.output


@given(
    overrides=st.lists(st.tuples(st.sampled_from(KEYS) | TEXT, SCALARS.map(str) | TEXT), min_size=1, max_size=3),
    preset=st.sampled_from(['', '', '', ':cifar1', ':no such', ':']) | TEXT.map(lambda text: f':{text}'),
)
@MANY
def test_200_malformed_command_lines(overrides, preset, commands, tmp_path):
    args = [f'--config.{key}={value}' for key, value in overrides]
    done = commands.run(f'--config=configs/shufflenet.py{preset}', f'--workdir={tmp_path / "run"}', *args)
    assert_one_sentence(done)
    assert not (tmp_path / 'run').exists()


@given(
    changes=st.lists(st.tuples(st.sampled_from(KEYS) | TEXT, VALUES | st.just(...)), min_size=1, max_size=3),
    returned=st.sampled_from(['config', 'config', 'config', 'config', 'config.to_dict()', 'None', '7', 'get_config']),
)
@MANY
def test_200_malformed_config_files(changes, returned, commands, tmp_path):
    lines = ['from ml_collections import ConfigDict', 'from configs import common', 'inf = nan = float("nan")', '']
    lines += ['def get_config(preset=None):', '    plain = common.paper_recipe("alexnet", preset, 0.01).to_dict()']
    for key, value in changes:
        *section, name = key.split('.')
        holder = 'plain' + ''.join(f'[{part!r}]' for part in section)
        lines.append(f'    {holder}.pop({name!r}, None)' if value is ... else f'    {holder}[{name!r}] = {value!r}')
    lines += ['    config = ConfigDict(plain)', f'    return {returned}']
    path = tmp_path / 'malformed.py'
    path.write_text('\n'.join(lines), encoding='utf-8')
    assert_one_sentence(commands.run(f'--config={path}', f'--workdir={tmp_path / "run"}'))
    assert not (tmp_path / 'run').exists()


def paths_of(value, path=()):
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from paths_of(value[key], (*path, key))


WHOLE = json.loads(RECORD.read_text())
WHOLE['code'] = {'initial_sha256': 'a', 'init_from_sha256': None, 'own_files': {'config_config': 'b'}}
WHOLE['metrics'] = {name: metric.to_dict() for name, metric in OF_CLASSES.items()}
WHOLE['programs'][-1]['traced'] = dict.fromkeys(('step_sha256', 'forward_sha256', 'traced_by'), 'c')
PATHS = [path for path in paths_of(WHOLE) if path]
# Of a network that is quickly counted; what a record says of its curve and of versions is like enough.
SMALL = json.loads((ROOT / 'results' / 'mnist5k' / 'lenet5' / 'seed0.json').read_text())
SMALL |= {'task': 'images', 'metrics': WHOLE['metrics']}
SMALL_PATHS = [path for path in paths_of(SMALL) if path and path[0] not in ('curve', 'versions')]


@given(changes=st.lists(st.tuples(st.sampled_from(PATHS), VALUES | st.just(...)), min_size=1, max_size=3))
@MANY
def test_200_malformed_records(changes, commands, tmp_path):
    record = json.loads(json.dumps(WHOLE))
    for (*holders, name), value in changes:
        holder = record
        try:
            for key in holders:
                holder = holder[key]
            if value is ...:
                del holder[name]
            else:
                holder[name] = value
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took the place away
    (tmp_path / 'run.json').write_text(json.dumps(record))
    assert_one_sentence(commands.run('--config=configs/shufflenet.py', f'--workdir={tmp_path}'))
    with pytest.raises((records.RecordError, FileNotFoundError)):
        efficiency.load_run(tmp_path)
    try:
        read = records.read(tmp_path)
    except records.RecordError:
        return
    assert summary(read, tmp_path)


@given(changes=st.lists(st.tuples(st.sampled_from(SMALL_PATHS), VALUES | st.just(...)), min_size=1, max_size=2))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_60_malformed_submissions(changes, tmp_path):
    record = json.loads(json.dumps(SMALL))
    for (*holders, name), value in changes:
        try:
            holder = functools.reduce(operator.getitem, holders, record)
            if value is ...:
                del holder[name]
            else:
                holder[name] = value
        except (KeyError, IndexError, TypeError):
            continue
    (tmp_path / 'run.json').write_text(json.dumps(record))
    problems = check(tmp_path / 'run.json')
    assert all(problem.startswith('run.json: ') and '\n' not in problem for problem in problems)


def _tools_folder(tree):
    (tree / 'train' / '@eaDir').mkdir()
    return '@eaDir'


def _loop(tree):
    (tree / 'val' / 'class0' / 'again').symlink_to('..')
    return 'class0/again'


def _pipe(tree):
    os.mkfifo(tree / 'train' / 'class1' / 'pipe.png')
    return 'class1/pipe.png'


def _one_class_less(tree):
    shutil.rmtree(tree / 'val' / 'class1')
    return 'no class class1'


@pytest.mark.parametrize('spoil', [_tools_folder, _loop, _pipe, _one_class_less])
def test_a_folder_of_images_that_would_be_read_wrongly(spoil, commands, tmp_path):
    names = spoil(image_tree(tmp_path / 'tree', 2))
    args = ['--config=configs/lenet5.py:foo', '--config.image_size=32', '--config.target.value=0.9']
    done = commands.run(*args, f'--data_dir={tmp_path / "tree"}', f'--workdir={tmp_path / "run"}')
    assert_one_sentence(done)
    assert done.code == 2
    assert names in done.output
    assert not (tmp_path / 'run').exists()


@given(st.binary(max_size=300))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_of_any_bytes_is_no_record(tmp_path, content):
    (tmp_path / 'run.json').write_bytes(content)
    with pytest.raises(records.RecordError):
        records.read(tmp_path)


def test_names_in_a_record_are_never_followed_as_paths(tmp_path, commands):
    secret = tmp_path / 'secret'
    secret.mkdir()
    (secret / 'run.json').write_text('{}')
    record = json.loads(RECORD.read_text())
    workdir = tmp_path / 'run'
    workdir.mkdir()
    shutil.copy(RECORD, workdir / 'run.json')
    for path in (('model',), ('dataset', 'name'), ('config', 'model', 'name'), ('config', 'dataset'), ('failure',)):
        changed = json.loads(json.dumps(record))
        holder = changed
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = str(secret)
        (workdir / 'run.json').write_text(json.dumps(changed))
        with pytest.raises((records.RecordError, FileNotFoundError)) as error:
            efficiency.load_run(workdir)
        assert 'secret/' not in str(error.value)
        assert_one_sentence(commands.run('--config=configs/shufflenet.py', f'--workdir={workdir}'))
    assert sorted(path.name for path in secret.iterdir()) == ['run.json']
    assert pathlib.Path(secret, 'run.json').read_text() == '{}'
