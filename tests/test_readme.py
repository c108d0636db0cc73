"""What README shows works as it stands there."""

import re

import cv2
import numpy as np

from efficiency import records
from tests.conftest import ROOT


def config_of_readme(folder, what):
    """The example of README that uses a decorator, as a config file of 15 lines at the most."""
    blocks = re.findall(r'```python\n(.*?)```', (ROOT / 'README.md').read_text(), re.DOTALL)
    (code,) = [block for block in blocks if f'@{what}(' in block]
    assert len([line for line in code.splitlines() if line]) <= 15
    path = folder / 'mine.py'
    path.write_text(code)
    return path


def test_a_network_of_ones_own_in_the_lines_that_readme_shows(tmp_path, run_main):
    config = config_of_readme(tmp_path, 'register')
    done = run_main(f'--config={config}', f'--workdir={tmp_path / "run"}', '--config.num_epochs=0.2')
    assert done.returncode == 0, done.stderr
    record = records.read(tmp_path / 'run')
    # Three equal channels of 28 x 28 pixels to 64 to 10.
    assert record['macs_per_example']['forward_dense'] == 3 * 28 * 28 * 64 + 64 * 10
    assert record['final']['top1'] > 0.5


def test_an_optimizer_and_a_schedule_of_ones_own_in_the_lines_that_readme_shows(tmp_path, run_main):
    config = config_of_readme(tmp_path, 'register_optimizer')
    done = run_main(f'--config={config}', f'--workdir={tmp_path / "run"}', '--config.num_epochs=0.024')
    assert done.returncode == 0, done.stderr
    record = records.read(tmp_path / 'run')
    assert (record['config']['optimizer']['name'], record['config']['schedule']) == ('lion', 'linear')
    assert record['programs'][0]['steps'] == 3


def test_a_data_set_of_ones_own_in_the_lines_that_readme_shows(tmp_path, run_main):
    config = config_of_readme(tmp_path, 'register_dataset')
    for folder, count in (('a', 40), ('b', 20)):
        (tmp_path / folder).mkdir()
        for i in range(count):
            pixels = np.full((20 + i % 5, 24, 3), 25 * (i % 10), np.uint8)
            cv2.imwrite(str(tmp_path / folder / f'{i % 10}-{i:04}.png'), pixels)
    args = [f'--config={config}', f'--data_dir={tmp_path}', f'--workdir={tmp_path / "run"}']
    done = run_main(*args, '--config.batch_size=10', '--config.num_epochs=1.0', '--data_workers=1')
    assert done.returncode == 0, done.stderr
    record = records.read(tmp_path / 'run')
    assert (record['dataset']['name'], record['dataset']['num_train'], record['dataset']['num_eval']) == (
        'digits',
        40,
        20,
    )
    assert record['programs'][0]['steps'] == 4
