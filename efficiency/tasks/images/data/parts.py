"""Splits by the names that configs give them: whole, and in parts and sums, as TensorFlow Datasets means them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from efficiency.errors import UserError
from efficiency.tasks.images.data.sources import Examples, ExampleSource, Image, Source


class _Parts:
    """Some of the examples of splits, one part after the other."""

    def __init__(self, parts: Sequence[tuple[ExampleSource, range]]):
        self._parts = parts
        self._ends = np.cumsum([len(indices) for _, indices in parts])
        if all(hasattr(whole, '__getitems__') for whole, _ in parts):
            self.__getitems__ = self._together

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> tuple[Image, int]:
        whole, place = self._at(index)
        return whole[place]

    def name_of(self, index: int) -> str:
        whole, place = self._at(index)
        return whole.name_of(place)

    def _at(self, index: int) -> tuple[ExampleSource, int]:
        number = int(np.searchsorted(self._ends, index, side='right'))
        whole, indices = self._parts[number]
        return whole, indices[index - int(self._ends[number])]

    def _together(self, chosen: list[int]) -> list[tuple[Image, int]]:
        places = [self._at(index) for index in chosen]
        found: dict[int, tuple[Image, int]] = {}
        for whole in dict.fromkeys(whole for whole, _ in places):
            rows = [row for row, (holder, _) in enumerate(places) if holder is whole]
            found |= zip(rows, whole.__getitems__([places[row][1] for row in rows]), strict=True)
        return [found[row] for row in range(len(chosen))]


class _Infos(Mapping):
    """What TensorFlow Datasets asks of splits, of each when it does.

    Attributes:
        opened: the splits that were asked for.
    """

    def __init__(self, source: Source, dataset: str):
        self._source, self._dataset = source, dataset
        self.opened: dict[str, ExampleSource] = {}

    def __getitem__(self, name):
        import tensorflow_datasets as tfds

        if name not in self.opened:
            self.opened[name] = _whole(self._source, name, self._dataset)
        whole = self.opened[name]
        shards = getattr(whole, 'shard_lengths', None) or [len(whole)]
        return tfds.core.SplitInfo(name=name, shard_lengths=list(shards), num_bytes=0)

    def __iter__(self) -> Iterator[str]:
        return iter(self._source.splits)

    def __len__(self):
        return len(self._source.splits)


def split_of(source: Source, name: str, dataset: str) -> ExampleSource:
    """A split of a source by name; or parts, and sums of them, as TensorFlow Datasets reads them.

    'train[:90%]', 'train[-100:]', 'train[10:20]', 'train[:50%]+test', 'all': a percentage is rounded to the nearest
    example, of two to the even one, and what lies outside of the split is a mistake
    (https://www.tensorflow.org/datasets/splits).

    Raises:
        UserError: if there is no such split, it is empty, or TensorFlow Datasets reads no part in that.
    """
    part: ExampleSource
    if name in source.splits:
        part = _whole(source, name, dataset)
    else:
        chosen = _chosen(source, name, dataset)
        part, indices = chosen[0]
        if len(chosen) > 1 or len(indices) < len(part):
            part = _held(chosen) if all(_is_held(whole) for whole, _ in chosen) else _Parts(chosen)
    if not len(part):
        raise UserError(f'the split {name!r} of {dataset} is empty')
    return part


def _chosen(source: Source, name: str, dataset: str) -> list[tuple[ExampleSource, range]]:
    """What is taken of which split."""
    import tensorflow_datasets as tfds

    # A tree's validation is its val by another name.
    every = '+'.join(split for split in source.splits if split != 'validation' or 'val' not in source.splits)
    try:
        instruction = tfds.core.ReadInstruction.from_spec(every if name == 'all' else name)
    except (AssertionError, NotImplementedError, ValueError) as error:
        if '[' not in name and '+' not in name:
            raise UserError(_no_split(source, name, dataset)) from error
        reason = (
            str(error).splitlines()[-1].split('. See format', maxsplit=1)[0].split('. Got: ', maxsplit=1)[0].rstrip('.')
        )
        raise UserError(
            f'{name!r} is no part of a split of {dataset}: {reason}; parts are written as train[:90%], train[-100:] or '
            'train[:50%]+test'
        ) from error
    infos = _Infos(source, dataset)
    try:
        found = instruction.to_absolute(infos)
    except ValueError as error:
        raise UserError(f'{name!r} goes beyond the split of {dataset}: {str(error).rstrip(".")}') from error
    chosen = []
    for each in found:
        whole = infos.opened[each.splitname]
        start = 0 if each.from_ is None else each.from_
        chosen.append((whole, range(start, max(start, len(whole) if each.to is None else each.to))))
    return chosen


def _whole(source: Source, name: str, dataset: str) -> ExampleSource:
    if name not in source.splits:
        raise UserError(_no_split(source, name, dataset))
    whole = source.splits[name]
    if not hasattr(whole, 'name_of'):
        raise UserError(f'the split {name} of {dataset} is {type(whole).__name__}; it must be Examples')
    return whole


def _no_split(source: Source, name: str, dataset: str) -> str:
    alike = [split for split in source.splits if split.lower() == name.lower()]
    if not alike and name == 'validation':
        alike = [split for split in source.splits if split.lower() == 'val']
    hint = f'; {alike[0]} and {name} are two names: rename it, or ask for it as it is' if alike else ''
    return f'{dataset} has no split {name!r}: its splits are {", ".join(source.splits)}{hint}'


def _is_held(whole: Any) -> bool:
    return isinstance(whole, Examples) and isinstance(whole.images, np.ndarray)


def _held(chosen: Sequence[tuple[Any, range]]) -> Examples:
    """Of arrays, arrays."""
    images = [whole.images[indices.start : indices.stop] for whole, indices in chosen]
    labels = [whole.labels[indices.start : indices.stop] for whole, indices in chosen]
    if len(chosen) == 1:
        return Examples(images[0], labels[0])
    if len({each.shape[1:] for each in images}) > 1:
        shapes = ' and '.join(str(each.shape[1:]) for each in images)
        raise UserError(f'the images of the splits are {shapes}; they must be of one shape to be taken together')
    return Examples(np.concatenate(images), np.concatenate(labels))
