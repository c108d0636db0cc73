"""Folders that --data_dir names and that are not quite what it should: what they are, and what would be right."""

import itertools
import os
import pathlib
from collections.abc import Callable, Iterator

from efficiency.tasks.images.data.image_folder import is_image, some
from efficiency.tasks.images.data.sources import EVAL_SPLITS

_EXPECTED = 'an ImageFolder tree has train/<class>/ and val/<class>/ in it, with images there'
_SPLITS = ('train', *EVAL_SPLITS)
# No more is looked at to find an image.
_LOOKED_AT = 10_000


def not_quite_a_tree(folder: pathlib.Path, is_prepared_elsewhere: Callable[[], bool]) -> str | None:
    """One sentence on a folder that is a part of an ImageFolder tree, or holds one, or is one but for names.

    None where it is nothing of the kind.

    Args:
        folder: where data were looked for.
        is_prepared_elsewhere: whether the data set may well be another's to prepare there, so that an image in the
            folder says nothing.

    Raises:
        OSError: if it cannot be read.
    """
    folder = folder.absolute()
    if not _has_image(folder):
        return None
    for tree in list(folder.parents)[:2]:
        if (tree / 'train').is_dir() and folder.relative_to(tree).parts[0] in _SPLITS:
            return f'{folder} is within an ImageFolder tree; pass the folder that holds train: --data_dir={tree}'
    inside = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith('.'))
    for name in inside:
        if (folder / name / 'train').is_dir():
            return f'{folder} holds an ImageFolder tree in {name}; pass --data_dir={folder / name}'
    found = f'{folder} holds {some(inside)}' if inside else f'{folder} holds images and no folder'
    wrong = [name for name in inside if name.lower() in _SPLITS and name != name.lower()]
    if wrong:
        right = ' and '.join(f'{name} to {name.lower()}' for name in wrong)
        return f'{found}, and {_EXPECTED}, in small letters: rename {right}'
    return None if is_prepared_elsewhere() else f'{found}, and {_EXPECTED}'


def _has_image(folder: pathlib.Path) -> bool:
    return any(map(is_image, itertools.islice(_files(folder), _LOOKED_AT)))


def _files(folder: pathlib.Path) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        # No deeper than images are, a tree being in it.
        if len(pathlib.Path(place).relative_to(folder).parts) >= 3:
            folders.clear()
        yield from files
