"""Screens and what is learned from them, beside sums by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from benchmarks.games_variants import random_return
from configs.games import double_dqn, dqn, ppo, pqn
from efficiency.errors import UserError
from efficiency.flops import count
from efficiency.tasks.games.arcade import q_learning, rollout
from efficiency.tasks.games.arcade.evaluation import ReturnEvaluator
from efficiency.tasks.games.arcade.q_learning import Replay
from efficiency.tasks.games.arcade.screen import arcade
from efficiency.tasks.games.passes import passes
from efficiency.training.loop import train
from efficiency.training.mesh import DataParallel
from efficiency.training.recipe import opened
from efficiency.training.settings import check_config
from tests.training.stopping import goes_on_bit_for_bit

BREAKOUT = arcade('breakout', 0.1)
_WIDTH, _ACTIONS, _CHANNELS = 8, 3, 4


def small(system, **more):
    """A system on Breakout with a narrow network, and chunks of 4 frames of 4 games."""
    config = system.get_config()
    config.model.width = _WIDTH
    config.update({'environments': 4, 'batch_size': 16, 'updates': 2, 'update_batch': 8, 'eval_episodes': 4})
    config.update({'num_epochs': 16 * 6 / 1e6, 'eval_every': 16 * 3 / 1e6, 'stop_at_target': False})
    if config.learner == 'dqn':
        config.update({'replay_frames': 64, 'warm_up': 32, 'target_every': 16})
    config.update(more)
    return config


def trunk_macs():
    """By hand: 8 x 8 places of a 3 x 3 convolution with 16 channels, and the dense layer."""
    return 64 * 9 * _CHANNELS * 16 + 64 * 16 * _WIDTH


def parts_of(config):
    recipe = opened(check_config(config), None)
    form = recipe.forms[0, 0]
    state, key = recipe.state_in(recipe.plan.stages[0]), jax.random.key(0)
    return {part.name: count(part.function, state.params, state.carried, key).dense_macs for part in form.parts}


def test_a_step_costs_its_frames_and_the_networks_that_an_update_asks():
    q = trunk_macs() + _WIDTH * _ACTIONS
    assert parts_of(small(dqn)) == {'play': 16 * q, 'update': 2 * 8 * q}
    assert parts_of(small(double_dqn)) == {'play': 16 * q, 'update': 3 * 8 * q}
    dueling = small(double_dqn, n_step=3)
    dueling.model.dueling = True
    assert parts_of(dueling)['update'] == 3 * 8 * (q + _WIDTH)
    # What the screens after the chunk are worth, too.
    assert parts_of(small(pqn)) == {'play': (16 + 4) * q, 'update': 8 * q}
    # Of PPO's last screens only that.
    play = 16 * (q + _WIDTH) + 4 * (trunk_macs() + _WIDTH)
    assert parts_of(small(ppo)) == {'play': play, 'update': 8 * (q + _WIDTH)}


def test_nothing_is_learned_before_the_replay_is_filled_and_a_run_goes_on_bit_for_bit(tmp_path):
    config = small(dqn)
    whole = train(config, tmp_path / 'whole')
    by_form = {program['form']: program for program in whole['programs']}
    assert (by_form[1]['steps'], [part['name'] for part in by_form[1]['parts']]) == (2, ['play'])
    assert (by_form[0]['steps'], [part['name'] for part in by_form[0]['parts']]) == (4, ['play', 'update'])
    q = trunk_macs() + _WIDTH * _ACTIONS
    # Forward and its two gradients but for that of the screens, and the target network's forward pass.
    update = 8 * (3 * q - 64 * 9 * _CHANNELS * 16) + 8 * q
    assert by_form[0]['parts'][1]['dense_macs_per_call'] == update
    assert whole['curve'][-1]['train_macs'] == 6 * 16 * q + 4 * 2 * update

    goes_on_bit_for_bit(4, config, whole, tmp_path)


@pytest.mark.parametrize('system', [ppo, pqn])
def test_what_has_no_replay_goes_on_bit_for_bit(system, tmp_path):
    config = small(system)
    whole = train(config, tmp_path / 'whole')
    goes_on_bit_for_bit(4, config, whole, tmp_path)


def test_returns_of_several_steps_stop_at_an_end_and_leave_out_what_was_cut():
    # One game of 8 frames: rewards 1, 2, 4, ..., an end after the third, a cut after the sixth.
    replay = Replay(
        jnp.arange(8, dtype=jnp.uint8)[:, None, None], jnp.arange(8, dtype=jnp.int8)[:, None],
        2.0 ** jnp.arange(8)[:, None], (jnp.arange(8) == 2)[:, None], (jnp.arange(8) == 5)[:, None], jnp.int32(8),
    )  # fmt: skip
    config = ConfigDict({'update_batch': 500, 'n_step': 2, 'discount': 0.5})
    screen, action, gained, goes_on, after, learned = q_learning._drawn(config, replay, jax.random.key(0))
    first = np.asarray(screen)[:, 0]
    assert set(first) == set(range(6))  # what follows the newest two is not there yet
    np.testing.assert_array_equal(action, first)
    np.testing.assert_array_equal(np.asarray(after)[:, 0], first + 2)
    by_hand = [1 + 0.5 * 2, 2 + 0.5 * 4, 4, 8 + 0.5 * 16, 16 + 0.5 * 32, 32 + 0.5 * 64]
    np.testing.assert_allclose(gained, np.array(by_hand)[first])
    np.testing.assert_allclose(goes_on, np.array([0.25, 0, 0, 0.25, 0.25, 0.25])[first])
    np.testing.assert_array_equal(learned, ~np.isin(first, [4, 5]))


def test_a_ring_that_has_gone_round_draws_no_frames_that_are_gone():
    # Ten frames into eight slots: those numbered 2 to 9 are left, and 9 begins nothing.
    numbers = np.array([8, 9, 2, 3, 4, 5, 6, 7], np.uint8)
    nothing = jnp.zeros((8, 1), bool)
    replay = Replay(
        jnp.array(numbers)[:, None, None], jnp.zeros((8, 1), jnp.int8), jnp.zeros((8, 1)), nothing, nothing,
        jnp.int32(10),
    )  # fmt: skip
    config = ConfigDict({'update_batch': 500, 'n_step': 1, 'discount': 0.9})
    screen, *_, after, _ = q_learning._drawn(config, replay, jax.random.key(0))
    assert set(np.asarray(screen)[:, 0]) == set(range(2, 9))
    np.testing.assert_array_equal(np.asarray(after), np.asarray(screen) + 1)


def test_lambda_returns_and_advantages_are_those_by_hand():
    value, reward = np.array([[0.5], [0.25], [2.0]]), np.array([[1.0], [0.0], [3.0]])
    over, last = (np.array([[False], [True], [False]]), np.zeros((3, 1), bool)), np.array([4.0])
    third = 3 + 0.9 * 4
    first = 1 + 0.9 * (0.5 * 0 + 0.5 * 0.25)  # the second ends with nothing
    found = rollout.lambda_returns(value, reward, *over, jnp.array(last), 0.9, 0.5)
    np.testing.assert_allclose(found[:, 0], [first, 0, third], rtol=1e-6)
    deltas = [1 + 0.9 * 0.25 - 0.5, 0 - 0.25, 3 + 0.9 * 4 - 2]
    found = rollout.advantages(value, reward, *over, jnp.array(last), 0.9, 0.5)
    np.testing.assert_allclose(found[:, 0], [deltas[0] + 0.45 * deltas[1], deltas[1], deltas[2]], rtol=1e-6)


def test_a_limit_of_frames_is_no_end_of_what_is_expected():
    # As where the chunk had ended before the frame that was cut, whose screen is worth 2.
    value, reward = np.array([[0.5], [0.25], [2.0], [0.75]]), np.array([[1.0], [0.0], [3.0], [5.0]])
    nothing, cut, last = np.zeros((4, 1), bool), np.array([[False], [False], [True], [False]]), jnp.array([4.0])
    for of, by_itself in ((rollout.lambda_returns, 2.0), (rollout.advantages, 0.0)):
        found = of(value, reward, nothing, cut, last, 0.9, 0.5)
        before = of(value[:2], reward[:2], nothing[:2], nothing[:2], jnp.array([2.0]), 0.9, 0.5)
        after = of(value[3:], reward[3:], nothing[3:], nothing[3:], last, 0.9, 0.5)
        np.testing.assert_allclose(found, np.concatenate([before, [[by_itself]], after]), rtol=1e-6)


@pytest.mark.parametrize('system', [ppo, pqn])
def test_what_a_limit_of_frames_cut_is_not_learned(system):
    recipe = opened(check_config(small(system)), None)
    empty = rollout.empty_rollout(BREAKOUT, recipe.config)
    order = jnp.arange(16).reshape(2, 8)
    learned = jnp.arange(16) % 8 != 3
    screens = jax.random.bernoulli(jax.random.key(0), shape=(16, 10, 10, 4))
    goals = jnp.arange(16.0)

    def loss(changed):
        made = empty._replace(
            screen=BREAKOUT.packed(screens), goal=goals.at[3].set(changed), advantage=goals.at[3].set(changed),
            learned=learned, order=order,
        )  # fmt: skip
        of = BREAKOUT, recipe.task._apply, recipe.config, recipe.start.params
        return float(rollout.rollout_loss(*of, made, jnp.int32(0)))

    assert loss(3.0) == loss(1000.0)


def test_the_mean_of_fewer_games_is_asked_something_else():
    def fingerprint(**more):
        return opened(check_config(small(pqn, **more)), None).task.description['fingerprint']

    assert fingerprint() == fingerprint(epsilon=0.2)
    assert len({fingerprint(), fingerprint(eval_episodes=1), fingerprint(sticky=0.2)}) == 3


def test_screens_survive_their_packing():
    for name, channels in (('breakout', 4), ('asterix', 4), ('freeway', 7)):
        rules = arcade(name, 0.1)
        screens = jax.random.bernoulli(jax.random.key(0), shape=(3, 10, 10, channels))
        np.testing.assert_array_equal(rules.unpacked(rules.packed(screens)), screens)


def test_a_sticky_action_is_as_often_as_said_that_before():
    rules = arcade('breakout', 0.3)
    games = rules.begin(jax.random.key(0), 4000)._replace(last=jnp.full(4000, 1))
    after, _ = jax.jit(rules.play)(games, jnp.full(4000, 2), jax.random.key(1))
    assert float((after.last == 1).mean()) == pytest.approx(0.3, abs=4 * 0.0073)


def test_random_actions_return_what_minatars_authors_say():
    # github.com/kenjyoung/MinAtar: random play of Breakout returns 0.5. Theirs draws of all six actions, of which four
    # do nothing here: what this game calls 0.
    def choose(params, screens, key):
        return jnp.maximum(jax.random.randint(key, (len(screens),), 0, 6) - 3, 0)

    evaluate = ReturnEvaluator(BREAKOUT, choose, 2048, DataParallel(1, jax.devices()[:1]))
    evaluate.compile({'params': ()})
    # Three standard errors of the mean of 2,048 games, whose deviation is 0.72, and half of the last digit told.
    assert evaluate({'params': ()}).metrics['return'] == pytest.approx(0.5, abs=0.05 + 0.05)


def test_a_run_that_learns_nothing_stays_where_random_actions_are(tmp_path):
    # PPO's policy begins uniform, and at this rate stays so.
    length = 64 / 1e6
    config = small(ppo, learning_rate=1e-12, eval_episodes=512, num_epochs=length, eval_every=length)
    record = train(config, tmp_path)
    # Three standard errors of the difference between two means of 512 games, whose deviation is 0.65.
    assert record['final']['return'] == pytest.approx(random_return('breakout'), abs=0.12)


def test_updates_go_over_a_chunk_in_another_order_each_time():
    config = ConfigDict({'batch_size': 16, 'updates': 5, 'update_batch': 8})
    order = np.asarray(passes(config, jax.random.key(0)))
    first, second, rest = np.split(order.reshape(-1), [16, 32])
    assert order.shape == (5, 8)
    assert sorted(first) == sorted(second) == list(range(16))
    assert list(first) != list(second)
    assert len(set(rest)) == 8


def test_exploring_goes_down_on_a_line():
    config = ConfigDict({'epsilon': 0.1, 'epsilon_frames': 100})
    found = [float(q_learning.epsilon_at(config, jnp.int32(frames))) for frames in (0, 50, 100, 1000)]
    np.testing.assert_allclose(found, [1.0, 0.55, 0.1, 0.1], rtol=1e-6)


@pytest.mark.parametrize(
    ('system', 'changes', 'words'),
    [
        (dqn, {'dataset': 'pong'}, "no arcade game is named 'pong'"),
        (dqn, {'warm_up': 0}, 'warm_up is 0; to have something to learn from it must be at least 8 frames'),
        (dqn, {'warm_up': 10_000_000}, 'warm_up is 10000000 frames, and the run has no more; nothing would be learned'),
        (dqn, {'replay_frames': 63}, 'replay_frames is 63, and environments 4; it must be a multiple of them'),
        (ppo, {'update_batch': 32}, 'update_batch is 32, and a step has 16 frames; it must be no more'),
        (ppo, {'warm_up': 5}, 'warm_up is 5, and ppo has no replay to fill: leave it 0'),
        (ppo, {'model': {'name': 'arcade_q'}}, 'model.name is arcade_q, and ppo learns arcade_actor_critic'),
        (dqn, {'model': {'name': 'arcade_actor_critic'}}, 'model.name is arcade_actor_critic, and dqn learns arcade_q'),
        (pqn, {'sticky': 1.5}, 'sticky is 1.5; it must be a number from 0 to 1'),
    ],
)
def test_mistakes_are_one_sentence(system, changes, words):
    config = small(system, **changes)
    with pytest.raises(UserError, match=words):
        opened(check_config(config), None)
