"""Splits of images that are read and decoded example by example, as batches are taken from them."""

import os
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from efficiency.data.batches import Shapes
from efficiency.errors import DataError
from efficiency.tasks.images.data import images
from efficiency.tasks.images.data.sources import ExampleSource, Image, Source

# What an image that does not decode, or a file that is damaged, makes the libraries raise.
_READ_ERRORS = (OSError, ValueError, IndexError, RuntimeError, TypeError)  # of a cut shard's record, which is empty


class DamagedExample(DataError):
    """An example that cannot be read; the message says which, and why."""


class WrongLabel(DamagedExample):
    """An example whose label is no class."""


def shapes_of_images(image_shape: tuple[int, ...]) -> Shapes:
    """Of one example, whose image is (size, size, c) uint8, and its label a whole number."""
    return {'image': (image_shape, np.uint8), 'label': ((), np.int32)}


class StoredSplit:
    """Examples that are read, decoded and brought to one size as they are needed.

    With `draws` each image is cropped at random and mirrored (`images.resized_crop_flip`); without, images that
    differ in size are resized and cropped in the middle, and others resized as a whole.
    """

    in_memory = False

    def __init__(self, examples: ExampleSource, source: Source, image_size: int, threads: int = 1):
        self._examples, self._num_classes, self._size = examples, source.num_classes, image_size
        self._one_size = source.image_shape is not None
        self._threads = threads
        self.shapes = shapes_of_images((image_size, image_size, 3))

    def __len__(self) -> int:
        return len(self._examples)

    def take(self, indices, draws):
        pixels = np.empty((len(indices), self._size, self._size, 3), np.uint8)

        def fill(row, image):
            pixels[row] = self._at_size(image, draws[row] if draws else None)

        labels = read(self._examples, indices, self._num_classes, fill, self._threads)
        return {'image': pixels, 'label': labels}

    def _at_size(self, image, rng):
        if rng is not None:
            return images.resized_crop_flip(image, self._size, rng)
        if not self._one_size:
            return images.centre_crop(image, self._size)
        pixels = images.decode(image) if isinstance(image, bytes) else images.rgb(image)
        return images.resize(pixels, self._size, self._size)


def read(
    examples: ExampleSource,
    indices: Sequence[int],
    num_classes: int,
    use: Callable[[int, bytes | np.ndarray], None],
    threads: int = 1,
) -> np.ndarray:
    """Reads examples as they are stored, and gives each to a function.

    Args:
        examples: where they are.
        indices: which.
        num_classes: for the labels to be checked against.
        use: takes the place in `indices` and the image, an encoded file's bytes or pixels (h, w, 1 or 3) uint8.
        threads: how many read and use them.

    Returns:
        Their labels, (n,) int32.

    Raises:
        DamagedExample: for one that cannot be read or used; `WrongLabel` for one whose label is no class.
    """
    together = _read_together(examples, indices)

    def one(row):
        index = int(indices[row])
        try:
            image, label = together[row] if together else examples[index]
            use(row, _loaded(image))
        except _READ_ERRORS as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise DamagedExample(f'{examples.name_of(index)} cannot be read: {lines[0]}') from error
        if not 0 <= label < num_classes:
            raise WrongLabel(f'{examples.name_of(index)} has the label {label}, and there are {num_classes} classes')
        return label

    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            labels = list(pool.map(one, range(len(indices))))
    else:
        labels = list(map(one, range(len(indices))))
    return np.array(labels, np.int32)


def _read_together(examples: ExampleSource, indices: Sequence[int]) -> Sequence | None:
    """All at once, where the source can, which for small records is several times faster."""
    if not hasattr(examples, '__getitems__'):
        return None
    try:
        return examples.__getitems__([int(index) for index in indices])
    except _READ_ERRORS:
        return None  # one of them is damaged; one by one it will be found which


def _loaded(image: Image) -> bytes | np.ndarray:
    if isinstance(image, str | os.PathLike):
        if not stat.S_ISREG(os.stat(image).st_mode):
            raise ValueError('it is no regular file')  # opening a pipe would wait for a writer
        with open(image, 'rb') as file:
            return file.read()
    if isinstance(image, bytes):
        return image
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
        raise ValueError(f'its pixels are {image.dtype} {image.shape}, not uint8 (h, w, 1 or 3)')
    return image
