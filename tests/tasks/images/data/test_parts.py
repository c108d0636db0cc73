"""Parts of splits are those of TensorFlow Datasets; folders that are not quite right are said to be so."""

import contextlib
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from efficiency.config_file import read_config
from efficiency.errors import UserError
from efficiency.tasks.images.data.catalogue import open_source
from efficiency.tasks.images.data.datasets import load
from efficiency.tasks.images.data.parts import split_of
from efficiency.tasks.images.data.sources import Examples, Source

pytestmark = pytest.mark.kind('parts of splits')

_ENDS = ('', '-150', '-10', '-1', '0', '1', '3', '50', '99', '150')
_SPECS = [f'train[{start}{unit}:{stop}{unit}]' for unit in ('', '%') for start in _ENDS for stop in _ENDS]
_SPECS += ['train[:50%]+test', 'test[-1:]+train[:2]', 'train + test', 'train+train', 'all', 'train[2.5%:3.5%]']
_SPECS += ['train[3]', 'train[0shard]', 'train[:x]', 'train[::2]', 'train[]', 'train[', 'train+', 'nix', 'test+nix']
_SPECS += ['all[:5]', 'all[:5%]', 'all+test']


@pytest.mark.parametrize('count', [1, 9, 30, 99, 150])
def test_a_part_is_what_tensorflow_datasets_takes_and_what_it_refuses_is_refused(count):
    splits = {'train': np.arange(count), 'test': 200 + np.arange(7)}
    sizes = {name: len(labels) for name, labels in splits.items()}
    infos = {name: tfds.core.SplitInfo(name=name, shard_lengths=[size], num_bytes=0) for name, size in sizes.items()}
    held = {name: Examples(np.zeros((len(its), 2, 2, 3), np.uint8), its) for name, its in splits.items()}
    listed = {name: Examples([b''] * len(its), its) for name, its in splits.items()}
    for spec in _SPECS:
        try:
            parts = tfds.core.ReadInstruction.from_spec(spec).to_absolute(infos)
            wanted = [label for part in parts for label in splits[part.splitname][part.from_ : part.to]]
        except (AssertionError, NotImplementedError, ValueError):
            wanted = []
        for source in (Source(300, held), Source(300, listed)):
            if wanted:
                part = split_of(source, spec, 'them')
                assert [part[i][1] for i in range(len(part))] == wanted, spec
            else:
                with pytest.raises(UserError, match='them'):
                    split_of(source, spec, 'them')


def test_parts_of_records_are_read_together_and_by_shards(tfds_dir):
    source = open_source('cifar10', tfds_dir)
    whole = source.splits['test']
    part = split_of(source, 'test[-3:]+test[:2]', 'cifar10')
    assert len(split_of(source, 'test[0shard]', 'cifar10')) == 10_000
    chosen = [4, 0, 2]
    for (image, label), index in zip(part.__getitems__(chosen), (1, 9997, 9999), strict=True):
        assert (image, label) == whole[index]
    assert part.name_of(0) == whole.name_of(9997)


@pytest.fixture(scope='module')
def trees(tmp_path_factory):
    """Trees of two images a class, with the names of their splits."""
    folder = tmp_path_factory.mktemp('trees')
    for tree, splits in (('right', ('train', 'val')), ('Large', ('Train', 'Val')), ('Mixed', ('train', 'Val')),
                         ('words', ('training', 'validation'))):  # fmt: skip
        for split in splits:
            for name in ('cat', 'dog'):
                place = folder / tree / split / name
                place.mkdir(parents=True)
                Image.new('RGB', (8, 8)).save(place / 'a.jpg')
    return folder


@pytest.mark.parametrize(
    ('place', 'words'),
    [
        ('right/train', ['within an ImageFolder tree', '--data_dir={trees}/right']),
        ('right/val', ['--data_dir={trees}/right']),
        ('right/train/cat', ['--data_dir={trees}/right']),
        ('', ['--data_dir={trees}/']),
        ('Large', ['holds Train, Val', 'train/<class>/ and val/<class>/', 'rename Train to train and Val to val']),
        ('Mixed', ['no split to evaluate on', 'splits are Val, train', 'rename Val to val']),
        ('words', ['holds training, validation', 'train/<class>/ and val/<class>/']),
        ('Large/Train', ['holds cat, dog', 'train/<class>/ and val/<class>/']),
        ('Large/Train/cat', ['holds images', 'train/<class>/ and val/<class>/']),
    ],
)
def test_a_folder_that_is_not_quite_a_tree_is_told_what_it_is(trees, place, words):
    with pytest.raises(UserError) as raised:
        load('pets', ('train', None), 8, trees / place)
    for word in words:
        assert word.format(trees=trees) in str(raised.value)


@pytest.fixture(scope='module')
def old(tfds_dir, tmp_path_factory):
    """cifar10 prepared as a version that is not the newest."""
    folder = tmp_path_factory.mktemp('tfds')
    version = folder / 'cifar10' / '2.0.0'
    version.mkdir(parents=True)
    for path in pathlib.Path(tfds_dir, 'cifar10', '3.0.2').iterdir():
        if path.suffix == '.json':
            shutil.copy(path, version)
            text = (version / path.name).read_text()
            (version / path.name).write_text(text.replace('"version": "3.0.2"', '"version": "2.0.0"'))
        else:
            (version / path.name).symlink_to(path)
    return folder


@pytest.mark.parametrize('name', ['cifar10', 'cifar10:3.0.2', 'cifar10:1.0.0', 'cifar10/grey'])
def test_a_data_set_in_another_version_says_which_there_are_and_how_to_take_one(old, name):
    with pytest.raises(UserError, match=r'but as cifar10:2\.0\.0; take it as --config=FILE:cifar10:2\.0\.0'):
        open_source(name, old)


def test_a_version_is_read_under_its_preset(old):
    assert open_source('cifar10:2.0.0', old).version == '2.0.0'
    plain, versioned = (read_config(f'configs/alexnet.py:{name}') for name in ('cifar10', 'cifar10:2.0.0'))
    assert versioned.dataset == 'cifar10:2.0.0'
    differ = {key for key in plain if plain[key] != versioned[key]}
    assert differ == {'dataset'}


@pytest.mark.parametrize('content', [b'', b'[]', b'{"name": "cif', b'\xff\xfe'])
def test_a_description_that_is_damaged_is_not_another_version(content, tfds_dir, tmp_path):
    version = tmp_path / 'cifar10' / '3.0.2'
    version.mkdir(parents=True)
    for path in pathlib.Path(tfds_dir, 'cifar10', '3.0.2').glob('*.[jt][sx]*'):
        shutil.copy(path, version)
    (version / 'dataset_info.json').write_bytes(content)
    with pytest.raises(UserError, match="cannot open 'cifar10' in"):
        open_source('cifar10', tmp_path)


@pytest.mark.parametrize('below', ['cifar10', 'cifar10/2.0.0'])
def test_a_data_sets_own_folder_is_not_where_data_sets_are(old, below):
    with pytest.raises(UserError, match=f'own folder.*pass --data_dir={old}$'):
        open_source('cifar10', old / below)
    with contextlib.chdir(old / below), pytest.raises(UserError, match=f'own folder.*pass --data_dir={old}$'):
        open_source('cifar10', '.')
