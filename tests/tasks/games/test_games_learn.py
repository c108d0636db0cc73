"""That a system of each kind learns: a cheap one beats random play by the margin that its benchmark states."""

import pytest

from benchmarks import machine
from benchmarks.games_variants import VARIANTS, markdown, row_of, trained
from tests.conftest import ROOT


def variant(name, game):
    return next(each for each in VARIANTS if (each.name, each.game) == (name, game))


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'game', 'share'),
    [
        ('gumbel_alphazero', 'tic_tac_toe', 0.2),
        ('alphago_zero', 'tic_tac_toe', 0.2),
        ('ppo_self_play', 'tic_tac_toe', 0.2),
        ('pqn', 'breakout', 0.4),
        ('ppo', 'breakout', 0.4),
    ],
)
def test_a_moment_of_it_beats_random_play_by_the_stated_margin(name, game, share):
    row = row_of(variant(name, game), trained(variant(name, game), share))
    assert row['learns'] == 'yes', row


def test_the_table_of_the_page_is_what_was_found(monkeypatch):
    (path,) = (ROOT / 'benchmarks' / 'results').glob('games_variants-*.csv')
    monkeypatch.setattr(machine, 'results_path', lambda name: path)  # whatever machine the test is on
    assert markdown() in (ROOT / 'docs' / 'games.md').read_text()


def test_every_system_is_tried_on_every_game_that_it_has():
    tried = {(each.config, each.game) for each in VARIANTS}
    assert len({(each.name, each.game) for each in VARIANTS}) == len(VARIANTS)
    boards = ('alphago_zero', 'alphazero', 'gumbel_alphazero', 'ppo_self_play')
    screens = ('dqn', 'double_dqn', 'ppo', 'pqn')
    assert tried == {(name, game) for name in boards for game in ('connect_four', 'tic_tac_toe')} | {
        (name, game) for name in screens for game in ('breakout', 'asterix', 'freeway')
    }
