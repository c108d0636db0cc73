"""Classification sets that TensorFlow Datasets has prepared."""

import pathlib
from collections.abc import Mapping

import numpy as np

from efficiency.data.prepared import open_builder
from efficiency.errors import UserError
from efficiency.tasks.images.data.sources import Image, Source


def open_prepared(name: str, folder: pathlib.Path | None, others: list[str]) -> Source:
    """A classification set in TensorFlow Datasets' own folder, or another.

    Args:
        name, folder, others: see `efficiency.data.prepared.open_builder`.

    Raises:
        UserError: if it is not there, not stored as array_record, or no classification set of uint8 images; with
            the command that would mend that.
    """
    builder = open_builder(name, folder, others)
    image_key, label_key = _keys(builder.info, name)
    feature = builder.info.features[image_key]
    shape = feature.shape if None not in feature.shape else None
    version = str(builder.info.version)
    sizes = [f'{split} {info.shard_lengths} {info.num_bytes}' for split, info in sorted(builder.info.splits.items())]
    return Source(
        builder.info.features[label_key].num_classes,
        _Splits(builder, image_key, label_key),
        version,
        shape,
        identity='\n'.join(sizes),
    )


def _keys(info, name: str) -> tuple[str, str]:
    """The features that are the image and its class."""
    import tensorflow_datasets as tfds

    image, label = info.supervised_keys if len(info.supervised_keys or ()) == 2 else ('image', 'label')
    features = info.features
    is_classification = (
        {image, label} <= set(features)
        and isinstance(features[image], tfds.features.Image)
        and isinstance(features[label], tfds.features.ClassLabel)
    )
    if not is_classification:
        raise UserError(f'{name} is no set of images with one class each: its features are {", ".join(features)}')
    if np.dtype(features[image].np_dtype) != np.uint8 or features[image].shape[-1] not in (1, 3, None):
        raise UserError(f'the images of {name} are no grey or colour images of 8 bits: {features[image]}')
    return image, label


class _Splits(Mapping):
    """The splits of a builder, each opened when it is asked for."""

    def __init__(self, builder, image_key, label_key):
        self._builder, self._keys = builder, (image_key, label_key)

    def __getitem__(self, name):
        if name not in self._builder.info.splits:
            raise KeyError(name)
        return _Records(self._builder, name, *self._keys)

    def __iter__(self):
        return iter(self._builder.info.splits)

    def __len__(self):
        return len(self._builder.info.splits)


class _Records:
    """A split in array_record files; images stay encoded."""

    def __init__(self, builder, split: str, image_key: str, label_key: str):
        import tensorflow_datasets as tfds

        skipped = {image_key: tfds.decode.SkipDecoding()}
        self._split, self._folder = split, str(builder.data_dir)
        self._image_key, self._label_key = image_key, label_key
        self._source = builder.as_data_source(split, decoders=skipped)
        self.shard_lengths = builder.info.splits[split].shard_lengths

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> tuple[Image, int]:
        record = self._source[index]
        return record[self._image_key], int(record[self._label_key])

    def __getitems__(self, indices: list[int]) -> list[tuple[Image, int]]:
        records = self._source.__getitems__(indices)
        return [(record[self._image_key], int(record[self._label_key])) for record in records]

    def name_of(self, index: int) -> str:
        return f'record {index} of {self._split} in {self._folder}'
