"""The train step and the evaluation of a batch beside numpy; the optimizer and its schedules."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from hypothesis import given, settings
from hypothesis import strategies as st

from configs import lenet5
from efficiency.errors import UserError
from efficiency.layers.modules import BatchNorm, NormInGroups
from efficiency.tasks.evaluation import _totals_of
from efficiency.tasks.images import task as images
from efficiency.tasks.images.loss import label_rank
from efficiency.tasks.images.networks.variables import initialise
from efficiency.training.optimizer import make_optimizer
from efficiency.training.schedules import make_schedule
from efficiency.training.step import init_state, make_train_step

CLASSES, SIZE, MEAN, STD, EPSILON = 7, 4, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), 1e-5


class Regression(nn.Module):
    """Softmax regression on normalised images."""

    num_classes: int = CLASSES

    @nn.compact
    def __call__(self, x, train):
        x = BatchNorm(train, epsilon=EPSILON, name='norm')(x)
        return nn.Dense(self.num_classes, name='fc')(x.reshape(len(x), -1))


@pytest.fixture
def task_of(monkeypatch):
    """The task of a network, on images of which nothing is there."""

    def task(model):
        monkeypatch.setattr(images, 'network', lambda config, num_classes: model)
        config = lenet5.get_config()
        config.augmentation = 'none'
        return images.Images(config, images._Looks(CLASSES, 3, MEAN, STD))

    return task


def started(model, optimizer):
    return init_state(initialise(model, jax.random.key(0), SIZE), optimizer, jax.random.key(0))


def drawn(n):
    """A batch of images and labels."""
    random = np.random.RandomState(n)
    images = random.randint(0, 256, (n, SIZE, SIZE, 3)).astype(np.uint8)
    return {'image': images, 'label': random.randint(0, CLASSES, n).astype(np.int32)}


def log_softmax(logits):
    logits = logits - logits.max(1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


class ByHand:
    """The same in float64, each formula written out: the loss, its gradients, and SGD as torch has it."""

    def __init__(self, params, group, weight_decay, momentum, clip_norm):
        self.params = {(layer, name): np.float64(x) for layer, each in params.items() for name, x in each.items()}
        self.buffers = {key: np.zeros_like(value) for key, value in self.params.items()}
        self.stats = {'mean': np.zeros(3), 'var': np.ones(3)}
        self.group, self.weight_decay, self.momentum, self.clip_norm = group, weight_decay, momentum, clip_norm
        self.norms = []

    def step(self, batch, rate):
        x = (batch['image'] / 255 - MEAN) / STD
        # Each group by its own mean and variance; the running ones take a tenth of their mean, unbiased.
        parts = x.reshape(-1, self.group, SIZE, SIZE, 3)
        mean, var = parts.mean((1, 2, 3)), parts.var((1, 2, 3))
        unbiased = parts.var((1, 2, 3), ddof=1)
        self.stats = {
            'mean': 0.9 * self.stats['mean'] + 0.1 * mean.mean(0),
            'var': 0.9 * self.stats['var'] + 0.1 * unbiased.mean(0),
        }
        around = [each[:, None, None, None] for each in (mean, np.sqrt(var + EPSILON))]
        normed = ((parts - around[0]) / around[1]).reshape(x.shape)
        p = self.params
        features = (normed * p['norm', 'scale'] + p['norm', 'bias']).reshape(len(x), -1)
        logs = log_softmax(features @ p['fc', 'kernel'] + p['fc', 'bias'])
        loss = -logs[np.arange(len(x)), batch['label']].mean()
        # The loss's gradient by the logits: what was said less what is so, over the batch.
        by_logits = (np.exp(logs) - np.eye(CLASSES)[batch['label']]) / len(x)
        by_features = (by_logits @ p['fc', 'kernel'].T).reshape(x.shape)
        gradients = {
            ('fc', 'kernel'): features.T @ by_logits,
            ('fc', 'bias'): by_logits.sum(0),
            ('norm', 'scale'): (by_features * normed).sum((0, 1, 2)),
            ('norm', 'bias'): by_features.sum((0, 1, 2)),
        }
        self.norms.append(np.sqrt(sum((gradient**2).sum() for gradient in gradients.values())))
        scale = min(1, self.clip_norm / self.norms[-1])
        for key, gradient in gradients.items():
            self.buffers[key] = self.momentum * self.buffers[key] + scale * gradient + self.weight_decay * p[key]
            p[key] = p[key] - rate * self.buffers[key]
        return loss


@pytest.mark.parametrize('group', [12, 4])
def test_the_train_step_is_that_of_the_formulas(group, task_of):
    settings = {'weight_decay': 0.02, 'momentum': 0.9, 'clip_norm': 1.0}
    schedule = make_schedule('cosine', 0.2, 6, warmup_steps=2)
    optimizer = make_optimizer('sgd', schedule, **settings)
    model = NormInGroups(Regression(), group) if group < 12 else Regression()
    state = started(model, optimizer)
    hand = ByHand(state.params, group, **settings)
    task = task_of(model)
    train_step = jax.jit(make_train_step(task.loss(task.config), optimizer))
    batch = drawn(12)
    for number, rate in enumerate([0.1, 0.2, 0.2, 0.1 + 0.1 * np.cos(np.pi / 4), 0.1, 0.1 - 0.1 * np.cos(np.pi / 4)]):
        assert int(state.step) == number
        state, loss = train_step(state, batch)
        assert float(loss) == pytest.approx(hand.step(batch, rate), rel=1e-4)
        for (layer, name), expected in hand.params.items():
            np.testing.assert_allclose(state.params[layer][name], expected, rtol=1e-4, atol=1e-5)
        for name, expected in hand.stats.items():
            np.testing.assert_allclose(state.extra['batch_stats']['norm'][name], expected, rtol=1e-4, atol=1e-5)
    # Some gradients were longer than the bound, and some were not.
    assert min(hand.norms) < settings['clip_norm'] < max(hand.norms)


def test_the_totals_of_an_evaluation_are_counted_over_what_is_no_padding(task_of):
    batch = drawn(20) | {'mask': np.arange(20) < 17}
    state = started(Regression(), optax.sgd(0.1))
    stats = {'norm': {'mean': np.float32([0.1, 0.2, 0.3]), 'var': np.float32([1.5, 0.5, 2.0])}}
    variables = {'params': state.params, 'batch_stats': stats}
    totals = jax.jit(_totals_of(task_of(Regression()).scores))(variables, batch)
    x = ((batch['image'] / 255 - MEAN) / STD - stats['norm']['mean']) / np.sqrt(stats['norm']['var'] + EPSILON)
    logs = log_softmax(x.reshape(20, -1) @ np.float64(state.params['fc']['kernel']))[:17]
    labels = batch['label'][:17]
    better = (logs > logs[np.arange(17), labels][:, None]).sum(1)
    assert totals['examples'] == 17
    assert (totals['top1'], totals['top5']) == ((better < 1).sum(), (better < 5).sum())
    assert float(totals['loss']) == pytest.approx(-logs[np.arange(17), labels].sum(), rel=1e-5)


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
