"""Games shown by the command that plays them, of a run that was trained for a moment."""

import io
import re
import sys

import pytest

from efficiency import play
from efficiency.training.loop import train
from tests.tasks.games.test_board_task import small as small_board


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    from configs.games import ppo_self_play

    workdir = tmp_path_factory.mktemp('games') / 'run'
    train(small_board(ppo_self_play, num_epochs=48 / 1e6), workdir)
    return workdir


def test_a_network_plays_itself_to_the_end(run, tmp_path, capsys):
    picture = tmp_path / 'game.svg'
    assert play.main([f'--run={run}', '--simulations=4', f'--svg={picture}']) == 0
    out = capsys.readouterr().out
    positions = [block.split('\n', 1)[1] for block in out.split('\n\n')[:-1]]
    # Move by move one stone more, X first.
    for number, text in enumerate(positions):
        assert (text.count('X'), text.count('O')) == (-(-number // 2), number // 2)
    assert re.search(r'(X wins|O wins|drawn)\n$', out)
    assert '<svg' in picture.read_text()


def test_a_person_is_asked_until_the_move_is_one(run, capsys, monkeypatch):
    monkeypatch.setattr(sys, 'stdin', io.StringIO('nine\n' + ''.join(f'{move}\n' for move in [*range(9)] * 9)))
    assert play.main([f'--run={run}', '--against=person', '--simulations=4']) == 0
    out = capsys.readouterr().out
    assert "'nine' is no move here; there are " in out
    assert re.search(r'(X wins|O wins|drawn)\n$', out)


def test_a_move_of_thousands_of_digits_is_no_move(run, capsys, monkeypatch):
    monkeypatch.setattr('sys.stdin', io.StringIO('9' * 5000 + '\n'))
    assert play.main([f'--run={run}', '--against=person', '--simulations=2']) == 2
    said = capsys.readouterr()
    assert "9' is no move here; there are" in said.out
    assert 'nothing more is typed' in said.err


@pytest.mark.parametrize('seed', [-1, 2**70])
def test_a_seed_that_is_none_is_one_sentence(seed, run, capsys):
    assert play.main([f'--run={run}', f'--seed={seed}']) == 2
    assert f'--seed is {seed}; it must be a whole number from 0 to 2147483647' in capsys.readouterr().err


def test_a_game_that_is_left_is_said(run, capsys, monkeypatch):
    monkeypatch.setattr(sys, 'stdin', io.StringIO(''))
    assert play.main([f'--run={run}', '--against=person', '--simulations=4']) == 2
    assert 'the game is not over, and nothing more is typed' in capsys.readouterr().err


def test_a_picture_that_cannot_be_written_is_told_before_the_game(run, tmp_path, capsys):
    assert play.main([f'--run={run}', '--simulations=4', f'--svg={tmp_path / "none" / "game.svg"}']) == 2
    out, errors = capsys.readouterr()
    assert out == ''
    assert re.search(r'--svg=\S+game.svg cannot be written: No such file', errors)


def test_what_is_no_run_of_a_game_is_one_sentence(tmp_path, capsys):
    assert play.main([f'--run={tmp_path}']) == 2
    assert re.search(r'--run=\S+: .*run.json', capsys.readouterr().err)
