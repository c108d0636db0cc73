"""ImageFolder trees, as torchvision reads them: one folder a split, in it one folder a class, in it the images.

What a class is, is torchvision's rule: every folder in a split's, in sorted order, and each has images. What it would
take for a class or for a class's images though it is none, and what it would leave out without a word, is an error that
names it, so that labels never shift.
"""

import collections
import hashlib
import itertools
import os
import pathlib
import stat
from collections.abc import Iterator, Mapping

import numpy as np

from efficiency.data.readable import check_file, sentences
from efficiency.errors import UserError
from efficiency.tasks.images.data.sources import EVAL_SPLITS, Image, Source

# torchvision's, and GIF.
_SUFFIXES = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif', '.tiff', '.webp', '.gif')
# Folders that file servers, Windows and macOS make in those of others; as lower case.
_OF_TOOLS = frozenset((
    '@eadir', '@synoresource', '@recycle', '@recently-snapshot', '@tmp', '@__thumb', '#recycle', '#snapshot',
    '$recycle.bin', 'recycler', 'system volume information', 'found.000', '__macosx', 'network trash folder',
    'temporary items', '__pycache__', 'cvs', '_vti_cnf', 'lost+found',
))  # fmt: skip


def is_tree(folder: pathlib.Path) -> bool:
    """Whether a folder is meant to hold such a tree.

    It has an image somewhere in train/<class>/; or else folders in train/, and a folder for evaluation beside it.
    """
    train = folder / 'train'
    if not _is_folder(train):
        return False
    with os.scandir(train) as entries:
        inside = sorted(entry.name for entry in entries if entry.is_dir())
    beside = any(_is_folder(folder / split) for split in EVAL_SPLITS)
    return bool(inside) and (beside or any(next(_Walk(folder, 'train').images(name), None) for name in inside))


def open_tree(folder: pathlib.Path) -> Source:
    """The splits of a tree; a class's label is its place among the names of train's folders in sorted order.

    Raises:
        UserError: if anything of train cannot be read, is no image's file though named so, or no class's folder; and
            when another split is asked for, the same of that, or if its classes are not train's.
    """
    train = _Files(folder, 'train')
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir() and not _is_of_a_tool(entry.name))
    splits = {name: name for name in names}
    # What TensorFlow Datasets calls validation is usually val here.
    if 'val' in splits:
        splits.setdefault('validation', 'val')
    return Source(len(train.classes), _Splits(folder, train, splits), 'ImageFolder')


class _Splits(Mapping):
    """The splits of a tree; but for train, each listed when it is asked for."""

    def __init__(self, folder: pathlib.Path, train: '_Files', folders: dict[str, str]):
        self._folder, self._train, self._folders = folder, train, folders

    def __getitem__(self, split):
        name = self._folders[split]
        if name == 'train':
            return self._train
        if name not in EVAL_SPLITS:  # into which train may lead, where nobody looked before
            with sentences():
                walk = _Walk(self._folder, 'train', name)
                collections.deque(itertools.chain(*map(walk.images, walk.classes())), maxlen=0)
        return _Files(self._folder, name, self._train.classes)

    def __iter__(self):
        return iter(self._folders)

    def __len__(self):
        return len(self._folders)


class _Files:
    """The images of a split, by their paths below it.

    These are one array of bytes: a million objects would take each worker seconds and half a gigabyte.

    Attributes:
        classes: their names, in the order of their labels.
    """

    def __init__(self, tree: pathlib.Path, split: str, classes: list[str] | None = None):
        """`classes` are those that the split must have."""
        self._folder = os.path.join(tree, split)
        paths, labels = [], []
        with sentences():
            walk = _Walk(tree, split)
            self.classes = walk.classes()
            if classes is not None and classes != self.classes:
                raise UserError(_other_classes(self._folder, self.classes, classes))
            for label, name in enumerate(self.classes):
                of_class = [os.fsencode(path) for path in walk.images(name)]
                if not of_class:
                    raise UserError(
                        f'{os.path.join(self._folder, name)} is the folder of a class and has no image in it, '
                        f'of {", ".join(_SUFFIXES)}; put some there, or move the folder away'
                    )
                paths += of_class
                labels += [label] * len(of_class)
        self._paths, self._labels = np.array(paths), np.array(labels, np.int32)
        self.identity = hashlib.sha256(b'\n'.join(paths)).hexdigest()

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Image, int]:
        return pathlib.Path(self.name_of(index)), int(self._labels[index])

    def name_of(self, index: int) -> str:
        return os.path.join(self._folder, os.fsdecode(self._paths[index]))


class _Walk:
    """Looks through a split's folder; what it meets that would be left out or counted wrongly is an error.

    Raises:
        UserError: names it.
        OSError: for what cannot be read.
    """

    def __init__(self, tree: pathlib.Path, split: str, *beside: str):
        """`beside` are more splits that it must not lead into."""
        self._folder = os.path.join(tree, split)
        splits = [os.path.join(tree, name) for name in ('train', *EVAL_SPLITS, split, *beside)]
        self._real = {os.path.realpath(path) for path in splits if _is_folder(path)}
        real, train = (os.path.realpath(os.path.join(tree, name)) for name in (split, 'train'))
        if split != 'train' and (_is_within(real, train) or _is_within(train, real)):
            raise UserError(f'{self._folder} leads back into {os.path.join(tree, "train")}; give it images of its own')

    def classes(self) -> list[str]:
        """The names of the classes' folders, sorted."""
        _, folders = self._listed(self._folder)
        for name in folders:
            if _is_of_a_tool(name):
                raise UserError(
                    f"{os.path.join(self._folder, name)} is hidden or a tool's, and would be a class; move it away"
                )
        if not folders:
            raise UserError(f'{self._folder} has no folder in it; it must have one for each class')
        return folders

    def images(self, folder: str, above: tuple[str, ...] = ()) -> Iterator[str]:
        """The images below a folder of the split, in folders of their own too, in one order everywhere.

        Args:
            folder: its path, as those of the images, from the split's folder on.
            above: the real paths of the folders with links that led here.
        """
        path = os.path.join(self._folder, folder)
        if os.path.islink(path):
            above = (*above, self._checked(path, above))
        files, folders = self._listed(path)
        for name in files:
            if is_image(name):
                check_file(os.path.join(path, name))
                yield f'{folder}/{name}'
        for name in folders:
            inside = self.images(f'{folder}/{name}', above)
            if _is_of_a_tool(name) and (image := next(inside, None)):
                raise UserError(
                    f"{os.path.join(path, name)} is hidden or a tool's, and {image}, which is in it, would be an image "
                    'of the class; move it away'
                )
            yield from inside

    def _listed(self, folder: str) -> tuple[list[str], list[str]]:
        """The names of the files and of the folders in a folder, sorted."""
        files, folders = [], []
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    folders.append(entry.name)
                    continue
                files.append(entry.name)
                if entry.is_file():
                    continue
                if entry.is_symlink() and not os.path.exists(entry.path):
                    # An editor's lock is hidden, and leads nowhere.
                    if not entry.name.startswith('.'):
                        raise UserError(f'{entry.path} is a link that leads nowhere; mend it, or remove it')
                elif is_image(entry.name):
                    raise UserError(f'{entry.path} is named as an image and is no regular file; move it away')
        return sorted(files), sorted(folders)

    def _checked(self, link: str, above: tuple[str, ...]) -> str:
        """The real path of the folder that a link to a folder is in."""
        inside, target = os.path.realpath(os.path.dirname(link)), os.path.realpath(link)
        if any(_is_within(target, split) for split in self._real):
            raise UserError(f'{link} is a link that leads back into the tree, to {target}; remove it')
        if any(_is_within(folder, target) for folder in (*above, inside)):
            raise UserError(f'{link} is a link that leads back to a folder that it is in, {target}; remove it')
        return inside


def is_image(name: str) -> bool:
    """Whether a file is named as an image of a kind that is read."""
    return name.lower().endswith(_SUFFIXES)


def _is_of_a_tool(name: str) -> bool:
    return name.startswith('.') or name.lower() in _OF_TOOLS


def _other_classes(folder: str, ours: list[str], trains: list[str]) -> str:
    more, fewer = sorted(set(ours) - set(trains)), sorted(set(trains) - set(ours))
    parts = []
    if more:
        parts.append(f'has the class {some(more)}, which train has not')
    if fewer:
        parts.append(f'has no class {some(fewer)}, which train has')
    return f'{folder} {" and ".join(parts)}; both must have the same classes, as they are numbered in sorted order'


def some(names: list[str]) -> str:
    """The first of many names, in words."""
    return ', '.join(names[:3]) + (f' and {len(names) - 3} more' if len(names) > 3 else '')


def _is_within(path: str, folder: str) -> bool:
    return os.path.commonpath((path, folder)) == folder


def _is_folder(path: str | os.PathLike) -> bool:
    """As os.path.isdir, but what may not be looked at is an error."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
