"""The optimizer, its schedules, and the exactness of evaluation."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efficiency.errors import UserError
from efficiency.tasks.images.loss import label_rank
from efficiency.training.optimizer import make_optimizer
from efficiency.training.schedules import make_schedule


def test_the_smooth_schedule_falls_a_thousandfold_and_the_stepped_one_tenfold_every_third():
    smooth, stepped = (make_schedule(name, 0.1, 90) for name in ('exponential', 'steps'))
    assert [float(smooth(step)) for step in (0, 30, 60, 90)] == pytest.approx([0.1, 0.01, 0.001, 0.0001])
    assert [float(stepped(step)) for step in (0, 29, 30, 59, 60, 89)] == pytest.approx(
        [0.1, 0.1] + [0.01] * 2 + [0.001] * 2
    )


def test_warm_up_rises_to_the_peak_and_the_decay_follows():
    schedule = make_schedule('cosine', 0.2, 100, warmup_steps=20)
    assert float(schedule(0)) == pytest.approx(0.01)
    assert float(schedule(19)) == float(schedule(20)) == pytest.approx(0.2)
    assert float(schedule(60)) == pytest.approx(0.1)
    assert float(schedule(100)) == pytest.approx(0, abs=1e-9)


def test_sgd_is_torchs():
    """Weight decay is added to the gradient, the momentum buffer sums, the learning rate comes last."""
    optimizer = make_optimizer('sgd', lambda step: 0.1, weight_decay=0.01, momentum=0.9)
    p, buffer = 2.0, 0.0
    params = jnp.array(p)
    state = optimizer.init(params)
    for gradient in (1.0, -0.5, 0.25):
        buffer = 0.9 * buffer + gradient + 0.01 * p
        p -= 0.1 * buffer
        updates, state = optimizer.update(jnp.array(gradient), state, params)
        params = optax.apply_updates(params, updates)
        assert float(params) == pytest.approx(p)


def test_a_clipped_gradient_keeps_its_direction():
    optimizer = make_optimizer('sgd', lambda step: 1.0, weight_decay=0, momentum=0, clip_norm=1)
    gradient = jnp.array([3.0, 4.0])
    updates, _ = optimizer.update(gradient, optimizer.init(gradient), gradient)
    np.testing.assert_allclose(updates, [-0.6, -0.8], rtol=1e-6)


@pytest.mark.parametrize('make', [make_schedule, make_optimizer])
def test_unknown_names_list_those_there_are(make):
    with pytest.raises(UserError, match=r'adamw|cosine'):
        make('nothing_like_it', 0.1, 10, 0)


@given(st.integers(1, 12), st.integers(0, 3))
@settings(deadline=None, max_examples=25)
def test_label_rank_is_the_place_in_a_stable_sort(classes, seed):
    logits = np.random.RandomState(seed).randint(0, 4, (20, classes)).astype(np.float32)  # with ties
    labels = np.random.RandomState(seed).randint(0, classes, 20)
    order = np.argsort(-logits, axis=1, kind='stable')
    expected = [row.tolist().index(label) for row, label in zip(order, labels, strict=True)]
    assert label_rank(logits, labels).tolist() == expected


def test_a_network_that_says_nan_is_never_right():
    logits = jnp.array([[jnp.nan, jnp.nan], [jnp.inf, 0.0], [1.0, 0.0]])
    assert label_rank(logits, jnp.array([0, 0, 0])).tolist() == [5, 5, 0]
