"""Data sets by name, wherever they are."""

import os
import pathlib

from efficiency.data import prepared
from efficiency.errors import UserError
from efficiency.tasks.images.data import (
    image_folder,
    mislaid,
    mnist5k,  # noqa: F401  (registers itself)
)
from efficiency.tasks.images.data.prepared import open_prepared
from efficiency.tasks.images.data.sources import Source, registered


def open_source(name: str, data_dir: str | os.PathLike | None = None) -> Source:
    """A data set by name.

    Args:
        name: a registered one; any name, where `data_dir` is an ImageFolder tree; one that TensorFlow Datasets has
            prepared.
        data_dir: an ImageFolder tree, or where TensorFlow Datasets keeps its data; its own default where None.

    Raises:
        UserError: if there is none, with the nearest names or what would make it.
    """
    folder = pathlib.Path(data_dir).expanduser() if data_dir else None
    try:
        if folder and not folder.is_dir():
            raise UserError(f'there is no folder {folder}, which --data_dir names')
        if folder and name not in registered() and image_folder.is_tree(folder):
            return image_folder.open_tree(folder)
        if folder and name not in registered() and not prepared.is_there(name, folder):
            sentence = mislaid.not_quite_a_tree(folder, lambda: prepared.is_known(name))
            if sentence:
                raise UserError(sentence)
    except OSError as error:
        raise UserError(f'cannot read {error.filename}: {error.strerror}; --data_dir names {folder}') from error
    if name in registered():
        try:
            source = registered()[name](str(folder) if folder else None)
        except UserError:
            raise
        except Exception as error:
            hint = '' if folder else ' (no --data_dir was given)'
            raise UserError(
                f'the function of the data set {name} raised {type(error).__name__}: {error}{hint}'
            ) from error
        if not isinstance(source, Source):
            raise UserError(f'the function of the data set {name} returned {type(source).__name__}, not a Source')
        return source
    return open_prepared(name, folder, sorted(registered()))
