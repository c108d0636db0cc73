"""Gradients in parts are those of the whole and measure its noise; float16 scales its loss and skips what overflows."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import lenet5
from configs.games import gumbel_alphazero
from efficiency.errors import UserError
from efficiency.training.gradients import Gradients, noise_found
from efficiency.training.loop import train
from efficiency.training.recipe import opened
from efficiency.training.settings import check_config
from efficiency.training.step import init_state, make_train_step
from tests.training.stopping import goes_on_bit_for_bit

DIMENSIONS, MEAN, DEVIATION = 40, 0.3, 1.5


def line(params, extra, batch, key):
    """Of which each example's gradient is the example."""
    return (batch['x'] @ params['w']).mean(), extra


def started(gradients, size=1e-3):
    variables = {'params': {'w': np.zeros(DIMENSIONS, np.float32)}}
    return init_state(variables, optax.sgd(size), jax.random.key(0), gradients=gradients)


def examples(random, count):
    return {'x': random.normal(MEAN, DEVIATION, (count, DIMENSIONS)).astype(np.float32)}


def test_parts_come_to_the_gradient_of_the_whole():
    batch = examples(np.random.RandomState(0), 24)
    found = {}
    for parts in (1, 4, 24):
        way = Gradients(microbatches=parts)
        step = jax.jit(make_train_step(line, optax.sgd(1.0), gradients=way))
        state, loss = step(started(way, 1.0), batch)
        found[parts] = np.asarray(state.params['w'])
        assert loss == 0
    np.testing.assert_allclose(found[1], -batch['x'].mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[4], found[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[24], found[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(('batch_size', 'parts'), [(32, 2), (32, 8), (64, 64)])
def test_the_noise_is_what_examples_were_drawn_with(batch_size, parts):
    way, random = Gradients(microbatches=parts), np.random.RandomState(1)
    step = jax.jit(make_train_step(line, optax.sgd(0.0), gradients=way))
    state, squares, variances = started(way), [], []
    for _ in range(400):
        state, _ = step(state, examples(random, batch_size))
        noise = noise_found(state.gradients)
        squares.append(noise['gradient_square'])
        variances.append(noise['gradient_variance'])
    # |G|^2 and tr(Sigma) of this normal distribution; averages of the last twenty steps or so.
    assert np.mean(squares) == pytest.approx(DIMENSIONS * MEAN**2, rel=0.1)
    assert np.mean(variances) == pytest.approx(DIMENSIONS * DEVIATION**2, rel=0.1)


def test_of_whole_batches_nothing_is_measured():
    assert noise_found(started(Gradients()).gradients) == {}
    assert noise_found(started(Gradients(microbatches=2)).gradients) == {}  # before the first step


def test_float16_gets_small_gradients_through_and_skips_what_overflows():
    def tiny(params, extra, batch, key):
        # What comes back through float16 is below its smallest number.
        y = (batch['x'].astype(jnp.float16) * params['w'].astype(jnp.float16)).astype(jnp.float32)
        return (y * 1e-8).sum(), extra

    batch = {'x': np.ones((1, DIMENSIONS), np.float32)}
    losses = {name: make_train_step(tiny, optax.sgd(1e8), gradients=Gradients(name)) for name in ('float32', 'float16')}
    for name, moved in (('float32', 0), ('float16', -1)):
        state, _ = jax.jit(losses[name])(started(Gradients(name)), batch)
        np.testing.assert_allclose(state.params['w'], moved, atol=0.01)

    way = Gradients('float16')
    step = jax.jit(make_train_step(tiny, optax.adam(0.1), gradients=way))
    state = init_state({'params': {'w': np.ones(DIMENSIONS, np.float32)}}, optax.adam(0.1), jax.random.key(0),
                       gradients=way)  # fmt: skip
    before = state.gradients['loss_scale'].scale
    after, _ = step(state, {'x': np.full((1, DIMENSIONS), 1e9, np.float32)})
    assert after.step == 1
    assert after.gradients['loss_scale'].scale == before / 2
    jax.tree.map(np.testing.assert_array_equal, (after.params, after.opt_state), (state.params, state.opt_state))


def test_fixed_point_leaves_fixed_point_weights(tmp_path):
    config = lenet5.get_config()
    config.precision, config.num_epochs, config.target.value = 'fixed16', 0.05, 1.0
    recipe = opened(config, None)
    step = jax.jit(make_train_step(
        recipe.task.loss(recipe.config), optax.sgd(0.01, 0.9), gradients=Gradients('fixed16')
    ))  # fmt: skip
    batch = {name: np.zeros(shape, dtype) for name, (shape, dtype) in recipe.forms[0, 0].batch.items()}
    state, _ = step(recipe.start.replace(opt_state=optax.sgd(0.01, 0.9).init(recipe.start.params)), batch)
    for leaf in jax.tree.leaves(state.params):
        assert (np.asarray(leaf) * 2**12 == np.round(np.asarray(leaf) * 2**12)).all()


def test_a_run_in_parts_is_billed_as_the_whole_and_keeps_its_noise(tmp_path):
    runs = {}
    for parts in (1, 2):
        config = lenet5.get_config()
        config.microbatches, config.num_epochs, config.eval_every, config.target.value = parts, 0.2, 0.1, 1.0
        runs[parts] = train(config, tmp_path / str(parts))
    whole, halves = runs[1], runs[2]
    assert [point['train_macs'] for point in halves['curve']] == [point['train_macs'] for point in whole['curve']]
    assert all(point['gradient_variance'] > 0 for point in halves['curve'])
    assert 'gradient_variance' not in whole['curve'][0]


@pytest.mark.parametrize(
    'settings',
    [{'microbatches': 4}, {'precision': 'float16'}, {'precision': 'fixed16'}],
    ids=lambda each: str([*each.values()]),
)
def test_a_stopped_run_goes_on_bit_for_bit(settings, tmp_path):
    config = lenet5.get_config()
    config.num_epochs, config.eval_every, config.target.value = 0.1, 0.05, 1.0
    config.update(settings)
    whole = train(config, tmp_path / 'whole')
    goes_on_bit_for_bit(5, config, whole, tmp_path)


@pytest.mark.parametrize(
    ('settings', 'told'),
    [
        ({'microbatches': 3}, 'config.microbatches 3 does not divide batch_size 32; 33 would be divided'),
        ({'microbatches': 0}, 'config.microbatches is 0; it must be'),
        ({'microbatches': 2, 'precision': 'float16'}, 'more than 1 in float16'),
        ({'microbatches': 4, 'batch_norm_group': 16}, 'makes parts of 8 examples, which batch_norm_group 16 does not'),
        ({'precision': 'float8'}, "config.precision is 'float8'; it must be"),
    ],
)
def test_what_cannot_be_is_said(settings, told):
    config = lenet5.get_config()
    config.update(settings)
    with pytest.raises(UserError, match=told):
        opened(config, None)


def test_games_take_their_examples_at_once():
    config = gumbel_alphazero.get_config()
    config.microbatches = 2
    with pytest.raises(UserError, match=r'config\.microbatches is 2; it must be 1: an update'):
        check_config(config)
