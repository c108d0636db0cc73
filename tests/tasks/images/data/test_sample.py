"""A data set is known again by some of its examples; those that were damaged may be mended, and no others changed."""

import cv2
import numpy as np
import pytest

from efficiency.tasks.images.data.datasets import load
from efficiency.tasks.images.data.splits import DamagedExample


@pytest.fixture
def tree(tmp_path):
    """Two classes of 50 images a split, of which 64 of 100 are sampled: 0 and 99, and neither 2 nor 13."""
    for split in ('train', 'val'):
        for name in ('cat', 'dog'):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(50):
                pixels = np.random.RandomState(i).randint(0, 256, (9, 9, 3), np.uint8)
                cv2.imwrite(str(tmp_path / split / name / f'{i:02}.png'), pixels)
    return tmp_path


def opened(tree):
    return load('pets', ('train', 'val'), 32, tree)


def paths(tree, split, *indices):
    files = sorted((tree / split).glob('*/*.png'))
    return [files[i] for i in indices]


def damage(path):
    path.write_bytes(path.read_bytes()[:-40])


def replace(path):
    cv2.imwrite(str(path), np.zeros((9, 9, 3), np.uint8))


def kept(data):
    return data.fingerprint, data.description['sample']


def test_the_same_images_are_known_again_and_others_are_not(tree):
    before = kept(opened(tree))
    assert opened(tree).is_of(*before)
    for path in (*paths(tree, 'train', 0, 99), *paths(tree, 'val', 0)):
        content = path.read_bytes()
        replace(path)
        assert not opened(tree).is_of(*before)
        path.write_bytes(content)
    path.rename(path.with_name('other.png'))
    assert not opened(tree).is_of(*before)


@pytest.mark.parametrize('split', ['train', 'val'])
@pytest.mark.parametrize('damaged_first', [True, False])
def test_what_was_damaged_may_be_mended_whatever_it_then_is(split, damaged_first, tree, trials):
    files = paths(tree, split, 0, 99, 2)
    if damaged_first:
        for path in files:
            damage(path)
    data = opened(tree)
    if not damaged_first:  # but while the run goes on
        damage(files[0])
        files[1].unlink()
    data.note_damage()
    before = kept(data)
    for path in files:
        replace(path)
    with trials('damaged and mended'):
        assert opened(tree).is_of(*before)
    with trials('mended, and changed elsewhere'):
        replace(paths(tree, split, 50)[0])
        assert not opened(tree).is_of(*before)


def test_what_is_damaged_now_is_not_taken_for_other_images(tree):
    before = kept(opened(tree))
    path = paths(tree, 'train', 0)[0]
    damage(path)
    now = opened(tree)
    assert now.is_of(*before)
    # It is kept as damaged, so that it may be mended from now on.
    assert now.description['sample'].split()[1] == '-'
    with pytest.raises(DamagedExample, match=f'{path} cannot be read'):
        now.sample.check()
    replace(path)
    assert opened(tree).is_of(now.fingerprint, now.description['sample'])
    assert not opened(tree).is_of(*before)


def test_runs_from_before_samples_were_kept_are_known_by_their_fingerprint_alone(tree):
    fingerprint, _ = kept(opened(tree))
    assert opened(tree).is_of(fingerprint, None)
    replace(paths(tree, 'val', 99)[0])
    assert not opened(tree).is_of(fingerprint, None)
