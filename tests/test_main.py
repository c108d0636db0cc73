"""The command line: what a mistake looks like, and that an installed copy works from anywhere."""

import pathlib
import re
import shutil
import subprocess
import sys
import time
import venv

import pytest

from tests.conftest import ROOT
from tests.main_process import NOT_FORKED

CONFIG = '--config=configs/shufflenet.py'


@pytest.mark.parametrize(
    ('args', 'says'),
    [
        ([], 'Pass one with --config'),
        (['--config=configs/shuflenet.py'], 'no config file configs/shuflenet.py; in configs there are shufflenet.py'),
        (['--config=configs'], 'in configs there are alexnet.py'),
        (['--config='], 'Pass one with --config'),
        (['--config=configs/shufflenet.py:cifar1'], "there is no data set 'cifar1' in"),
        (['--config=configs/shufflenet.py:imagenet2012', '--data_dir=.'], 'ILSVRC2012_img_train.tar'),
        ([CONFIG, '--data_dir=/not/there'], 'no folder /not/there'),
        ([CONFIG, '--data_workers=-1'], '--data_workers=-1'),
        ([CONFIG, '--config.dataset=cifar10'], 'as in --config=configs/shufflenet.py:cifar10'),
        ([CONFIG, '--config.model=alexnet'], 'config.model must be a section'),
        ([CONFIG, '--config.target.value=nan'], 'config.target.value is nan'),
        ([CONFIG, '--batch_size=3'], 'did you mean --config.batch_size?'),
        ([CONFIG, '--config.batch_sise=3'], 'the config has no key batch_sise; did you mean batch_size?'),
        ([CONFIG, '--config.optimizer.nesterov=True'], 'the config has no key optimizer.nesterov'),
        ([CONFIG, '--config.model.auxiliary_heads=True'], 'the config has no key model.auxiliary_heads'),
        (['--config=configs/googlenet.py', '--config.model.name=alexnet'], "alexnet has no option 'auxiliary_heads'"),
        (['--config=configs/googlenet.py', '--config.model.auxiliary_heads=2'], 'must be True or False'),
        (['--config=configs/alexnet.py', '--config.image_size=4'], 'images of 4 pixels are too small'),
        ([CONFIG, '--config.batch_size=abc'], '--config.batch_size=abc: config.batch_size must be a whole number'),
        ([CONFIG, '--config.model.name=shufflenet'], 'shufflenet_v1_x1_0'),
        ([CONFIG, '--config.batch_norm_group=5'], 'batch_norm_group 5 does not divide batch_size 32; 4 would'),
        ([CONFIG, '--config.target.value=1.5'], 'config.target.value is 1.5; it must be a share'),
        ([CONFIG, '--config.target.metric=top3', '--config.target.value=0.5'], 'top1 or top5'),
        ([CONFIG, '--config.target.metric=top5'], '0.954, is of top1; pass --config.target.value, too'),
        ([CONFIG, '--config.precision=float8'], "config.precision is 'float8'; it must be float32 or bfloat16 or"),
        ([CONFIG, '--config.num_epochs=-1'], 'config.num_epochs is -1.0; it must be a number from'),
        ([CONFIG, '--config.schedule=cosin'], 'cosine'),
        ([CONFIG, '--config.augmentation=shfit'], 'shift'),
        ([CONFIG, '--config.eval_split=val'], "no split 'val'"),
        ([CONFIG, 'extra'], "no argument 'extra'"),
        ([CONFIG, '--confg=x'], 'Did you mean: config'),
        ([CONFIG, '--log=tensorboard'], 'pip install ".[tensorboard]"'),
        ([CONFIG, '--log=wandb'], 'pip install ".[wandb]"'),
        ([CONFIG, '--log=tensorbord'], "no log is named 'tensorbord'; the nearest are tensorboard"),
        ([CONFIG, '--log=tensorboard', '--eval_only'], 'leave --log out'),
    ],
)
def test_a_mistake_is_one_sentence_and_makes_nothing(args, says, run_main, tmp_path):
    # Without these, whether they are installed here or not.
    (tmp_path / 'sitecustomize.py').write_text("import sys\nsys.modules |= {'tensorboard': None, 'wandb': None}\n")
    done = run_main(*args, f'--workdir={tmp_path / "run"}', env={'PYTHONPATH': str(tmp_path)})
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert done.stderr.strip().count('\n') == 0, done.stderr
    assert not (tmp_path / 'run').exists()


def test_a_folder_that_cannot_be_written_to_is_a_mistake(run_main, tmp_path):
    (tmp_path / 'file').touch()
    done = run_main(CONFIG, f'--workdir={tmp_path / "file" / "run"}')
    assert (done.returncode, 'Traceback' in done.stderr) == (2, False)
    assert 'cannot write to' in done.stderr


def test_a_file_that_is_no_record_is_left_alone(run_main, tmp_path):
    (tmp_path / 'run.json').write_text('{}')
    done = run_main(CONFIG, f'--workdir={tmp_path}')
    assert done.returncode == 2
    assert 'schema_version is missing' in done.stderr
    assert (tmp_path / 'run.json').read_text() == '{}'


def test_help_is_quick_and_exits_0(run_main):
    before = time.monotonic()
    done = run_main('--help', env=NOT_FORKED)
    assert done.returncode == 0
    flags = set(re.findall(r'^  --(?:\[no\])?(\w+):', done.stdout, re.MULTILINE))
    own = 'workdir data_dir coordinator num_hosts host wait_for_hosts data_workers changed_code'
    assert flags >= {'config', *own.split()}
    assert time.monotonic() - before < 10


def test_a_bug_keeps_its_trace_and_exits_1(tmp_path, run_main):
    sitecustomize = (
        'import efficiency.training.settings as s\ndef bug(*args): raise ValueError("a bug")\ns.check_config = bug\n'
    )
    (tmp_path / 'sitecustomize.py').write_text(sitecustomize)
    done = run_main(CONFIG, f'--workdir={tmp_path / "run"}', env={'PYTHONPATH': f'{tmp_path}:{ROOT}'})
    assert done.returncode == 1
    assert 'Traceback' in done.stderr
    assert 'ValueError: a bug' in done.stderr


def test_an_installed_copy_works_from_any_folder(tmp_path):
    """A wheel of this checkout in an environment of its own, which borrows the dependencies of this one."""
    checkout = tmp_path / 'checkout'
    shutil.copytree(ROOT, checkout, ignore=shutil.ignore_patterns('.git', 'runs', 'build', '*.egg-info', '.venv'))
    venv.create(tmp_path / 'env', with_pip=True)
    python = tmp_path / 'env' / 'bin' / 'python'
    site = pathlib.Path(next(path for path in sys.path if path.endswith('site-packages')))
    (next((tmp_path / 'env').glob('lib/*/site-packages')) / 'borrowed.pth').write_text(f'{site}\n')
    install = [python, '-m', 'pip', 'install', '--quiet', '--no-deps', '--force-reinstall', checkout]
    subprocess.run(install, check=True, cwd=tmp_path)
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    shutil.rmtree(checkout / 'efficiency')
    config = f'--config={checkout / "configs" / "shufflenet.py"}'
    done = subprocess.run(
        [python, '-m', 'efficiency.main', config, '--config.num_epochs=0.02'],
        cwd=elsewhere, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (record,) = elsewhere.glob('runs/shufflenet_v1_x1_0-mnist5k-*-s0/run.json')
    assert '"git": null' in record.read_text()


def test_the_help_of_a_study_is_quick():
    before = time.monotonic()
    done = subprocess.run(
        [sys.executable, '-X', 'importtime', '-m', 'efficiency.study', '--help'],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    options = 'study list only jobs engine engine_options runs results data_dir data_workers changed_code log'
    assert set(re.findall(r'^  --(\w+)', done.stdout, re.MULTILINE)) == set(options.split())
    assert not any(f' {heavy}\n' in done.stderr for heavy in ('jax', 'numpy', 'ml_collections', 'ray'))
    assert time.monotonic() - before < 10
