"""Views in evaluation, images mirrored in turn, smoothed labels, and first values from images, as a run has them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs.speedrun import airbench94
from efficiency import records
from efficiency.analysis.agreement import disagreements
from efficiency.analysis.recount import checked_config, miscounts
from efficiency.costs import counted_evaluation
from efficiency.data.batches import Arrays, Host, TrainBatches
from efficiency.errors import UserError
from efficiency.tasks.images import PASSES
from efficiency.tasks.images.data.alternating import AlternatingBatches
from efficiency.tasks.images.data.augment import augmentation
from efficiency.tasks.images.loss import loss_of
from efficiency.tasks.images.networks.whitening import whitening_macs
from efficiency.tasks.images.views import VIEWS
from efficiency.training.loop import train
from efficiency.training.recipe import opened


def small(**keys):
    config = airbench94.get_config('mnist5k')
    config.model.width = 2
    config.train_split, config.eval_split = 'train[:40]', 'test[:20]'
    config.batch_size, config.eval_batch_size, config.num_epochs = 8, 20, 4.0
    return ConfigDict(config.to_dict() | keys)


def split(count):
    return Arrays({'image': np.zeros((count, 2, 2, 1), np.uint8), 'label': np.arange(count)})


def test_every_image_is_mirrored_in_every_other_epoch_and_half_of_them_in_each():
    batches = AlternatingBatches(split(1000), 50, seed=3)
    by_epoch = np.zeros((4, 1000), bool)
    for position in range(0, 4000, 50):
        batch = batches.at(position)
        by_epoch[position // 1000, batch['label']] = batch['mirrored']
        # The examples are those that come without mirroring.
        np.testing.assert_array_equal(batch['label'], TrainBatches(split(1000), 50, seed=3).at(position)['label'])
    np.testing.assert_array_equal(by_epoch[1:], ~by_epoch[:-1])
    assert 440 < by_epoch[0].sum() < 560
    other = AlternatingBatches(split(1000), 1000, seed=4).at(0)
    assert 400 < (by_epoch[0][other['label']] != other['mirrored']).sum() < 600


def test_batches_across_an_epochs_border_and_of_several_hosts_say_the_same():
    whole = AlternatingBatches(split(30), 16, seed=0)
    parts = [AlternatingBatches(split(30), 16, seed=0, host=Host(index, 2)) for index in (0, 1)]
    for position in (0, 16, 24, 48):
        together = np.concatenate([part.at(position)['mirrored'] for part in parts])
        np.testing.assert_array_equal(together, whole.at(position)['mirrored'])


def test_images_are_mirrored_where_the_batch_says_so():
    model = _Mean()
    loss = loss_of(model, augmentation('none'), (0.0,), (1.0,))
    draw = np.random.RandomState(0)
    images = draw.randint(0, 255, (4, 3, 3, 1)).astype(np.uint8)
    labels, mirrored = np.array([0, 1, 2, 0]), np.array([True, False, True, False])
    by_hand = np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)

    def of(batch):
        return float(loss({}, {'batch_stats': {}}, batch, jax.random.key(0))[0])

    assert of({'image': images, 'label': labels, 'mirrored': mirrored}) == of({'image': by_hand, 'label': labels})
    assert of({'image': images, 'label': labels, 'mirrored': mirrored}) != of({'image': images, 'label': labels})


class _Mean:
    """A network whose logits are the columns' means."""

    @staticmethod
    def apply(variables, images, **keys):
        return images.mean((1, 3)), {}


def test_smoothed_labels_are_torchs():
    torch = pytest.importorskip('torch', reason='needs the extra crosscheck')
    images = np.random.RandomState(0).randint(0, 255, (4, 3, 3, 1)).astype(np.uint8)
    labels = np.array([0, 1, 2, 0])
    for smoothing in (0.0, 0.2, 0.7):
        loss = loss_of(_Mean(), augmentation('none'), (0.0,), (1.0,), smoothing)
        found, _ = loss({}, {'batch_stats': {}}, {'image': images, 'label': labels}, jax.random.key(0))
        logits = torch.from_numpy(images[..., 0] / 255).float().mean(1)
        theirs = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels), label_smoothing=smoothing)
        np.testing.assert_allclose(found, theirs, rtol=1e-5)


def test_a_reflected_shift_is_a_window_of_the_image_mirrored_in_its_borders():
    images = np.random.RandomState(0).randint(0, 255, (64, 32, 32, 1)).astype(np.uint8)
    moved = np.asarray(augmentation('shift_alternating_flip')(jax.random.key(0), jnp.asarray(images)))
    seen = set()
    for image, after in zip(images, moved, strict=True):
        padded = np.pad(image[..., 0], 2, 'reflect')
        places = [(y, x) for y in range(5) for x in range(5)]
        seen |= {at for at in places if np.array_equal(padded[at[0] :, at[1] :][:32, :32], after[..., 0])}
    assert len(seen) > 20


def test_views_are_the_means_of_their_passes():
    images = np.random.RandomState(0).standard_normal((2, 4, 5, 1)).astype(np.float32)
    weights = np.random.RandomState(1).standard_normal((4, 5)).astype(np.float32)

    def logits(images):
        return jnp.stack([jnp.tanh(images[..., 0] * weights).sum((1, 2)), images.sum((1, 2, 3))], 1)

    def both(images):
        return (logits(images) + logits(images[:, :, ::-1])) / 2

    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), 'reflect')
    six = both(images) / 2 + (both(padded[:, :4, :5]) + both(padded[:, 2:, 2:])) / 4
    for name, expected in (('one', logits(images)), ('mirrored', both(images)), ('mirrored_and_shifted', six)):
        np.testing.assert_allclose(VIEWS[name](logits, images), expected, rtol=1e-5)


@pytest.mark.parametrize('views', VIEWS)
def test_every_view_is_charged_to_evaluation(views):
    config = small(eval_views=views)
    recipe = opened(config, None)
    evaluate = recipe.task.evaluator(recipe.devices)
    evaluate.compile(recipe.drawn.variables)
    found = evaluate(recipe.drawn.variables)
    one = counted_evaluation(recipe.task).dense_macs
    assert found.examples == 20
    assert found.dense_macs == 20 * PASSES[views] * one == 20 * len(_views(views)) * one


def _views(name):
    """What a network is given to see of one image."""
    seen = []
    VIEWS[name](lambda images: seen.append(images) or images, jnp.zeros((1, 4, 4, 1)))
    return seen


def test_a_view_that_there_is_not_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r'config\.eval_views is .two.; it must be one or mirrored or'):
        train(small(eval_views='two'), tmp_path)


def test_a_run_begins_with_the_images_whitened_and_bills_that_once(tmp_path):
    record = train(small(eval_views='mirrored'), tmp_path)
    first = whitening_macs(40, 28, 3, 2)
    assert record['initialisation'] == {'dense_macs': first}
    before, after = record['programs']
    assert [program['steps'] for program in record['programs']] == [15, 5]
    steps = sum(program['steps'] * program['train_dense_macs_per_step'] for program in record['programs'])
    assert record['final']['train_macs'] == records.spent(record)[0] == first + steps
    # Once the whitening bias stays, nothing needs the first convolution's input gradient: 27 pixels a side, 24 to 2.
    saved = before['train_dense_macs_per_step'] - after['train_dense_macs_per_step']
    assert saved == 8 * 27 * 27 * 9 * 24 * 2
    assert not list(disagreements(record))
    assert not list(miscounts(record, checked_config(record), lambda text: None))
    found = records.read(tmp_path)
    del found['initialisation']
    assert [problem for problem in disagreements(found) if 'train_macs' in problem]
    (problem,) = miscounts(found, checked_config(found), lambda text: None)
    assert problem == f'initialisation.dense_macs is 0, and the first values of airbench94 take {first}'
