"""Which examples a run sees, and when."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efficiency.data.batches import Arrays, BatchSpan, EvalBatches, Host, RunBatches, TrainBatches
from efficiency.errors import UserError
from efficiency.tasks.images.data.augment import augmentation, normalise


def split(n):
    return Arrays({'image': np.arange(n, dtype=np.uint8).reshape(n, 1, 1, 1), 'label': np.arange(n, dtype=np.int32)})


@given(n=st.integers(1, 50), batch_size=st.integers(1, 70), seed=st.integers(0, 9), epochs=st.integers(1, 3))
@settings(deadline=None)
def test_every_epoch_sees_every_example_once_across_batch_borders(n, batch_size, seed, epochs):
    batches = TrainBatches(split(n), batch_size, seed)
    steps = -(-n * epochs // batch_size)
    seen = np.concatenate([batches.at(step * batch_size)['label'] for step in range(steps)])
    assert len(seen) == steps * batch_size
    for epoch in range(epochs):
        assert sorted(seen[epoch * n : (epoch + 1) * n]) == list(range(n))
    # A run that starts here sees what the run that came here would have seen.
    again = TrainBatches(split(n), batch_size, seed)
    assert again.at((steps - 1) * batch_size)['label'].tolist() == seen[-batch_size:].tolist()


def test_batches_of_another_size_go_on_where_those_before_have_ended():
    small, large = TrainBatches(split(20), 4, 0), TrainBatches(split(20), 8, 0)
    run = RunBatches([BatchSpan(0, 0, 4, small), BatchSpan(3, 12, 8, large)])
    seen = np.concatenate([run.at(step)['label'] for step in range(4)])
    assert sorted(seen) == list(range(20))
    assert seen.tolist() == TrainBatches(split(20), 20, 0).at(0)['label'].tolist()


def test_the_order_depends_on_epoch_and_seed():
    def order(seed, epoch):
        return TrainBatches(split(40), 40, seed).at(40 * epoch)['label'].tolist()

    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4


@given(n=st.integers(1, 50), batch_size=st.integers(1, 70))
@settings(deadline=None)
def test_evaluation_sees_each_example_exactly_once(n, batch_size):
    batches = EvalBatches(split(n), batch_size)
    batches = [batches.at(number) for number in range(len(batches))]
    assert {len(batch['label']) for batch in batches} == {batch_size}
    assert np.concatenate([batch['label'][batch['mask']] for batch in batches]).tolist() == list(range(n))


@given(n=st.integers(1, 50), each=st.integers(1, 9), hosts=st.integers(1, 4))
@settings(deadline=None)
def test_the_hosts_parts_make_up_the_batches(n, each, hosts):
    for make, number in (
        (lambda host: TrainBatches(split(n), each * hosts, 0, host=host), 3),
        (lambda host: EvalBatches(split(n), each * hosts, host), 0),
    ):
        whole = make(Host()).at(number)
        parts = [make(Host(index, hosts)).at(number) for index in range(hosts)]
        for name in whole:
            together = np.concatenate([part[name] for part in parts])
            mask = whole.get('mask', np.ones(len(whole['label']), bool))
            assert together[mask].tolist() == whole[name][mask].tolist()


def test_shift_moves_and_flip_mirrors_and_neither_makes_pixels_up():
    image = np.zeros((64, 28, 28, 1), np.uint8)
    image[:, 14, 10] = 255
    shifted = np.asarray(augmentation('shift')(jax.random.key(0), image))
    assert shifted.sum() == image.sum()
    moves = {tuple(np.argwhere(one[..., 0])[0] - [14, 10]) for one in shifted}
    assert len(moves) > 10
    assert max(abs(step) for move in moves for step in move) == 2
    flipped = np.asarray(augmentation('flip')(jax.random.key(0), image))
    assert {int(np.argwhere(one[..., 0])[0, 1]) for one in flipped} == {10, 17}
    assert 10 < (flipped[:, 14, 10, 0] > 0).sum() < 54


def test_normalised_images_have_three_channels_mean_zero_and_deviation_one():
    images = np.random.RandomState(0).randint(0, 256, (8, 5, 5, 1), np.uint8)
    x = np.asarray(normalise(images, ((images / 255).mean(),), ((images / 255).std(),)))
    assert x.shape == (8, 5, 5, 3)
    np.testing.assert_allclose([x.mean(), x.std()], [0, 1], atol=1e-5)


def test_an_unknown_augmentation_lists_those_there_are():
    with pytest.raises(UserError, match='shift_flip'):
        augmentation('shiftflip')
