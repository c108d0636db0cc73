"""Rules, search and samples of board games, beside positions made by hand and an exhaustive search of our own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from efficiency.errors import UserError
from efficiency.tasks.games.board import positions
from efficiency.tasks.games.board.game import game, random_moves
from efficiency.tasks.games.board.match import match, plain_mcts
from efficiency.tasks.games.board.positions import distinct_openings, positions_of
from efficiency.tasks.games.board.ppo import advantages
from efficiency.tasks.games.board.search import searched
from efficiency.tasks.games.board.self_play import Ply, samples_of
from efficiency.tasks.games.board.solver import CONNECT_FOUR, TIC_TAC_TOE

FOUR, THREE = game('connect_four'), game('tic_tac_toe')


def after(rules, *lines):
    """The states after moves, a line each."""
    moves = np.full((len(lines), max(map(len, lines))), -1, np.int32)
    for row, line in zip(moves, lines, strict=True):
        row[: len(line)] = line
    return rules.play_all(rules.begin(jax.random.key(0), len(lines)), jnp.array(moves))


def knows_nothing(rules):
    return lambda params, state, key: (
        jnp.zeros((len(state.terminated), rules.actions)),
        jnp.zeros(len(state.terminated)),
    )


@pytest.mark.parametrize('kind', ['puct', 'gumbel'])
def test_search_wins_at_once_and_prevents_a_loss(kind):
    # The mover has three in a column and wins there; or the other has, and it must be stopped.
    state = after(FOUR, [3, 1, 3, 1, 3, 1], [3, 1, 3, 1, 3], [5, 2, 5, 2, 5])
    found = searched(FOUR, knows_nothing(FOUR), kind, 256, (), state, jax.random.key(1))
    assert list(found.action) == [3, 3, 5]
    np.testing.assert_allclose(found.weights.sum(1), 1, atol=1e-5)


def test_a_won_game_gives_its_winner_one_and_the_other_minus_one():
    state = after(FOUR, [3, 1, 3, 1, 3, 1, 3], [3, 1, 3, 1, 3, 1])
    assert list(state.terminated) == [True, False]
    mover = int(state.current_player[0])
    assert (float(state.rewards[0, mover]), float(state.rewards[0, 1 - mover])) == (-1, 1)


def test_moves_into_full_columns_are_no_moves_inside_the_tree():
    # Column 0 has one place left. Who has filled it leaves the other a network that wants nothing but that column: as
    # pgx punishes a move there by a loss, filling it would look like winning.
    state = after(FOUR, [0, 0, 0, 0, 0, 1])

    def tempted(params, state, key):
        full = state.observation[:, 0, 0].any(-1)
        return jnp.where(full[:, None], jnp.array([100.0] + [0.0] * 6), 0.0), jnp.zeros(len(full))

    found = searched(FOUR, tempted, 'puct', 56, (), state, jax.random.key(0))
    assert float(found.weights[0, 0]) < 0.25


@pytest.mark.parametrize('kind', ['puct', 'gumbel'])
def test_no_move_is_tried_that_is_not_legal_where_all_others_lose(kind):
    # The side that began wins whatever happens, so that to the other a draw would be welcome. Before five stones no
    # game is over, but by a move onto a square that is taken.
    over = []

    def hopeless(params, state, key):
        value = jnp.where(state._step_count % 2 == 0, 0.9, -0.9)
        jax.debug.callback(over.append, state.terminated & (state._step_count < 5))
        return jnp.zeros((len(value), 9)), value

    jax.block_until_ready(searched(THREE, hopeless, kind, 200, (), after(THREE, []), jax.random.key(0)))
    jax.effects_barrier()
    assert len(over) == 201
    assert not np.any(over)


def test_full_columns_are_not_played():
    state = after(FOUR, [0, 0, 0, 0, 0, 0])
    for kind in ('puct', 'gumbel'):
        found = searched(FOUR, knows_nothing(FOUR), kind, 16, (), state, jax.random.key(0), noise=(0.25, 1.0))
        assert float(found.weights[0, 0]) < 1e-6


def test_each_mover_learns_what_it_got_in_the_end():
    # One game is won by the third ply's mover, and a new one begins; the other is not over within the chunk.
    reward, ended = np.zeros((5, 2), np.float32), np.zeros((5, 2), bool)
    reward[2, 0], ended[2, 0] = 1, True
    plies = Ply(
        jnp.zeros((5, 2, 11), jnp.uint8), jnp.zeros((5, 2, 7)), jnp.ones((5, 2), bool), jnp.array(reward),
        jnp.array(ended),
    )  # fmt: skip
    found = samples_of(plies)
    assert list(found.value[:3]) == [1, -1, 1]
    assert list(found.decided) == [True, True, True, False, False] + [False] * 5


def test_advantages_of_turns_are_those_of_the_sum_by_hand():
    value, reward = np.array([0.1, -0.2, 0.3]), np.array([0.0, 0.0, 1.0])
    ended, last, lambda_ = np.array([False, False, True]), 0.7, 0.9
    # delta: what the other expects next is this one's loss.
    delta = [0 - (-0.2) - 0.1, 0 - 0.3 - (-0.2), 1 - 0.3]
    by_hand = [delta[0] - 0.9 * (delta[1] - 0.9 * delta[2]), delta[1] - 0.9 * delta[2], delta[2]]
    found = advantages(value[:, None], reward[:, None], ended[:, None], jnp.array([last]), lambda_)
    np.testing.assert_allclose(found[:, 0], by_hand, rtol=1e-5)


def test_positions_survive_their_packing_and_the_mirror_is_its_own_inverse():
    state = FOUR.openings(jax.random.key(0), 16, 10)
    np.testing.assert_array_equal(FOUR.unpacked(FOUR.packed(state.observation)), state.observation)
    for rules in (FOUR, THREE):
        np.testing.assert_array_equal(rules.mirrored[rules.mirrored], np.arange(rules.actions))


def test_openings_are_of_every_length_and_not_decided():
    state = FOUR.openings(jax.random.key(0), 400, 10)
    assert not state.terminated.any()
    counts = np.bincount(np.asarray(state.observation.sum((1, 2, 3))).astype(int), minlength=11)
    assert len(counts) == 11
    assert counts.min() > 10


def test_a_mirrored_game_is_the_game_of_mirrored_moves():
    line = [3, 2, 2, 5, 6, 0]
    one, other = after(FOUR, line), after(FOUR, [FOUR.mirrored[move] for move in line])
    np.testing.assert_array_equal(one.observation[:, :, ::-1], other.observation)


def test_late_positions_are_solved_alike_by_our_own_search():
    found = positions_of('connect_four')
    assert found.right.shape == (2000, 7)
    plies = (found.moves >= 0).sum(1)
    for at in np.argsort(-plies, kind='stable')[:50]:
        values = CONNECT_FOUR.values(*CONNECT_FOUR.after(found.moves[at, : plies[at]]))
        best = max(values.values())
        assert best == found.value[at]
        assert [values.get(move) == best for move in range(7)] == list(found.right[at])


def test_positions_are_such_that_some_move_throws_the_value_away():
    for name, rules in (('connect_four', FOUR), ('tic_tac_toe', THREE)):
        found = positions_of(name)
        state = rules.play_all(rules.begin(jax.random.key(0), len(found.moves)), jnp.int32(found.moves))
        legal = np.asarray(state.legal_action_mask)
        assert not np.asarray(state.terminated).any()
        assert not (found.right & ~legal).any()
        assert (found.right.any(1) & (legal & ~found.right).any(1)).all()
        assert len(np.unique(np.asarray(rules.packed(state.observation)), axis=0)) == len(legal)


def test_tic_tac_toe_is_a_draw_and_has_as_many_positions_as_are_known():
    assert TIC_TAC_TOE.value(0, 0) == 0
    # 5,478 positions can come about, of which 958 are over.
    assert sum(1 for _ in positions._grown(TIC_TAC_TOE, {(0, 0): ()})) == 5478 - 958
    assert set(positions_of('tic_tac_toe').value) == {0, 1}


def test_more_random_games_play_better_than_fewer():
    score = jax.jit(lambda key: match(THREE, plain_mcts(THREE, 64), plain_mcts(THREE, 2), 64, key))
    assert float(score(jax.random.key(0))) > 0.6


@pytest.mark.parametrize(('name', 'count', 'plies'), [('connect_four', 64, 3), ('tic_tac_toe', 64, 2)])
def test_games_of_a_match_begin_from_positions_that_are_all_different(name, count, plies):
    rules, lines = game(name), distinct_openings(name, count)
    # After two stones there are 7 x 7 and 9 x 8 positions; after three 238 of Connect Four.
    assert lines.shape == ({'connect_four': 238, 'tic_tac_toe': 72}[name], plies)
    state = rules.play_all(rules.begin(jax.random.key(0), len(lines)), jnp.array(lines))
    assert not state.terminated.any()
    assert len(np.unique(np.asarray(rules.packed(state.observation)), axis=0)) == len(lines)

    begun = []

    def shown(state, key):
        jax.debug.callback(begun.append, rules.packed(state.observation), ordered=True)
        return random_moves(key, state)

    jax.block_until_ready(match(rules, shown, shown, 2 * count, jax.random.key(0)))
    assert len(np.unique(begun[0], axis=0)) == count


def test_there_is_no_other_game():
    with pytest.raises(UserError, match=r"no board game is named 'chess'; .*connect_four, tic_tac_toe"):
        game('chess')
