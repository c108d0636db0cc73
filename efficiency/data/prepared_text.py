"""Texts of data sets of TensorFlow Datasets: some of their text features, of every example of a split."""

import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from efficiency.data.prepared import open_builder
from efficiency.errors import UserError


class PreparedTexts(NamedTuple):
    """What was read.

    Attributes:
        version: of the data set.
        splits: by the split's name, for each example the texts of the features.
    """

    version: str
    splits: dict[str, list[tuple[str, ...]]]


def split_base(split: str) -> str:
    """The split of which 'train[:90%]' is a part."""
    return split.partition('[')[0]


def read_texts(
    name: str, splits: Sequence[str], folder: pathlib.Path | None, choose: Callable[[list[str], list[str]], list[str]]
) -> PreparedTexts:
    """The texts of some splits.

    Args:
        name: of the data set, with config and version if need be.
        splits: names, or parts like 'train[:90%]'; of the first none of the others may have an example.
        folder: where TensorFlow Datasets has its data; its default where None.
        choose: (text features, all features) -> those wanted; raises UserError where they are not there.

    Raises:
        UserError: if there is no such data set or split, it has no example, or one of the first's, or a text is no
            UTF-8.
    """
    builder = open_builder(name, folder, [])
    import tensorflow_datasets as tfds

    features = builder.info.features
    chosen = choose([key for key in features if isinstance(features[key], tfds.features.Text)], list(features))
    sources, found = {}, {}
    for split in splits:
        if split_base(split) not in builder.info.splits:
            there = ', '.join(builder.info.splits)
            raise UserError(f'{name} has no split {split_base(split)!r}; its splits are {there}')
        try:
            count = sum(len(span) for _, span in _spans(builder, split))
        except (AssertionError, ValueError) as error:
            raise UserError(f'{split!r} is no part of a split of {name}: {str(error).splitlines()[0]}') from error
        if not count:
            raise UserError(f'{split} of {name} has no example')
        sources[split] = builder.as_data_source(split)
    train, *held_out = splits
    for split in held_out:
        if shared := _shared(builder, train, split):
            raise UserError(
                f'{train} and {split} of {name} have {shared:,} examples in common; what is evaluated on must be held '
                'out'
            )
    for split, source in sources.items():
        found[split] = [
            tuple(_text(record[key], f'the {key} of example {number} of {split} of {name}') for key in chosen)
            for number, record in enumerate(source.__getitems__(range(len(source))))
        ]
    return PreparedTexts(str(builder.info.version), found)


def _shared(builder: Any, first: str, second: str) -> int:
    """How many examples two parts have in common."""
    return sum(
        len(range(max(one.start, other.start), min(one.stop, other.stop)))
        for name, one in _spans(builder, first)
        for other_name, other in _spans(builder, second)
        if name == other_name
    )


def _spans(builder: Any, part: str) -> Iterator[tuple[str, range]]:
    """Which examples of which splits a part is."""
    import tensorflow_datasets as tfds

    for each in tfds.core.ReadInstruction.from_spec(part).to_absolute(builder.info.splits):
        count = builder.info.splits[each.splitname].num_examples
        yield each.splitname, range(count)[each.from_ : each.to]


def decoded(data: bytes, where: str) -> str:
    """A text of its bytes.

    Raises:
        UserError: if they are no UTF-8; says which byte.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UserError(f'{where} is no UTF-8: its byte {error.start} is {data[error.start]:#04x}') from error


def _text(value: Any, where: str) -> str:
    return decoded(value, where) if isinstance(value, bytes) else str(value)
