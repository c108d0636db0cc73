"""ImageFolder trees, as torchvision reads them: one folder a split, in it one folder a class, in it the images."""

import hashlib
import os
import pathlib
from collections.abc import Iterator, Mapping

import numpy as np

from efficiency.data.sources import Image, Source
from efficiency.errors import UserError

_SUFFIXES = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif', '.tiff', '.webp')


def is_tree(folder: pathlib.Path) -> bool:
    """Whether a folder holds such a tree: an image somewhere in train/<class>/."""
    train = folder / 'train'
    return train.is_dir() and any(next(_images(train / name), None) for name in _classes(train))


def open_tree(folder: pathlib.Path) -> Source:
    """The splits of a tree; a class's label is its place among the names of train's folders in sorted order."""
    classes = _classes(folder / 'train')
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith('.'))
    splits = {name: name for name in names}
    # What TensorFlow Datasets calls validation is usually val here.
    if 'val' in splits:
        splits.setdefault('validation', 'val')
    return Source(len(classes), _Splits(folder, classes, splits), 'ImageFolder')


class _Splits(Mapping):
    """The splits of a tree, each listed when it is asked for."""

    def __init__(self, folder: pathlib.Path, classes: list[str], folders: dict[str, str]):
        self._folder, self._classes, self._folders = folder, classes, folders

    def __getitem__(self, split):
        return _Files(self._folder / self._folders[split], self._classes)

    def __iter__(self):
        return iter(self._folders)

    def __len__(self):
        return len(self._folders)


class _Files:
    """The images of a split, by their paths below it.

    These are one array of bytes: a million objects would take each worker seconds and half a gigabyte.
    """

    def __init__(self, folder: pathlib.Path, classes: list[str]):
        strange = sorted(set(_classes(folder)) - set(classes))
        if strange:
            raise UserError(f'{folder} has the class {strange[0]}, which train has not')
        paths, labels = [], []
        for label, name in enumerate(classes):
            of_class = [f'{name}/{path}'.encode() for path in _images(folder / name)]
            paths += of_class
            labels += [label] * len(of_class)
        self._folder, self._paths, self._labels = str(folder), np.array(paths), np.array(labels, np.int32)
        self.identity = hashlib.sha256(b'\n'.join(paths)).hexdigest()

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Image, int]:
        return pathlib.Path(self.name_of(index)), int(self._labels[index])

    def name_of(self, index: int) -> str:
        return os.path.join(self._folder, self._paths[index].decode())


def _classes(split: pathlib.Path) -> list[str]:
    with os.scandir(split) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith('.'))


def _images(folder: pathlib.Path) -> Iterator[str]:
    """Paths below a folder, those in folders of its own included, in one order everywhere."""
    for place, folders, files in os.walk(folder, followlinks=True):
        folders.sort()
        for name in sorted(files):
            if name.lower().endswith(_SUFFIXES):
                yield os.path.relpath(os.path.join(place, name), folder)
