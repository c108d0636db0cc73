"""What a report says of runs of games: their trend by when their way of learning was published."""

import re

import pytest

from configs.games import alphazero, gumbel_alphazero
from efficiency.analysis.measured import measured_section
from efficiency.analysis.runs import read_runs
from efficiency.training.loop import train
from tests.tasks.games.test_board_task import small


@pytest.mark.slow
def test_runs_of_two_dates_have_a_trend_and_of_one_the_reason_why_there_is_none(tmp_path):
    target = {'metric': 'raw_accuracy', 'value': 0.02}  # which both have at their first evaluation
    train(small(alphazero, simulations=8, target=target), tmp_path / 'alphazero')
    (before,), _ = read_runs(tmp_path)
    section = measured_section(before.target, [before], {}, lambda path: path)
    assert (
        'No trend can be given: it takes a baseline that reaches the target, and points of two dates.' in section.text
    )

    train(small(gumbel_alphazero, simulations=2, target=target), tmp_path / 'gumbel')
    runs, left_out = read_runs(tmp_path)
    assert not left_out
    assert {run.published.isoformat() for run in runs} == {'2017-12-05', '2022-01-28'}
    section = measured_section(before.target, runs, {}, lambda path: path)
    # (8 + 1) against (2 + 1) evaluations a move, and the same updates, within four years.
    ratio = max(run.curve['train_macs'][0] for run in runs) / min(run.curve['train_macs'][0] for run in runs)
    (text,) = [paragraph for paragraph in section.text if 'Doubling time along it' in paragraph]
    assert 1 < ratio < 3
    assert float(re.search(r'least squares: ([\d.]+) months', text)[1]) > 12 * 4.1
    assert any(table.name.startswith('trend') for table in section.tables)
