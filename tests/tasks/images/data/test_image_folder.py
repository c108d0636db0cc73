"""ImageFolder trees: torchvision's classes and labels, and whatever would shift or lose some is one sentence."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile

import cv2
import numpy as np
import pytest

from efficiency.errors import UserError
from efficiency.tasks.images.data.datasets import load
from efficiency.tasks.images.data.image_folder import open_tree
from efficiency.tasks.images.data.splits import DamagedExample
from tests.conftest import not_root

SPLITS = ('train', None)


@pytest.fixture
def tree():
    """train/{cat,dog}/{0,1}.jpg and the same in val, where any user may go; tmp_path is its owner's alone."""
    top = pathlib.Path(tempfile.mkdtemp())
    top.chmod(0o755)
    for split in ('train', 'val'):
        for label, name in enumerate(('cat', 'dog')):
            (top / split / name).mkdir(parents=True)
            for i in range(2):
                pixels = np.full((40 + 10 * i, 50, 3), 100 * label + i, np.uint8)
                cv2.imwrite(str(top / split / name / f'{i}.jpg'), pixels)
    yield top
    shutil.rmtree(top)


def labels(tree, split='train'):
    """Labels by the path of the image, in the split's folder."""
    data = load('pets', SPLITS, 32, tree)
    examples = {'train': data.train, 'val': data.eval}[split]._examples
    return {str(path.relative_to(tree / split)): label for path, label in (examples[i] for i in range(len(examples)))}


@pytest.mark.crosscheck
def test_train_does_not_lead_into_another_split_that_is_evaluated(tree):
    shutil.copytree(tree / 'val', tree / 'holdout')
    first = sorted(path.name for path in (tree / 'train').iterdir())[0]
    (tree / 'train' / first / 'more').symlink_to(tree / 'holdout' / first)
    assert len(open_tree(tree).splits['val'])
    with pytest.raises(UserError, match='more is a link that leads back into the tree'):
        open_tree(tree).splits['holdout']


def test_folders_without_end_are_one_sentence(tree):
    first = next((tree / 'train').iterdir())
    with contextlib.chdir(first):
        for _ in range(1200):
            os.mkdir('a')
            os.chdir('a')
    with pytest.raises(UserError, match='nested too deep'):
        open_tree(tree)
    subprocess.run(['rm', '-r', first], check=True)  # for which shutil's calls are nested too deep, too


def test_labels_are_torchvisions(tree, trials):
    datasets = pytest.importorskip('torchvision.datasets', reason='needs the extra crosscheck')
    (tree / 'train' / 'cat' / 'more').mkdir()
    shutil.copy(tree / 'train' / 'dog' / '0.jpg', tree / 'train' / 'cat' / 'more' / 'SHOUTED.JPEG')
    (tree / 'train' / 'cat' / 'named.png').mkdir()
    shutil.copy(tree / 'train' / 'dog' / '0.jpg', tree / 'train' / 'cat' / 'named.png' / 'x.webp')
    (tree / 'train' / 'cat' / '.ipynb_checkpoints').mkdir()  # with nothing in it
    (tree / 'train' / 'notes.txt').write_text('no class')
    (tree / 'train' / 'dog' / '.#0.jpg.txt').symlink_to('user@host.1')
    (tree / '@eaDir').mkdir()
    os.rename(tree / 'val' / 'dog', tree / 'elsewhere')
    (tree / 'val' / 'dog').symlink_to(tree / 'elsewhere')
    (tree / 'val' / 'dog' / '2.jpg').symlink_to('0.jpg')
    for split in ('train', 'val'):
        with trials('labels beside torchvision'):
            theirs = datasets.ImageFolder(tree / split).samples
            assert labels(tree, split) == {os.path.relpath(path, tree / split): label for path, label in theirs}


def nothing_in(tree):
    (tree / 'train' / 'bird').mkdir()
    return 'train/bird is the folder of a class and has no image in it'


def no_image_in(tree):
    for split in ('train', 'val'):
        (tree / split / 'bird').mkdir()
        (tree / split / 'bird' / 'x.heic').write_bytes(b'of a kind that is not read')
    return 'train/bird is the folder of a class and has no image in it'


def nothing_in_val(tree):
    shutil.rmtree(tree / 'val' / 'cat')
    (tree / 'val' / 'cat').mkdir()
    return 'val/cat is the folder of a class and has no image in it'


def not_in_val(tree):
    shutil.rmtree(tree / 'val' / 'cat')
    return 'val has no class cat, which train has'


def not_in_train(tree):
    shutil.copytree(tree / 'val' / 'dog', tree / 'val' / 'ant')
    return 'val has the class ant, which train has not'


def written_otherwise(tree):
    (tree / 'val' / 'dog').rename(tree / 'val' / 'Dog')
    return 'val has the class Dog, which train has not and has no class dog, which train has'


def hidden_or_tools(split, name, with_image, below=''):
    def change(tree):
        folder = tree / split / below / name
        folder.mkdir()
        if with_image:
            shutil.copy(tree / 'train' / 'cat' / '0.jpg', folder)
        return f"{folder} is hidden or a tool's"

    return change


def tools_deep(tree):
    folder = tree / 'train' / 'cat' / 'more' / '@eaDir' / '0.jpg'
    folder.mkdir(parents=True)
    shutil.copy(tree / 'train' / 'cat' / '0.jpg', folder / 'SYNOPHOTO_THUMB_M.jpg')
    return 'more/@eaDir is hidden or a tool'


def link(place, target, says='leads back'):
    def change(tree):
        (tree / place).symlink_to(target if target.startswith('.') else tree / target)
        return f'{tree / place} {"is a link that " if says else ""}{says}'

    return change


def links_outside_in_a_ring(tree):
    a, b = tree / 'a', tree / 'b'
    a.mkdir()
    b.mkdir()
    (a / 'b').symlink_to(b)
    (b / 'a').symlink_to(a)
    (tree / 'train' / 'cat' / 'more').symlink_to(a)
    return 'more/b/a is a link that leads back to a folder that it is in'


def val_is_train(tree):
    shutil.rmtree(tree / 'val')
    (tree / 'val').symlink_to('train')
    return 'val leads back into'


def train_is_val(tree):
    shutil.rmtree(tree / 'train')
    (tree / 'train').symlink_to('val')
    return 'val leads back into'


def a_pipe(tree):
    os.mkfifo(tree / 'val' / 'dog' / '9.JPG')
    return 'val/dog/9.JPG is named as an image and is no regular file'


def a_link_to_a_device(tree):
    (tree / 'train' / 'dog' / '9.png').symlink_to('/dev/zero')
    return 'train/dog/9.png is named as an image and is no regular file'


CHANGES = {
    'class without images': [nothing_in, no_image_in, nothing_in_val],
    'class in one split alone': [not_in_val, not_in_train, written_otherwise],
    'hidden or a tool\'s folder': [
        hidden_or_tools(split, name, with_image)
        for split in ('train', 'val') for name in ('@eaDir', '.ipynb_checkpoints', '__MACOSX', '$RECYCLE.BIN')
        for with_image in (False, True)
    ] + [hidden_or_tools('val', name, True, 'dog') for name in ('@eaDir', '.thumbs', '__MACOSX')] + [tools_deep],
    'link that leads back': [
        link('train/cat/loop', '..'), link('train/cat/loop', '.'), link('train/cat/loop', ''),
        link('train/cat/loop', 'train'), link('train/bird', 'train/cat'), link('train/cat/more', 'train/dog'),
        link('train/all', '..'), link('train/cat/root', '/'), link('val/cat/more', 'train/cat'),
        link('train/cat/more', 'val/cat'), links_outside_in_a_ring, val_is_train, train_is_val,
    ],
    'link that leads nowhere': [
        link('train/bird', 'gone', 'leads nowhere'), link('train/cat/2.jpg', 'gone.jpg', 'leads nowhere'),
        link('val/dog/2.jpg', '/no/such.jpg', 'leads nowhere'),
    ],
    'no file': [a_pipe, a_link_to_a_device],
}  # fmt: skip


@pytest.mark.parametrize(('kind', 'number'), [(kind, i) for kind in CHANGES for i in range(len(CHANGES[kind]))])
def test_what_would_shift_labels_or_lose_images_is_named(kind, number, tree, trials):
    says = CHANGES[kind][number](tree)
    with trials(kind):
        with pytest.raises(UserError) as error:
            load('pets', SPLITS, 32, tree)
        assert says in str(error.value)
        assert '\n' not in str(error.value)


def test_a_link_to_itself_is_named(tree):
    (tree / 'val' / 'cat' / 'more').symlink_to('more')
    with pytest.raises(UserError, match=r'cannot read .*val/cat/more: Too many levels of symbolic links'):
        load('pets', SPLITS, 32, tree)


# A folder of mode 444 can be listed, and what is in it cannot be read.
@pytest.mark.parametrize(
    ('place', 'mode'),
    [
        (place, mode)
        for place in ('', 'train', 'val', 'train/cat', 'val/dog', 'val/dog/more')
        for mode in (0, 0o200, 0o444)
    ]
    + [('train/cat/1.jpg', 0), ('val/dog/0.jpg', 0o200)],
)
def test_what_may_not_be_read_is_named(place, mode, tree, trials):
    path = tree / place
    if place.endswith('more'):
        path.mkdir()
        shutil.copy(tree / 'val' / 'dog' / '0.jpg', path)
    path.chmod(mode)
    try:
        with trials('without permission'), not_root():
            with pytest.raises(UserError) as error:
                load('pets', SPLITS, 32, tree)
            assert str(path) in str(error.value)
            assert 'ermission denied' in str(error.value)
            assert '\n' not in str(error.value)
    finally:
        path.chmod(0o755)


def test_a_link_to_what_may_not_be_read_is_named(tree):
    (tree / 'locked').mkdir()
    shutil.copy(tree / 'train' / 'cat' / '0.jpg', tree / 'locked')
    for place, target in (('train/cat/2.jpg', 'locked/0.jpg'), ('train/cat/more', 'locked')):
        (tree / place).symlink_to(tree / target)
        (tree / 'locked').chmod(0)
        try:
            with not_root(), pytest.raises(UserError, match=f'cannot read {tree / place}: Permission denied'):
                load('pets', SPLITS, 32, tree)
        finally:
            (tree / 'locked').chmod(0o755)
            (tree / place).unlink()


def test_names_that_are_no_text_are_names(tree):
    name = os.fsdecode(b'k\xe4tzchen \xff.jpg')
    shutil.copy(tree / 'train' / 'cat' / '0.jpg', tree / 'train' / 'cat' / name)
    assert labels(tree)[f'cat/{name}'] == 0
    load('pets', SPLITS, 32, tree).train.take(np.arange(5), None)


def test_an_empty_file_is_named_when_it_is_read(tree):
    (tree / 'val' / 'cat' / '1.jpg').write_bytes(b'')
    data = load('pets', SPLITS, 32, tree)
    with pytest.raises(DamagedExample, match=r'val/cat/1\.jpg cannot be read: the file is empty'):
        data.eval.take(np.arange(4), None)
