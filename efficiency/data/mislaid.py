"""Folders that --data_dir names and that are not quite what it should: what they are, and what would be right."""

import itertools
import mimetypes
import os
import pathlib
from collections.abc import Iterator

_EXPECTED = 'an ImageFolder tree has train/<class>/ and val/<class>/ in it, with images there'
_SPLITS = ('train', 'val', 'validation', 'test')
# No more is looked at to find an image.
_LOOKED_AT = 10_000


def not_quite_a_tree(folder: pathlib.Path) -> str | None:
    """One sentence on a folder that is a part of an ImageFolder tree, or holds one, or is one but for names.

    None where it is nothing of the kind.

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
    found = f'{folder} holds {_some(inside)}' if inside else f'{folder} holds images and no folder'
    wrong = [name for name in inside if name.lower() in _SPLITS and name != name.lower()]
    if wrong:
        right = ' and '.join(f'{name} to {name.lower()}' for name in wrong)
        return f'{found}, and {_EXPECTED}, in small letters: rename {right}'
    return f'{found}, and {_EXPECTED}'


def _has_image(folder: pathlib.Path) -> bool:
    return any(
        (mimetypes.guess_type(name)[0] or '').startswith('image/')
        for name in itertools.islice(_files(folder), _LOOKED_AT)
    )


def _files(folder: pathlib.Path) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        # No deeper than images are, a tree being in it.
        if len(pathlib.Path(place).relative_to(folder).parts) >= 3:
            folders.clear()
        yield from files


def _some(names: list[str]) -> str:
    return ', '.join(names[:3]) + (f' and {len(names) - 3} more' if len(names) > 3 else '')
