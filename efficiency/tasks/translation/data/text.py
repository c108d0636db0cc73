"""Pairs of sentences in two languages: two text features of a data set, or two files of lines a split."""

import codecs
import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from efficiency.data.prepared_text import read_texts, split_base
from efficiency.data.readable import OF_FILES, check_file, sentences
from efficiency.errors import UserError

_FORM = 'NAME-SOURCE-TARGET, as multi30k-en-de'


class Pairs(NamedTuple):
    """Sentences, and what each is in the other language.

    Attributes:
        source, target: one line each, without its end.
    """

    source: list[str]
    target: list[str]

    @property
    def digest(self) -> str:
        """sha256 of all sentences in their order."""
        found = hashlib.sha256()
        for line in (*self.source, *self.target):
            found.update(f'{len(line)} {line}'.encode())
        return found.hexdigest()


class Corpus(NamedTuple):
    """A data set's pairs.

    Attributes:
        version: of the data.
        splits: pairs by the split's name.
    """

    version: str
    splits: dict[str, Pairs]


def names_of(dataset: str) -> tuple[str, str, str]:
    """The data set's own name and the two languages of 'multi30k-en-de'.

    Raises:
        UserError: if it has no such form.
    """
    name, *languages = dataset.rsplit('-', 2)
    right = name and len(languages) == 2 and all(languages) and languages[0] != languages[1] and dataset.isprintable()
    if not right:
        raise UserError(f'config.dataset is {dataset!r}; a translation is of {_FORM}')
    return name, *languages


def read(dataset: str, splits: Sequence[str], data_dir: str | os.PathLike | None) -> Corpus:
    """The pairs of some splits.

    Args:
        dataset: the name of a data set of TensorFlow Datasets and of two of its text features, with hyphens between; or
            any name and the ends of the names of files.
        splits: 'train', or, of TensorFlow Datasets, parts like 'train[:90%]' too.
        data_dir: a folder with two files a split, `train.en` and `train.de`; or where TensorFlow Datasets has its data,
            its default where None.

    Raises:
        UserError: if there is no such data set, split, file or language, a line is empty or no UTF-8, or two files
            differ in length.
    """
    name, source, target = names_of(dataset)
    folder = pathlib.Path(os.path.expanduser(data_dir)) if data_dir else None
    found, first = [], split_base(splits[0])
    with sentences():
        if folder and not folder.is_dir():
            raise UserError(f'there is no folder {folder}, which --data_dir names')
        if folder:
            names = sorted(path.name for path in folder.iterdir() if path.is_file())
            found = [each for each in names if each.startswith(f'{first}.')]
            found = found or [each for each in names if each.endswith((f'.{source}', f'.{target}'))]
    if found:
        for language in (source, target):
            if f'{first}.{language}' not in found:
                raise UserError(
                    f'there is no file {folder / first}.{language}, which {dataset} asks for; there are '
                    f'{", ".join(found)}'
                )
        return Corpus(OF_FILES, {split: _of_files(folder, split, source, target) for split in splits})
    return _prepared(name, (source, target), splits, folder)


def _of_files(folder: pathlib.Path, split: str, source: str, target: str) -> Pairs:
    paths = [folder / f'{split}.{language}' for language in (source, target)]
    pairs = Pairs(*map(_lines, paths))
    if len(pairs.source) != len(pairs.target):
        raise UserError(
            f'{paths[0]} has {len(pairs.source):,} lines and {paths[1]} {len(pairs.target):,}; one must be the '
            'translation of the other, line by line'
        )
    return pairs


def _lines(path: pathlib.Path) -> list[str]:
    with sentences(str(path)):
        if not path.is_file():
            raise UserError(f'there is no file {path}; a split of files is its two files of lines, whole')
        check_file(path)
        data = path.read_bytes().removeprefix(codecs.BOM_UTF8)  # which says how it is written, and is no text
    try:
        # By line feeds alone: other ends of lines that Unicode knows may stand within a sentence.
        lines = [line.removesuffix('\r') for line in data.decode().split('\n')]
    except UnicodeDecodeError as error:
        number = data.count(b'\n', 0, error.start) + 1
        raise UserError(f'line {number} of {path} is no UTF-8, which a file of sentences must be') from error
    lines = lines[:-1] if lines[-1] == '' else lines
    if not lines:
        raise UserError(f'{path} has no line')
    for number, line in enumerate(lines, 1):
        if not line.strip():
            raise UserError(f'line {number} of {path} is empty; take it out of both files of the split')
    return lines


def _prepared(name: str, languages: tuple[str, str], splits: Sequence[str], folder: pathlib.Path | None) -> Corpus:
    def choose(texts: list[str], features: list[str]) -> list[str]:
        for language in languages:
            if language not in texts:
                has = f'its texts are {", ".join(texts)}' if texts else f'its features are {", ".join(features)}'
                raise UserError(f'{name} has no text {language!r}; {has}')
        return list(languages)

    version, found = read_texts(name, splits, folder, choose)
    return Corpus(version, {split: _pairs(rows, languages, f'{split} of {name}') for split, rows in found.items()})


def _pairs(rows: Sequence[tuple[str, ...]], languages: tuple[str, str], where: str) -> Pairs:
    pairs = Pairs(*map(list, zip(*rows, strict=True)))
    for language, lines in zip(languages, pairs, strict=True):
        for number, line in enumerate(lines):
            if not line.strip():
                raise UserError(f'example {number} of {where} has an empty {language}')
    return pairs
