"""Reports of runs whose data have no end, and which have neither epochs nor the paper's compute."""

import csv

from efficiency import report
from efficiency.training.loop import train
from tests.training.test_step_parts import config_of, registered  # noqa: F401  (a fixture that registers the task)


def test_a_report_tells_moves_in_place_of_epochs(tmp_path):
    for seed, rate in ((0, 0.1), (1, 0.1), (0, 0.05)):
        train(config_of(seed=seed, learning_rate=rate), tmp_path / 'runs' / f'{seed}-{rate}')
    out = tmp_path / 'report'
    assert report.main([f'--runs={tmp_path / "runs"}', '--target=size:3.5', f'--out={out}']) == 0
    tables = {path.stem: list(csv.DictReader(path.open())) for path in out.rglob('*.csv')}
    (systems,) = (rows for name, rows in tables.items() if name.startswith('systems-'))
    assert len(systems) == 2
    assert 'examples' in systems[0]
    assert not [key for row in systems for key in row if key.startswith(('paper_', 'epochs'))]
    (runs,) = (rows for name, rows in tables.items() if name.startswith('runs-'))
    assert len(runs) == 3
    assert not {'epochs', 'paper_macs'} & set(runs[0])
    assert not [row for rows in tables.values() for row in rows if 'nan' in row.values()]
