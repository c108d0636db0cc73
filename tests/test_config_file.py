"""A config file finds the shared recipes and its neighbours wherever it lies, and a metric has a value of its own."""

import os
import subprocess
import sys

import pytest

from efficiency.config_file import read_config
from efficiency.errors import UserError
from tests.conftest import ROOT

CONFIG = """
from configs import common
import neighbour_of_mine

def get_config(dataset=None):
    return common.paper_recipe(neighbour_of_mine.MODEL, dataset, learning_rate=0.1)
"""
READ = """
import sys
from efficiency.config_file import read_config
for path in sys.argv[1:]:
    print(read_config(path).model.name)
"""


def write(folder, model):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'mine.py').write_text(CONFIG)
    (folder / 'neighbour_of_mine.py').write_text(f'MODEL = {model!r}')
    return folder / 'mine.py'


def models(tmp_path, path, cwd):
    """What a process reads that has the package at hand, and not the folder that it lies in."""
    site = tmp_path / 'site'
    if not site.exists():
        site.mkdir()
        (site / 'efficiency').symlink_to(ROOT / 'efficiency')
    done = subprocess.run(
        [sys.executable, '-c', READ, str(path)], cwd=cwd, env=os.environ | {'PYTHONPATH': str(site)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_config_anywhere_has_the_recipes_of_this_package_and_its_neighbours(tmp_path):
    path = write(tmp_path / 'elsewhere', 'lenet5')
    assert models(tmp_path, path, tmp_path) == ['lenet5']
    assert models(tmp_path, 'mine.py', path.parent) == ['lenet5']


@pytest.mark.parametrize('below', ['configs', 'configs/a/b', 'other'])
def test_recipes_in_a_folder_above_come_before_those_of_this_package(tmp_path, below):
    project = tmp_path / 'project'
    path = write(project / below, 'unknown')
    (project / 'configs').mkdir(exist_ok=True)
    (project / 'configs' / 'common.py').write_text(
        'from ml_collections import ConfigDict\n'
        'def paper_recipe(model, *args, **more): return ConfigDict({"model": {"name": f"{model} of the project"}})\n'
    )
    # Wherever it is called from, where there are recipes as well.
    for cwd in (tmp_path, ROOT):
        assert models(tmp_path, path, cwd) == ['unknown', 'of', 'the', 'project']


def test_another_metric_needs_a_value_of_its_own():
    path = str(ROOT / 'configs' / 'lenet5.py')
    with pytest.raises(UserError, match=r"target.metric is 'top5', and config.target.value, 0.954, is of top1; pass"):
        read_config(path, ['--config.target.metric=top5'])
    both = read_config(path, ['--config.target.metric=top5', '--config.target.value=0.99'])
    assert both.target.to_dict() == {'metric': 'top5', 'value': 0.99}
    assert read_config(path, ['--config.target.metric=top1']).target.value == 0.954
    # Of a data set without a preset there is no value to be of another metric.
    assert read_config(f'{path}:mine', ['--config.target.metric=top5']).target.value is None
