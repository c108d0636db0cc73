"""A data set made ready for training: in memory where it fits, decoded as it is needed where it does not."""

import dataclasses
import hashlib
import os
from collections.abc import Callable, Sequence

import numpy as np

from efficiency.data.batches import Arrays, Split
from efficiency.data.pipeline import default_workers
from efficiency.errors import UserError
from efficiency.tasks.images.data import catalogue, images
from efficiency.tasks.images.data.parts import split_of
from efficiency.tasks.images.data.sample import Sample
from efficiency.tasks.images.data.sources import EVAL_SPLITS, Examples, ExampleSource, Source
from efficiency.tasks.images.data.splits import StoredSplit, read

# Both splits, as uint8 pixels at the size they are trained at.
_LARGEST_IN_MEMORY = 2 * 1024**3
# Of photographs (the mean and deviation of ImageNet's training images, as torchvision has them).
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_SIZE_OF_PHOTOGRAPHS = 224
_READ_TOGETHER = 4096


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set ready for training.

    Attributes:
        name, version: of the source.
        fingerprint: sha256 of every image and label of both splits as they are trained on, where they are held in
            memory; of the source's identity and 64 evenly spaced examples of each split as they are stored, where not.
        num_classes: labels are 0 to num_classes - 1.
        image_size: pixels a side.
        train_split, eval_split: their names.
        one_size: whether the source's images are all of one size.
        train, eval: 'image' (n, image_size, image_size, 1 or 3) uint8, 'label' (n,) int32.
        mean, std: of the channels, on the scale of 0 to 1.
        train_at: the training split at another size.
        sample: what the fingerprint of data not held in memory is taken of, None of others.
    """

    name: str
    version: str
    fingerprint: str
    num_classes: int
    image_size: int
    train_split: str
    eval_split: str
    one_size: bool
    train: Split
    eval: Split
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train_at: Callable[[int], Split]
    sample: Sample | None = None

    def is_of(self, fingerprint: str, sample: str | None) -> bool:
        """Whether these are the images of which a run kept fingerprint and sample, or those mended since."""
        return fingerprint == self.fingerprint or bool(self.sample and sample and self.sample.agrees(sample))

    def note_damage(self) -> None:
        """Has the description say which of the examples that the fingerprint is of are damaged now."""
        if self.sample:
            self.sample.note_damage()

    @property
    def description(self) -> dict:
        """What a run record says of it."""
        said = {
            'name': self.name,
            'version': self.version,
            'fingerprint': self.fingerprint,
            'num_train': len(self.train),
            'num_eval': len(self.eval),
            'num_classes': self.num_classes,
        }
        return said | {'sample': self.sample.kept} if self.sample else said


def load(
    name: str,
    split_names: tuple[str, str | None],
    image_size: int | None = None,
    data_dir: str | os.PathLike | None = None,
    as_stored: bool = False,
) -> Dataset:
    """Opens a data set, and reads it into memory if its images are all of one size and fit.

    Args:
        name: see `efficiency.tasks.images.data.catalogue.open_source`.
        split_names: of the training and of the evaluation split; for the latter None is the first that there is of
            validation, val and test.
        image_size: pixels a side, to which images are brought; None: the images' own, or 224 where they differ or are
            files of which that is not known.
        data_dir: see `open_source`.
        as_stored: whether training needs the images as they are stored, to crop them before they are resized.

    Raises:
        UserError: if the data set or a split is not there.
        DamagedExample: if an example cannot be read.
    """
    source = catalogue.open_source(name, data_dir)
    train_name, eval_name = split_names
    eval_name = eval_name or next((split for split in EVAL_SPLITS if split in source.splits), None)
    if eval_name is None:
        alike = [f'rename {split} to {split.lower()}, or ' for split in source.splits if split.lower() in EVAL_SPLITS]
        raise UserError(
            f'{name} has no split to evaluate on, of {", ".join(EVAL_SPLITS)}: its splits are '
            f'{", ".join(source.splits)}; {"".join(alike[:1])}take another by --config.eval_split, or a part of one, '
            'as train[90%:]'
        )
    examples = [split_of(source, split, name) for split in (train_name, eval_name)]
    source = _with_shape(source, examples)
    shape = source.image_shape
    size = image_size or (max(shape[:2]) if shape else _SIZE_OF_PHOTOGRAPHS)
    threads = default_workers()

    def fits(side):
        return shape and sum(map(len, examples)) * side * side * shape[2] <= _LARGEST_IN_MEMORY and not as_stored

    def train_at(side):
        return (_in_memory if fits(side) else StoredSplit)(examples[0], source, side)

    mean, std = source.mean, source.std
    evaluation: Split
    train: Split
    if fits(size):
        train, evaluation = (_in_memory(split, source, size, threads) for split in examples)
        sample, fingerprint = None, _fingerprint_of_arrays((train, evaluation))
        measured_mean, measured_std = _channel_statistics(train.arrays['image'])
        mean, std = mean or measured_mean, std or measured_std
    else:
        train = StoredSplit(examples[0], source, size)
        evaluation = StoredSplit(examples[1], source, size, threads)
        sample = Sample(source, examples)
        fingerprint = sample.fingerprint
        mean, std = mean or _IMAGENET_MEAN, std or _IMAGENET_STD
    channels = train.shapes['image'][0][2]
    for values in (mean, std):
        if len(values) not in (1, channels):
            raise UserError(f'{name} has {len(values)} numbers as mean or std of {channels} channels')
    return Dataset(
        name, source.version, fingerprint, source.num_classes, size, train_name, eval_name, shape is not None,
        train, evaluation, mean, std, train_at, sample,
    )  # fmt: skip


def _with_shape(source: Source, examples: list[ExampleSource]) -> Source:
    """The source, knowing the shape that the images of arrays have."""
    shapes = {split.images.shape[1:] for split in examples if _is_array(split)}
    if source.image_shape or len(shapes) != 1 or not all(map(_is_array, examples)):
        return source
    return dataclasses.replace(source, image_shape=shapes.pop())


def _is_array(split: ExampleSource) -> bool:
    return isinstance(split, Examples) and isinstance(split.images, np.ndarray) and split.images.ndim == 4


def _in_memory(examples: ExampleSource, source: Source, size: int, threads: int = 1) -> Arrays:
    if _is_array(examples) and examples.images.shape[1:3] == (size, size):
        return _images_with_labels(_checked_images(examples), _checked_labels(examples, source.num_classes))
    channels = source.image_shape[2]
    pixels = np.empty((len(examples), size, size, channels), np.uint8)
    labels = np.empty(len(examples), np.int32)
    for start in range(0, len(examples), _READ_TOGETHER):
        chunk = pixels[start : start + _READ_TOGETHER]

        def fill(row, image, chunk=chunk):
            image = images.decode(image, None if channels == 1 else 3) if isinstance(image, bytes) else image
            chunk[row] = images.resize(image, size, size)

        indices = range(start, start + len(chunk))
        labels[start : start + len(chunk)] = read(examples, indices, source.num_classes, fill, threads)
    return _images_with_labels(pixels, labels)


def _images_with_labels(images: np.ndarray, labels: np.ndarray) -> Arrays:
    return Arrays({'image': images, 'label': labels})


def _checked_images(examples: Examples) -> np.ndarray:
    if examples.images.dtype != np.uint8 or examples.images.shape[3] not in (1, 3):
        raise UserError(
            f'images are {examples.images.dtype} {examples.images.shape}; they must be uint8 (n, h, w, 1 or 3)'
        )
    return examples.images


def _checked_labels(examples: Examples, num_classes: int) -> np.ndarray:
    labels = np.asarray(examples.labels)
    # Before they are made smaller numbers, which would take 2**32 for 0.
    strange = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if strange.size:
        index = int(strange[0])
        raise UserError(f'example {index} has the label {labels[index]}, and there are {num_classes} classes')
    return labels.astype(np.int32)


def _fingerprint_of_arrays(splits: Sequence[Arrays]) -> str:
    digest = hashlib.sha256()
    for split in splits:
        images, labels = split.arrays['image'], split.arrays['label']
        digest.update(repr(images.shape).encode())
        digest.update(np.ascontiguousarray(images))
        digest.update(np.ascontiguousarray(labels))
    return digest.hexdigest()


def _channel_statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    # From each channel's histogram: exact, and no float copy of the images.
    counts = np.stack([np.bincount(images[..., c].ravel(), minlength=256) for c in range(images.shape[3])])
    values = np.arange(256) / 255
    shares = counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ values
    std = np.sqrt(np.maximum(shares @ values**2 - mean**2, 1e-12))
    return tuple(mean.tolist()), tuple(std.tolist())
