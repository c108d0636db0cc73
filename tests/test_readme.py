"""What README shows works as it stands there."""

import re

import cv2
import numpy as np

from efficiency import records
from tests.conftest import ROOT


def test_a_data_set_of_ones_own_in_the_lines_that_readme_shows(tmp_path, run_main):
    (code,) = re.findall(r'```python\n(import pathlib\n.*?)```', (ROOT / 'README.md').read_text(), re.DOTALL)
    assert len([line for line in code.splitlines() if line]) <= 15
    config = tmp_path / 'digits.py'
    config.write_text(code)
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
