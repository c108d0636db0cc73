"""ImageFolder trees, as torchvision reads them: one folder a split, in it one folder a class, in it the images."""

import hashlib
import os
import pathlib

from efficiency.data.sources import Examples, Source
from efficiency.errors import UserError

_SUFFIXES = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif', '.tiff', '.webp')


def is_tree(folder: pathlib.Path) -> bool:
    """Whether a folder holds such a tree: train/<class>/<image>."""
    train = folder / 'train'
    return train.is_dir() and any(_images(train / name) for name in _classes(train))


def open_tree(folder: pathlib.Path) -> Source:
    """The splits of a tree; a class's label is its place among the names of train's folders in sorted order.

    Raises:
        UserError: if a split has a class that train has not.
    """
    classes = _classes(folder / 'train')
    splits, names = {}, hashlib.sha256()
    for split in sorted(path.name for path in folder.iterdir() if path.is_dir()):
        found = _classes(folder / split)
        strange = set(found) - set(classes)
        if strange:
            raise UserError(f'{folder / split} has the class {min(strange)}, which {folder / "train"} has not')
        if not found:
            continue
        paths, labels = [], []
        for label, name in enumerate(classes):
            of_class = _images(folder / split / name)
            paths += of_class
            labels += [label] * len(of_class)
        names.update('\n'.join(str(path.relative_to(folder)) for path in paths).encode())
        splits[split] = Examples(paths, labels)
    # What TensorFlow Datasets calls validation is usually val here.
    if 'val' in splits:
        splits.setdefault('validation', splits['val'])
    return Source(len(classes), splits, 'ImageFolder', identity=names.hexdigest())


def _classes(split: pathlib.Path) -> list[str]:
    with os.scandir(split) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith('.'))


def _images(folder: pathlib.Path) -> list[pathlib.Path]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.name.lower().endswith(_SUFFIXES))
    return [folder / name for name in names]
