"""Averages of weights are those of their definitions, and a run that goes on has the one it had."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efficiency.errors import UserError
from efficiency.flops import count
from efficiency.training.averaging import NO_AVERAGING, make_averaging
from efficiency.training.checkpoint import Checkpoints

STEPS = 12
ALL = [{'name': 'none'}, {'name': 'ema', 'decay': 0.9}, {'name': 'last', 'count': 3, 'every': 0.5}]


def variables_of(step):
    """As a step leaves them; step 0 is before the first."""
    random = np.random.RandomState(step)
    return {
        'params': {'fc': {'kernel': random.randn(2, 3).astype(np.float32), 'bias': random.randn(3).astype(np.float32)}},
        'batch_stats': {'mean': random.randn(3).astype(np.float32)},
        'other': {'seen': np.int32(step), 'sign': np.array([step % 2 == 0])},
    }


def floats(variables):
    return {name: tree for name, tree in variables.items() if name != 'other'}


def averages(averaging, steps=STEPS):
    """What would be evaluated after each step, with a jitted update that gives its buffers away."""
    update = jax.jit(averaging.update, donate_argnums=0)
    average, found = jax.jit(averaging.init)(jax.tree.map(jnp.asarray, variables_of(0))), []
    for step in range(1, steps + 1):
        average = update(average, variables_of(step))
        found.append(jax.jit(averaging.weights)(average, variables_of(step)))
    return found


def assert_weighted(found, weights):
    """That found is the sum of the steps' variables with such weights, and the integers are the newest."""
    expected = jax.tree.map(
        lambda *leaves: sum(w * np.float64(leaf) for w, leaf in zip(weights, leaves, strict=True)),
        *(floats(variables_of(step)) for step in range(1, len(weights) + 1)),
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), floats(found), expected)
    newest = variables_of(len(weights))['other']
    assert jax.tree.map(lambda leaf: (leaf.dtype, leaf.tolist()), found['other']) == jax.tree.map(
        lambda leaf: (leaf.dtype, leaf.tolist()), newest
    )


@pytest.mark.parametrize('decay', [0.5, 0.9, 0.9999])
def test_the_exponential_average_forgets_by_its_decay_and_knows_nothing_of_the_beginning(decay):
    for t, found in enumerate(averages(make_averaging({'name': 'ema', 'decay': decay}, 8, 100)), 1):
        weights = np.array([(1 - decay) * decay ** (t - i) for i in range(1, t + 1)])
        assert_weighted(found, weights / weights.sum())


def test_the_exponential_average_of_many_steps_is_near_the_newest_of_weights_that_stand():
    averaging = make_averaging({'name': 'ema'}, 8, 100)
    ones = {'w': jnp.ones(3)}
    update = jax.jit(averaging.update)
    average = averaging.init({'w': jnp.zeros(3)})
    # 10,000 steps in, of a decay of 0.999, a change counts a thousandth.
    average = {**average, 'steps': jnp.int32(10_000), 'mean': ones}
    np.testing.assert_allclose(update(average, {'w': jnp.full(3, 2.0)})['mean']['w'], 1 + 1e-3 / (1 - 0.999**10_001))
    average = {**average, 'steps': jnp.int32(2**31 - 2)}
    np.testing.assert_allclose(update(average, {'w': jnp.full(3, 2.0)})['mean']['w'], 1.001)


def test_the_mean_of_the_last_is_that_of_the_weights_at_the_last_times():
    # 10 examples a step, every 25: after steps 3, 5, 8, 10, 13.
    found = averages(make_averaging({'name': 'last', 'count': 2, 'every': 0.25}, 10, 100), 14)
    times = [3, 5, 8, 10, 13]
    for step, each in enumerate(found, 1):
        before = [time for time in times if time <= step][-2:] or [step]
        assert_weighted(each, [(i in before) / len(before) for i in range(1, step + 1)])


@given(batch=st.integers(1, 300), examples=st.integers(1, 300), every=st.sampled_from([0.01, 0.5, 1, 1.0, 2.5]))
@settings(max_examples=30, deadline=None)
def test_its_times_are_those_of_evaluations(batch, examples, every):
    averaging = make_averaging({'name': 'last', 'every': every, 'count': 1}, batch, examples)
    update = jax.jit(averaging.update)
    average = averaging.init({'w': jnp.zeros(())})
    apart = max(1, round(every * examples))
    for step in range(1, 20):
        before = int(average['times'])
        average = update(average, {'w': jnp.float32(step)})
        due = step * batch // apart > (step - 1) * batch // apart
        assert int(average['times']) - before == due
        assert not due or float(averaging.weights(average, {'w': jnp.float32(-1)})['w']) == step


def test_stages_of_several_batch_sizes_share_an_average():
    section = {'name': 'last', 'count': 3, 'every': 1.0}
    small, large = (make_averaging(section, size, 40) for size in (10, 20))
    average = small.init(variables_of(0))
    for step in range(1, 9):
        average = (small if step <= 6 else large).update(average, variables_of(step))
    # 60 examples, then 20 and 20: after steps 4 and 7.
    found = small.weights(average, variables_of(8))
    assert_weighted(found, [0, 0, 0, 0.5, 0, 0, 0.5, 0])


@pytest.mark.parametrize('section', ALL, ids=lambda section: section['name'])
def test_a_run_that_goes_on_has_the_very_average_it_had(section, tmp_path):
    averaging = make_averaging(section, 10, 100)
    update = jax.jit(averaging.update)
    average = averaging.init(variables_of(0))
    for step in range(1, 7):
        average = update(average, variables_of(step))
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(6, {'average': average, 'params': variables_of(6)['params']}, {})
    checkpoints.wait()
    like = {'average': jax.jit(averaging.init)(variables_of(1)), 'params': variables_of(0)['params']}
    restored, _ = checkpoints.restore(lambda _: like)
    checkpoints.close()
    gone_on = restored['average']
    for step in range(7, STEPS + 1):
        average, gone_on = (update(each, variables_of(step)) for each in (average, gone_on))
    assert jax.tree.structure(average) == jax.tree.structure(gone_on)
    jax.tree.map(np.testing.assert_array_equal, average, gone_on)


def test_without_an_average_there_are_no_arrays_and_no_operations():
    averaging = make_averaging({'name': 'none'}, 10, 100)
    assert jax.tree.leaves(averaging.init(variables_of(0))) == []
    jaxpr = jax.make_jaxpr(lambda v: averaging.weights(averaging.update((), v), v))(variables_of(0))
    assert jaxpr.eqns == []
    assert averaging.weights((), 'the newest') == 'the newest'


@pytest.mark.parametrize('section', ALL, ids=lambda section: section['name'])
def test_no_average_multiplies_matrices_or_shares_a_buffer_and_its_memory_is_as_said(section):
    averaging = make_averaging(section, 10, 100)
    variables = jax.tree.map(jnp.asarray, variables_of(0))
    average = averaging.init(variables)
    assert count(averaging.update, average, variables).dense_macs == 0
    assert count(averaging.weights, average, variables).dense_macs == 0
    addresses = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves((average, variables))]
    assert len(set(addresses)) == len(addresses)
    copies = {'none': 0, 'ema': 1, 'last': 3}[section['name']]
    counters = {'none': 0, 'ema': 1, 'last': 2}[section['name']]
    arrays = sum(leaf.size for leaf in jax.tree.leaves(floats(variables)))
    assert sum(leaf.size for leaf in jax.tree.leaves(average)) == copies * arrays + counters


@pytest.mark.parametrize('section', ALL[1:], ids=lambda section: section['name'])
def test_weights_of_few_bits_are_averaged_in_more(section):
    averaging = make_averaging(section | ({'decay': 0.999} if section['name'] == 'ema' else {}), 100, 100)
    weights = [jnp.full(2, 1 + step / 128, jnp.bfloat16) for step in range(6)]
    average = averaging.init({'w': weights[0]})
    for each in weights[1:]:
        average = averaging.update(average, {'w': each})
    found = averaging.weights(average, {'w': weights[-1]})['w']
    # The mean of steps 1 to 5, or of 3 to 5, which their bits can say; sums of theirs could not.
    assert (found.dtype, found.tolist()) == (jnp.bfloat16, [1 + {'ema': 3, 'last': 4}[section['name']] / 128] * 2)


@pytest.mark.parametrize(
    ('section', 'sentence'),
    [
        ({'name': 'emma'}, "no averaging is named 'emma'; the nearest are ema"),
        ({'name': 'ema', 'count': 3}, "config.averaging has the key 'count', which ema does not take; it takes decay"),
        ({'name': 'ema', 'decay': 1.0}, 'config.averaging.decay is 1.0; it must be a number above 0 and below 1'),
        ({'name': 'ema', 'decay': 0}, 'config.averaging.decay is 0; it must be a number above 0 and below 1'),
        ({'name': 'last', 'count': 0}, 'config.averaging.count is 0; it must be a whole number from 1 to 1000'),
        ({'name': 'last', 'every': math.nan}, 'config.averaging.every is nan; it must be a number from 1e-09 to 1e+09'),
        ({'name': 'last', 'every': 1e8}, 'config.averaging.every of 1e+08 epochs are 10000000000 examples; they must'),
    ],
)
def test_an_averaging_that_cannot_be_is_one_sentence(section, sentence):
    with pytest.raises(UserError) as error:
        make_averaging(section, 10, 100)
    assert sentence in str(error.value)


def test_a_files_averaging_can_be_taken_away_by_its_name_alone():
    assert make_averaging({'name': 'none', 'decay': 0.9}, 8, 64) is NO_AVERAGING
