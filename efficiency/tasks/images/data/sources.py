"""What a data set is before it is made ready for training: a source of examples, and those that are registered."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from efficiency.errors import UserError, shown
from efficiency.registration import registers

# An encoded file's bytes, the path of one, or (h, w, 1 or 3) uint8 pixels.
Image = bytes | os.PathLike | np.ndarray
# A channel that varies less has nothing to train on.
_LEAST_STD = 1e-6
# What a split for evaluation is called, the first of them taken that there is.
EVAL_SPLITS = ('validation', 'val', 'test')


class ExampleSource(Protocol):
    """A split as it is stored: examples by index, and what to call one in a message.

    It may have `identity`, a text that tells it from other data of the same size, and `__getitems__`, from a list of
    indices to a list of examples, if that is faster.
    """

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> tuple[Image, int]: ...
    def name_of(self, index: int) -> str: ...


@dataclasses.dataclass(frozen=True)
class Examples:
    """Images with their labels.

    Attributes:
        images: (n, h, w, 1 or 3) uint8 in one array, which is held in memory; or a sequence of encoded files' bytes,
            of paths, or of (h, w, 1 or 3) uint8 arrays, each read when it is needed.
        labels: n whole numbers, 0 to num_classes - 1.
    """

    images: np.ndarray | Sequence[Image]
    labels: Sequence[int]

    def __post_init__(self):
        labels = np.asarray(self.labels)
        if labels.ndim != 1 or labels.dtype.kind not in 'iub':
            raise UserError(f'labels are {labels.dtype} {labels.shape}; they must be n whole numbers')
        if len(self.images) != len(self.labels):
            raise UserError(f'there are {len(self.images)} images and {len(self.labels)} labels; each needs the other')

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Image, int]:
        return self.images[index], int(self.labels[index])

    def name_of(self, index: int) -> str:
        # Only a list holds paths that can be asked for again without being read.
        image = self.images[index] if isinstance(self.images, list | tuple) else None
        return str(image) if isinstance(image, str | os.PathLike) else f'example {index}'


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set as its source has it.

    Attributes:
        num_classes: labels are 0 to num_classes - 1.
        splits: by name.
        version: of the data, for the run record.
        image_shape: (h, w, c) of every image, None where they differ or it is not known.
        identity: what else tells this data from other data of that name, as file names and sizes.
        mean, std: of the channels on the scale of 0 to 1; None: those of the training images where these are held
            in memory, ImageNet's for others.
    """

    num_classes: int
    splits: Mapping[str, ExampleSource]
    version: str = '1'
    image_shape: tuple[int, int, int] | None = None
    identity: str = ''
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self):
        count = self.num_classes
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or not 1 <= count < 2**31:
            raise UserError(f'num_classes is {count!r}; it must be a whole number, from 1 to 2**31 - 1')
        object.__setattr__(self, 'num_classes', int(count))
        if not isinstance(self.splits, Mapping):
            raise UserError(f'splits are {type(self.splits).__name__}; they must be examples by name')
        if self.image_shape is not None and len(self.image_shape) != 3:
            raise UserError(f'image_shape is {self.image_shape}; it must be (h, w, c)')
        for name, low in (('mean', 0.0), ('std', _LEAST_STD)):
            values = getattr(self, name)
            if values is not None and not _of_channels(values, low):
                raise UserError(
                    f'{name} is {shown(values)}; it must be a number for each of 1 or 3 channels, of 0 to 1, and '
                    f'no std is below {_LEAST_STD:g}'
                )


def _of_channels(values: object, low: float) -> bool:
    try:
        values = np.asarray(values, float)
    except (TypeError, ValueError):
        return False
    return values.shape in ((1,), (3,)) and bool(((values >= low) & (values <= 1)).all())


_registered: dict[str, Callable[[str | None], Source]] = {}


def register_dataset(name: str) -> Callable:
    """Registers a data set under a name that configs can use; a decorator for the function that opens it.

    The function takes the folder that --data_dir names, None where it was not given, and returns a `Source`.

    Raises:
        ValueError: if the name is taken.
    """
    return registers(_registered, 'a data set', name)


def registered() -> dict[str, Callable[[str | None], Source]]:
    """The functions that open the registered data sets, by name."""
    return _registered
