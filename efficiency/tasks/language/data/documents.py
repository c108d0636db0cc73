"""Documents: a text feature of a data set of TensorFlow Datasets, or a folder of text files a split."""

import hashlib
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from efficiency.data.prepared_text import decoded, read_texts, split_base
from efficiency.data.readable import OF_FILES, check_file, sentences
from efficiency.errors import UserError


class Documents(NamedTuple):
    """A split: its texts, whole, in their order."""

    texts: list[str]

    @property
    def digest(self) -> str:
        """sha256 of all texts in their order."""
        found = hashlib.sha256()
        for text in self.texts:
            data = text.encode()
            found.update(f'{len(data)} '.encode() + data)
        return found.hexdigest()

    @property
    def bytes(self) -> int:
        """How many bytes they are, as UTF-8."""
        return sum(len(text.encode()) for text in self.texts)


class Corpus(NamedTuple):
    """A data set's documents.

    Attributes:
        version: of the data.
        splits: by the split's name.
    """

    version: str
    splits: dict[str, Documents]


def read(dataset: str, feature: str, splits: Sequence[str], data_dir: str | os.PathLike | None) -> Corpus:
    """The documents of some splits.

    Args:
        dataset: the name of a data set of TensorFlow Datasets; any, of a folder of files.
        feature: which of its text features; '' for `text`, or the only one that there is.
        splits: 'train', or, of TensorFlow Datasets, parts like 'train[:90%]' too.
        data_dir: a folder with a folder a split, `train/`, in which every `.txt` file, at any depth, is a document; or
            where TensorFlow Datasets has its data, its default where None.

    Raises:
        UserError: if there is no such data set, split or feature, a split has no text, or a document that the first
            has, too, or one is no UTF-8, or a folder has what cannot be read as a document, or a link to a folder.
    """
    folder = pathlib.Path(data_dir).expanduser() if data_dir else None
    with sentences():
        if folder and not folder.is_dir():
            raise UserError(f'there is no folder {folder}, which --data_dir names')
        of_files = folder is not None and (folder / split_base(splits[0])).is_dir()
        if folder and not of_files and any(folder.glob('*.txt')):
            raise UserError(
                f'{folder} has .txt files and no folder {split_base(splits[0])}; a split of files is a folder of its '
                'name, in which every .txt file is a document'
            )
    if of_files:
        if feature:
            raise UserError(f'config.text is {feature!r}, and the files of {folder} have no features; leave it empty')
        paths = {split: _files(folder, split) for split in splits}
        _check_apart(paths)
        texts = {split: {path: _text_of(path) for path in found} for split, found in paths.items()}
        _check_no_copies(texts)
        corpus = Corpus(OF_FILES, {split: Documents(list(found.values())) for split, found in texts.items()})
    else:
        version, found = read_texts(dataset, splits, folder, lambda *have: [_chosen(dataset, feature, *have)])
        corpus = Corpus(version, {split: Documents([text for (text,) in rows]) for split, rows in found.items()})
    for split, documents in corpus.splits.items():
        if not any(documents.texts):
            raise UserError(f'{split} of {folder if of_files else dataset} has no text')
    return corpus


def _chosen(dataset: str, feature: str, texts: list[str], features: list[str]) -> str:
    wanted = feature or ('text' if 'text' in texts else texts[0] if len(texts) == 1 else '')
    if wanted in texts:
        return wanted
    has = f'its texts are {", ".join(texts)}' if texts else f'its features are {", ".join(features)}'
    raise UserError(f'{dataset} has no text {(feature or "text")!r}; {has}: config.text names one')


def _files(folder: pathlib.Path, split: str) -> list[pathlib.Path]:
    with sentences():
        paths = sorted(_text_files(folder / split)) if (folder / split).is_dir() else []
        if not paths:
            raise UserError(
                f'there is no file {folder / split}/*.txt; a split of files is a folder of its name, whole, in which '
                'every .txt file is a document'
            )
        for path in paths:
            check_file(path)
        return paths


def _text_files(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Those at any depth; what might be one, or hold some, and is not read is told, and not left out."""

    def fail(error):
        raise error

    for place, folders, names in os.walk(folder, onerror=fail):
        for path in (pathlib.Path(place, name) for name in folders):
            if path.is_symlink():
                raise UserError(f'{path} is a link to a folder, which no split looks into; put the folder in its place')
        for path in (pathlib.Path(place, name) for name in names if name.endswith('.txt')):
            if path.is_file():
                yield path
            elif path.exists():
                raise UserError(f'{path} is named as a document and is no regular file; move it away')
            elif not path.name.startswith('.'):  # an editor's lock is hidden, and leads nowhere
                raise UserError(f'{path} is a link that leads nowhere; mend it, or remove it')


def _check_apart(paths: Mapping[str, Sequence[pathlib.Path]]) -> None:
    first, *others = paths
    of_first = {path.resolve() for path in paths[first]}
    for split in others:
        if shared := next((path for path in paths[split] if path.resolve() in of_first), None):
            raise UserError(f'{shared} is in {first} and in {split}; what is evaluated on must be held out')


def _check_no_copies(texts: Mapping[str, Mapping[pathlib.Path, str]]) -> None:
    def words(text):  # the same whatever an editor made of line ends and the beginning
        return ' '.join(text.removeprefix('\ufeff').split())

    first, *others = texts
    where = {words(text): path for path, text in texts[first].items()}
    for split in others:
        for path, text in texts[split].items():
            found = words(text)
            if found and found in where:
                raise UserError(f'{path} has the text of {where[found]}; what is evaluated on must be held out')


def _text_of(path: pathlib.Path) -> str:
    with sentences():
        return decoded(path.read_bytes(), str(path))
