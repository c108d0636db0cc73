"""What a config is called, and which runs are of it."""

import json
import shutil

import pytest
from ml_collections import ConfigDict

from efficiency import records
from efficiency.config_file import read_config
from efficiency.errors import UserError
from efficiency.training.identity import differing_keys, run_name
from efficiency.training.settings import check_config
from tests.conftest import ROOT

# A record of when configs still held modes of the command, and the folder that its run had by default.
OLD, OLD_NAME = ROOT / 'results' / 'learning_rate' / 'tuned' / 'seed1.json', 'lenet5-mnist5k-ccde911e-s1'


@pytest.mark.parametrize(
    ('args', 'name'),
    [
        (['configs/shufflenet.py'], 'shufflenet_v1_x1_0-mnist5k-2ea7a874-s0'),
        (['configs/alexnet.py:cifar10', '--config.seed=3'], 'alexnet-cifar10-ef64fd80-s3'),
        (['configs/resnet18.py:imagenet2012', '--config.batch_norm_group=32'], 'resnet18-imagenet2012-0074c3b8-s0'),
    ],
)
def test_a_run_keeps_its_name_from_version_to_version(args, name):
    path, *overrides = args
    assert run_name(read_config(str(ROOT / path), overrides)) == name


def test_modes_of_the_command_are_no_keys_and_count_as_they_did_in_names():
    kept = json.loads(OLD.read_text())['config']
    assert {'eval_only', 'preset', 'tensorboard'} <= kept.keys()
    config = ConfigDict(records.read(OLD)['config'])
    assert not {'eval_only', 'preset', 'tensorboard'} & set(config)
    check_config(config)
    assert run_name(config) == OLD_NAME


def test_a_run_is_the_same_whether_it_was_shown_by_tensorboard(tmp_path):
    record = json.loads(OLD.read_text())
    record['config']['tensorboard'] = True
    (tmp_path / 'run.json').write_text(json.dumps(record))
    assert differing_keys(records.read(OLD)['config'], records.read(tmp_path)['config']) == []


def test_a_finished_run_from_before_is_found_by_its_name(tmp_path, run_main):
    workdir = tmp_path / 'runs' / OLD_NAME
    workdir.mkdir(parents=True)
    shutil.copy(OLD, workdir / 'run.json')
    args = [f'--config={ROOT / "configs" / "lenet5.py"}', '--config.seed=1', '--config.learning_rate=0.03']
    done = run_main(*args, '--log=tensorboard', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert 'finished before; nothing was trained' in done.stderr
    assert (workdir / 'run.json').read_bytes() == OLD.read_bytes()


def test_a_data_set_alone_is_not_overridden():
    config = str(ROOT / 'configs' / 'shufflenet.py')
    assert read_config(f'{config}:cifar10', ['--config.dataset=cifar10']).dataset == 'cifar10'
    with pytest.raises(UserError, match=f'target and recipe are those of mnist5k; .* as in --config={config}:cifar10'):
        read_config(config, ['--config.dataset=cifar10'])
