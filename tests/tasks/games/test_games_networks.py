"""The networks of games alone, as they are counted, and when what is learned by them was published."""

import datetime

import pytest

from configs.games import alphago_zero, alphazero, double_dqn, dqn, gumbel_alphazero, ppo, ppo_self_play, pqn
from efficiency.count import count_network
from efficiency.tasks.games import arcade, board
from efficiency.tasks.games.arcade import alone as of_screens
from efficiency.tasks.games.arcade.screen import Arcade
from efficiency.tasks.games.board import alone as of_boards
from efficiency.tasks.games.board.game import game
from efficiency.tasks.games.published import published_of
from efficiency.tasks.networks import list_networks
from efficiency.training.settings import check_config


def test_the_shapes_that_are_counted_are_those_of_the_rules():
    for name, (shape, actions) in of_boards.SHAPES.items():
        assert (game(name).shape, game(name).actions) == (shape, actions)
    for name, (shape, actions) in of_screens.SHAPES.items():
        assert (Arcade(name, 0.1).shape, Arcade(name, 0.1).actions) == (shape, actions)
    assert set(of_boards.SHAPES) == set(board.game.NAMES)
    assert set(of_screens.SHAPES) == set(arcade.screen.NAMES)


def test_networks_of_games_are_counted_by_name():
    assert list_networks(task='board_games') == ['board_mlp', 'board_resnet']
    assert list_networks(task='arcade_games') == ['arcade_actor_critic', 'arcade_q']
    # By hand: 8 x 8 places of a 3 x 3 convolution of 4 channels with 16, dense layers of 128 and of 3 actions.
    first, rest = 64 * 9 * 4 * 16, 64 * 16 * 128 + 128 * 3
    row = count_network('arcade_q')
    assert (row['task'], row['published']) == ('arcade_games', '2013-12-19')
    assert row['forward_dense_macs'] == first + rest
    # No gradient of the screen.
    assert row['train_dense_macs'] == 3 * (first + rest) - first
    critic = count_network('arcade_actor_critic')
    assert critic['forward_dense_macs'] == first + rest + 128
    assert critic['train_dense_macs'] == 3 * (first + rest + 128) - first
    # 18 squares to 128, two layers of them, 9 moves, and the value by 64.
    first, rest = 18 * 128, 2 * 128 * 128 + 128 * 9 + 128 * 64 + 64
    row = count_network('board_mlp', game='tic_tac_toe')
    assert (row['forward_dense_macs'], row['train_dense_macs']) == (first + rest, 3 * (first + rest) - first)
    assert row['game'] == 'tic_tac_toe'


@pytest.mark.parametrize(
    ('system', 'changes', 'day'),
    [
        (alphago_zero, {}, '2017-10-18'),
        (alphazero, {}, '2017-12-05'),
        (alphazero, {'full_every': 4}, '2019-02-27'),
        (gumbel_alphazero, {}, '2022-01-28'),
        (ppo_self_play, {}, '2017-07-20'),
        (dqn, {'target_every': 0}, '2013-12-19'),
        (dqn, {}, '2015-02-25'),
        (double_dqn, {}, '2015-09-22'),
        (double_dqn, {'model': {'dueling': True}}, '2015-11-20'),
        (double_dqn, {'model': {'dueling': True}, 'n_step': 3}, '2017-10-06'),
        (ppo, {}, '2017-07-20'),
        (pqn, {}, '2024-07-05'),
    ],
)
def test_a_config_is_of_the_day_of_the_last_that_it_asks_for(system, changes, day):
    config = system.get_config()
    config.update(changes)
    assert published_of(check_config(config)) == datetime.date.fromisoformat(day)
    if not changes:
        assert f'Published {day}' in system.__doc__
