"""Self-play as a task: what an iteration costs by its closed form, what it learns, and how it goes on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.games import alphago_zero, alphazero, common, gumbel_alphazero, ppo_self_play
from efficiency import load_run
from efficiency.errors import UserError
from efficiency.flops import count
from efficiency.summary import summary
from efficiency.tasks.games.board import positions
from efficiency.tasks.games.board.evaluation import PositionsEvaluator
from efficiency.tasks.games.board.game import game
from efficiency.tasks.games.board.positions import positions_of
from efficiency.tasks.games.board.search import network_of, searched, seeing
from efficiency.tasks.games.board.solver import TIC_TAC_TOE
from efficiency.training.loop import train
from efficiency.training.mesh import DataParallel
from efficiency.training.recipe import opened
from efficiency.training.settings import check_config
from tests.training.stopping import goes_on_bit_for_bit

_WIDTH = 16


def small(system, **more):
    """A system on tic-tac-toe with a network of one hidden layer, and chunks of 6 plies of 8 games."""
    config = system.get_config('tic_tac_toe')
    config.update(
        {'model': {'width': _WIDTH, 'layers': 1}, 'environments': 8, 'batch_size': 48, 'updates': 2, 'update_batch': 32}
    )
    config.update(
        {'num_epochs': 48 * 6 / 1e6, 'eval_every': 48 * 3 / 1e6, 'eval_simulations': 2, 'stop_at_target': False}
    )
    config.update(more)
    return config


def forward_macs():
    """By hand: 18 planes' squares to the width, one more layer, policy of 9 moves, value by half the width."""
    return 18 * _WIDTH + _WIDTH * _WIDTH + _WIDTH * 9 + _WIDTH * (_WIDTH // 2) + _WIDTH // 2


def parts_of(config):
    """What a call of each part multiplies, of the form that has all of them."""
    recipe = opened(check_config(config), None)
    form = list(recipe.forms.values())[-1]
    state = recipe.state_in(recipe.plan.stages[0])
    key = jax.random.key(0)
    return {part.name: count(part.function, state.params, state.carried, key).dense_macs for part in form.parts}


def test_self_play_costs_its_moves_times_the_simulations_and_the_root():
    each = forward_macs()
    found = parts_of(small(alphago_zero, simulations=5, gate_every=2, gate_games=4))
    assert found['self-play'] == 48 * (5 + 1) * each
    # 7 plies after two random ones, in pairs: 8 of each game.
    assert found['gate'] == 4 * 8 * (5 + 1) * each
    assert found['update'] == 32 * each  # the forward pass alone: the optimizer's step is made of it
    assert parts_of(small(gumbel_alphazero, simulations=3))['self-play'] == 48 * (3 + 1) * each
    # And what the last positions are worth, for which nobody asks what to play there.
    assert parts_of(small(ppo_self_play))['self-play'] == 48 * each + 8 * (each - _WIDTH * 9)


def test_capped_playouts_cost_what_each_kind_of_ply_does():
    found = parts_of(small(alphazero, simulations=7, full_every=3, fast_simulations=2))
    assert found['self-play'] == 8 * (2 * (7 + 1) + 4 * (2 + 1)) * forward_macs()


def test_a_step_bills_its_parts_and_goes_on_bit_for_bit(tmp_path):
    config = small(alphago_zero, simulations=2, gate_every=2, gate_games=4, gate_share=0.0)
    whole = train(config, tmp_path / 'whole')
    each = forward_macs()
    plain, gated = whole['programs']
    assert (plain['steps'], gated['steps']) == (3, 3)
    by_name = {part['name']: part for part in gated['parts']}
    assert by_name['self-play']['dense_macs_per_call'] == 48 * 3 * each
    # Forward, and its two gradients but for that of the positions.
    assert by_name['update']['dense_macs_per_call'] == 32 * (3 * each - 18 * _WIDTH)
    assert whole['unit'] == 'moves'
    assert whole['curve'][-1]['examples'] == 6 * 48
    assert whole['macs_per_example']['forward_dense'] == each
    assert (whole['test']['gates'], whole['test']['gates_passed']) == (3, 3)
    assert 'gates  3 of 3 passed' in summary(whole, tmp_path)

    record = goes_on_bit_for_bit(4, config, whole, tmp_path)
    assert record['test'] == whole['test']


def test_self_play_without_search_goes_on_bit_for_bit(tmp_path):
    config = small(ppo_self_play)
    whole = train(config, tmp_path / 'whole')
    goes_on_bit_for_bit(4, config, whole, tmp_path)


def test_a_gate_that_is_not_passed_leaves_the_best_and_is_not_counted(tmp_path):
    length = 48 * 2 / 1e6
    more = {'gate_every': 1, 'gate_games': 4, 'gate_share': 1.0, 'num_epochs': length, 'eval_every': length}
    record = train(small(alphago_zero, simulations=2, **more), tmp_path)
    assert record['test']['gates'] == 2
    assert record['test']['gates_passed'] < 2


def test_random_moves_stay_at_the_random_anchor():
    rules, known = game('connect_four'), positions_of('connect_four')

    def noise(params, boards):
        return jax.random.normal(jax.random.key(5), (len(boards), 7)), jnp.zeros(len(boards))

    evaluator = PositionsEvaluator(rules, noise, known, 1, DataParallel(1, jax.devices()[:1]))
    batch = {name: jnp.asarray(array) for name, array in evaluator._batch.items()}
    right = int(jax.jit(evaluator._totals)({'params': ()}, batch)['raw_accuracy'])
    anchor = opened(check_config(common.board(None)), None).task.description['random_accuracy']
    assert anchor == pytest.approx(0.33, abs=0.02)
    # Four standard errors of 2,000 positions.
    assert right / 2000 == pytest.approx(anchor, abs=4 * 0.0105)


def test_who_searches_more_to_be_evaluated_is_asked_something_else():
    def fingerprint(**more):
        return opened(check_config(small(gumbel_alphazero, **more)), None).task.description['fingerprint']

    assert fingerprint() == fingerprint(simulations=3) != fingerprint(eval_simulations=64)


@pytest.mark.slow
def test_tic_tac_toe_is_learned_until_it_never_loses(tmp_path):
    """By either side, against an opponent that tries every move there is, whatever the game's first moves."""
    config = gumbel_alphazero.get_config('tic_tac_toe')
    config.update({'stop_at_target': False, 'eval_every': config.num_epochs})  # one evaluation, at the end
    train(config, tmp_path)
    run, rules = load_run(tmp_path), game('tic_tac_toe')
    reached = dict(positions._grown(TIC_TAC_TOE, {(0, 0): ()}))
    moves = np.array([[*line, *[-1] * (9 - len(line))] for line in reached.values()], np.int32)

    @jax.jit
    def played(params, moves):
        state = rules.play_all(rules.begin(jax.random.key(0), len(moves)), moves)
        evaluate = seeing(network_of(run.model))
        return searched(rules, evaluate, 'gumbel', 64, params, state, jax.random.key(9)).action

    ours = dict(zip(reached, np.asarray(played(run.variables['params'], moves)).tolist(), strict=True))

    def loses(mine, theirs, to_move):
        """Whether the network ever loses from here, where it or the other is to move."""
        squares = dict(TIC_TAC_TOE.moves(mine | theirs))
        tried = [ours[mine, theirs]] if to_move else list(squares)
        for move in tried:
            after = mine | squares[move]
            if TIC_TAC_TOE.won(after):
                if not to_move:
                    return True
            elif (after | theirs).bit_count() < 9 and loses(theirs, after, not to_move):
                return True
        return False

    for stones in ((0, 0), *(TIC_TAC_TOE.after([first]) for first in range(9))):
        assert not loses(*stones, to_move=True)
        assert not loses(*stones, to_move=False)


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'dataset': 'chess'}, "no board game is named 'chess'"),
        ({'batch_size': 50}, 'batch_size is 50, what all environments do in a step, and environments 8; it must be a'),
        ({'full_every': 4}, 'full_every is 4, and a step has 6 plies of each environment; it must divide them'),
        ({'gate_games': 3}, 'gate_games is 3; it must be even'),
        ({'search': 'alpha-beta'}, "search is 'alpha-beta'; it must be puct or gumbel"),
        ({'simulations': 0}, 'simulations is 0; it must be a whole number from 1'),
        ({'averaging': {'name': 'ema', 'decay': 0.9}}, "averaging.name is 'ema'; games have none"),
        ({'learner': 'ppo', 'update_batch': 64}, 'update_batch is 64, and a step has 48 moves; it must be no more'),
        ({'learner': 'ppo', 'gate_every': 4}, 'gate_every is 4, and ppo has no gate; it must be 0'),
        (
            {'stages': ((0.0001, {'batch_size': 96}),)},
            'config.stages changes batch_size; games and replay have the size',
        ),
        ({'model': {'name': 'arcade_q'}}, 'model arcade_q is of arcade_games, and the task is board_games'),
        ({'target': {'metric': 'top1'}}, "target.metric is 'top1'; it must be raw_accuracy or"),
    ],
)
def test_mistakes_are_one_sentence(changes, words):
    config = small(gumbel_alphazero)
    config.unlock()
    for key, value in changes.items():
        if key == 'model':
            config.model = value
        else:
            config.update({key: value})
    with pytest.raises(UserError, match=words):
        opened(check_config(config), None)


def test_tic_tac_toes_solver_finds_the_mistakes_of_openings():
    # After a corner only the centre holds the draw.
    values = TIC_TAC_TOE.values(*TIC_TAC_TOE.after([0]))
    assert [move for move, value in values.items() if value == 0] == [4]


def test_what_is_missing_is_one_sentence(monkeypatch):
    from efficiency.tasks.games import needs

    with pytest.raises(UserError, match=r'games need the package no_such_game, .*; pip install "\.\[games\]"'):
        needs.needed('no_such_game')
