"""Learning-rate schedules are their closed forms, from the first step to 2**31, and after their end."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_collections import ConfigDict

from configs import lenet5
from efficiency import records
from efficiency.errors import UserError
from efficiency.training.identity import differing_keys, run_name
from efficiency.training.plan import Plan
from efficiency.training.recipe import opened
from efficiency.training.schedules import make_schedule, register_schedule
from efficiency.training.settings import check_config

PEAK = 0.1
# By the share of the schedule that is over, in float64.
CLOSED_FORMS = {
    'exponential': lambda share: 1000**-share,
    'cosine': lambda share: (1 + math.cos(math.pi * share)) / 2,
    'linear': lambda share: 1 - share,
    'wsd': lambda share: min(1, 5 * (1 - share)),
    'constant': lambda share: 1,
}
MOST = 2**31 - 1


def rates(schedule, steps):
    """As a jitted train step asks for them: by an int32 count."""
    return np.asarray(jax.vmap(schedule)(jnp.asarray(steps, jnp.int32)), np.float64)


@pytest.mark.parametrize('name', CLOSED_FORMS)
@given(length=st.integers(20, MOST), share=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_a_schedule_is_its_closed_form_at_any_length(name, length, share):
    step = round(share * length)
    # wsd's fifth is a whole number of steps.
    within = 1e-5 + (1 / (length / 5) if name == 'wsd' else 0)
    (rate,) = rates(make_schedule(name, PEAK, length), [step])
    assert rate == pytest.approx(PEAK * CLOSED_FORMS[name](step / length), abs=PEAK * within)


@given(third=st.integers(10, MOST // 3), where=st.integers(0, 2), share=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_the_stepped_schedule_falls_at_its_thirds(third, where, share):
    # float32 has 24 bits: of 2**31 steps it cannot tell the next 128.
    from_jump = max(1, third >> 22) if third > 2**22 else 0
    step = where * third + from_jump + round(share * (third - 1 - 2 * from_jump))
    (rate,) = rates(make_schedule('steps', PEAK, 3 * third), [step])
    assert rate == pytest.approx(PEAK / 10**where)


@pytest.mark.parametrize(
    ('name', 'end'),
    [('exponential', 1e-4), ('steps', 1e-3), ('cosine', 0), ('linear', 0), ('wsd', 0), ('constant', PEAK)],
)
@pytest.mark.parametrize('length', [1, 7, 1000, 2**30])
@pytest.mark.parametrize('warmup', [0, 1, 5])
def test_after_its_end_the_rate_stays_at_its_end(name, end, length, warmup):
    schedule = make_schedule(name, PEAK, length, warmup)
    after = max(length, warmup + 1)
    np.testing.assert_allclose(rates(schedule, [after, after + 1, 2**31 - 1]), end, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize('name', [*CLOSED_FORMS, 'steps'])
def test_warm_up_rises_by_the_same_at_each_step_and_the_decay_has_what_follows(name):
    schedule, alone = make_schedule(name, PEAK, 120, 20), make_schedule(name, PEAK, 100)
    np.testing.assert_allclose(rates(schedule, range(20)), PEAK * np.arange(1, 21) / 20, rtol=1e-5)
    np.testing.assert_allclose(rates(schedule, range(20, 130)), rates(alone, range(110)), rtol=1e-6)


@pytest.mark.parametrize('warmup', [1, 7, 4000, 2**20])
@pytest.mark.parametrize('times', [1, 2, 10, 500])
def test_after_its_warm_up_the_transformers_rate_is_its_papers_but_for_the_peak(warmup, times):
    width, steps = 512, times * warmup
    # Vaswani et al., 2017, equation 3, whose steps are counted from 1.
    papers = width**-0.5 * min(steps**-0.5, steps * warmup**-1.5)
    schedule = make_schedule('inverse_sqrt', (width * warmup) ** -0.5, MOST, warmup)
    (rate,) = rates(schedule, [steps if times > 1 else steps - 1])
    assert rate == pytest.approx(papers, rel=1e-5)


def test_an_inverse_square_root_ends_where_the_schedule_does():
    schedule = make_schedule('inverse_sqrt', PEAK, 1000, 10)
    np.testing.assert_allclose(
        rates(schedule, [40, 1000, 1001, MOST]), PEAK * np.array([0.5, 0.1, 0.1, 0.1]), rtol=1e-5
    )
    np.testing.assert_allclose(rates(make_schedule('inverse_sqrt', PEAK, 99), [0, 3, 99]), PEAK / np.array([1, 2, 10]))


def test_wsd_stays_at_its_peak_for_four_fifths():
    found = rates(make_schedule('wsd', PEAK, 10), range(12))
    np.testing.assert_allclose(found, PEAK * np.array([1, 1, 1, 1, 1, 1, 1, 1, 1, 0.5, 0, 0]), rtol=1e-6)


def test_a_schedule_of_ones_own_and_one_whose_name_is_taken():
    @register_schedule('test_square_root')
    def square_root(peak, steps):
        return lambda step: peak * (1 - step / steps) ** 0.5

    np.testing.assert_allclose(rates(make_schedule('test_square_root', 2.0, 4), [0, 3, 4]), [2, 1, 0])
    with pytest.raises(ValueError, match="a schedule named 'linear' is registered already"):
        register_schedule('linear')(lambda peak, steps: None)
    with pytest.raises(UserError, match=r"no schedule is named 'linea'; the nearest are linear"):
        make_schedule('linea', 0.1, 10)


def config_with(**keys):
    config = lenet5.get_config()
    config.schedule, config.warmup_epochs, config.gradient_clip_norm, config.weight_decay = 'linear', 0.0, 0.0, 0.0
    config.optimizer.momentum = 0.0
    config.update(keys)
    return config


def rates_of_sgd(config, total_steps, num_train):
    """The learning rate of each step, as what becomes of a gradient of 1."""
    config.num_epochs = total_steps * config.batch_size / num_train
    optimizer, gradient = Plan(check_config(config), num_train).stages[0].optimizer, jnp.ones(())
    state, found = optimizer.init(gradient), []
    for _ in range(total_steps):
        update, state = optimizer.update(gradient, state, gradient)
        found.append(-float(update))
    return found


def test_a_schedule_ends_at_its_stated_epoch_and_stays_there():
    config = config_with(schedule_epochs=2.0, num_epochs=3.0, batch_size=10, learning_rate=0.8)
    np.testing.assert_allclose(
        rates_of_sgd(config, 12, 40), [0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0, 0, 0, 0], atol=1e-7
    )
    config.warmup_epochs = 5.0  # half of the schedule at the most
    np.testing.assert_allclose(
        rates_of_sgd(config, 12, 40), [0.2, 0.4, 0.6, 0.8, 0.8, 0.6, 0.4, 0.2, 0, 0, 0, 0], atol=1e-7
    )


def test_a_schedule_may_end_after_the_run_and_ends_with_it_where_nothing_is_said():
    found = rates_of_sgd(config_with(schedule_epochs=6.0, batch_size=10, learning_rate=0.8), 12, 40)
    np.testing.assert_allclose(found, 0.8 * (1 - np.arange(12) / 24), rtol=1e-6)
    found = rates_of_sgd(config_with(batch_size=10, learning_rate=0.8), 12, 40)
    np.testing.assert_allclose(found, 0.8 * (1 - np.arange(12) / 12), rtol=1e-6)


@pytest.mark.parametrize('epochs', [0.0, -1.0, float('inf'), 'three'])
def test_an_end_of_the_schedule_that_cannot_be_is_one_sentence(epochs):
    config = ConfigDict({**config_with().to_dict(), 'schedule_epochs': epochs})
    with pytest.raises(UserError, match=r'schedule_epochs is .*; it must be a number from 1e-09 to 1e\+09, or nothing'):
        check_config(config)


def test_a_schedule_of_too_many_steps_is_one_sentence():
    with pytest.raises(UserError, match=r'config.schedule_epochs of 1e\+08 are 1.25e\+10 steps; they must be from 1'):
        opened(config_with(schedule_epochs=1e8), None)


def test_runs_from_before_the_key_are_those_whose_schedule_ends_with_them():
    config, longer = check_config(config_with()), check_config(config_with(schedule_epochs=40.0))
    before = config.to_dict()
    del before['schedule_epochs']
    completed = records.completed_config(before)
    assert run_name(ConfigDict(before)) == run_name(config) != run_name(longer)
    assert differing_keys(config.to_dict(), completed) == []
    assert differing_keys(longer.to_dict(), completed) == ['schedule_epochs']
    # Nothing stands for a value of its own here, not for what a data set made of it.
    assert differing_keys(config.to_dict(), longer.to_dict()) == ['schedule_epochs']
