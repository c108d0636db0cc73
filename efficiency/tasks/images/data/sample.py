"""The examples by which a data set that is not held in memory is known again."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from efficiency.data.pipeline import default_workers
from efficiency.data.sample import DAMAGED
from efficiency.tasks.images.data import images
from efficiency.tasks.images.data.encoded import header
from efficiency.tasks.images.data.sources import ExampleSource, Source
from efficiency.tasks.images.data.splits import DamagedExample, WrongLabel, read

_OF_EACH_SPLIT = 64


class Sample:
    """Up to 64 evenly spaced examples of each split, as they are stored.

    A run keeps what they were, each by itself. Of one that was damaged it keeps that instead: what is there once it is
    mended may differ from what was there before, and of all else nothing may.

    Attributes:
        fingerprint: sha256 of the source's identity, its splits' sizes, and these examples with their labels.
    """

    def __init__(self, source: Source, splits: Sequence[ExampleSource]):
        """Reads them; one that cannot be read counts as no bytes.

        Raises:
            WrongLabel: for one whose label is no class.
        """
        self._num_classes = source.num_classes
        whole = hashlib.sha256(f'{source.num_classes} {source.identity}'.encode())
        rest = whole.copy()
        self._places: list[tuple[ExampleSource, int]] = []
        self._digests: list[str] = []
        for split in splits:
            size = f' {len(split)} {getattr(split, "identity", "")}'.encode()
            whole.update(size)
            rest.update(size)
            indices = np.linspace(0, len(split) - 1, min(_OF_EACH_SPLIT, len(split))).astype(int).tolist()
            contents, labels = self._contents(split, indices)
            for content, label in zip(contents, labels, strict=True):
                whole.update(content)
                digest = hashlib.sha256(label)
                digest.update(content)
                self._digests.append(_short(digest))
            whole.update(labels)
            self._places += [(split, index) for index in indices]
        self.fingerprint, self._rest = whole.hexdigest(), _short(rest)

    def _contents(self, split: ExampleSource, indices: list[int]) -> tuple[list[bytes | np.ndarray], np.ndarray]:
        contents: list[bytes | np.ndarray] = []

        def keep(_, image):
            contents.append(image if isinstance(image, bytes) else np.ascontiguousarray(image))

        try:
            return contents, read(split, indices, self._num_classes, keep)
        except WrongLabel:
            raise
        except DamagedExample:
            if len(indices) == 1:
                return [b''], np.zeros(1, np.int32)
        each = [self._contents(split, [index]) for index in indices]
        return [content for (content,), _ in each], np.concatenate([label for _, label in each])

    @property
    def kept(self) -> str:
        """What a run keeps: 16 hexadecimal digits of the source, and as many or a dash of each example."""
        return ' '.join([self._rest, *self._digests])

    def note_damage(self) -> None:
        """Reads the examples again, and keeps of each that is damaged now no more than that it is."""
        with ThreadPoolExecutor(default_workers()) as pool:
            damage = list(pool.map(self._damage, range(len(self._places))))
        self._digests = [DAMAGED if found else digest for found, digest in zip(damage, self._digests, strict=True)]

    def check(self) -> None:
        """Reads the examples again.

        Raises:
            DamagedExample: for the first that is damaged.
        """
        with ThreadPoolExecutor(default_workers()) as pool:
            for found in pool.map(self._damage, range(len(self._places))):
                if found:
                    raise found

    def agrees(self, kept: str) -> bool:
        """Whether the examples are those of which another sample was kept, but for those damaged then or now."""
        rest, *digests = kept.split()
        if rest != self._rest or len(digests) != len(self._digests):
            return False
        for i, digest in enumerate(digests):
            if digest not in (self._digests[i], DAMAGED):
                if not self._damage(i):
                    return False
                self._digests[i] = DAMAGED
        return True

    def _damage(self, number: int) -> DamagedExample | None:
        split, index = self._places[number]
        try:
            read(split, [index], self._num_classes, _decode)
        except DamagedExample as error:
            return error
        return None


def _decode(_, image: bytes | np.ndarray) -> None:
    if isinstance(image, bytes):
        images.decode(image, reduced=8 if header(image).reducible else 1)


def _short(digest) -> str:
    return digest.hexdigest()[:16]
