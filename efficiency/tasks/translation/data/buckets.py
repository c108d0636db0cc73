"""Batches of sentences of about one length: a pure function of the seed and of how many pairs went before.

Every pair has a bucket, the shortest whose length takes both of its sentences. An epoch goes through all pairs in an
order of its own, and wherever a bucket has a batch's worth of them, that is the next batch; what is left over waits for
the next epoch. So every batch is full, and each pair is seen as often as another, but for those that wait.
"""

import functools
from collections.abc import Sequence

import numpy as np

from efficiency.data.batches import ONLY_HOST, Batch, Host, order_of
from efficiency.data.tokens import BEGIN, END, PADDING


class Tokens:
    """Sentences as rows of tokens, each ended, of the longest bucket's length at most.

    Attributes:
        rows: of each sentence its tokens and the end.
        cut: (n,) which were longer, and lost what was beyond.
    """

    def __init__(self, sentences: Sequence[Sequence[int]], longest: int):
        self.rows = [[*tokens[: longest - 1], END] for tokens in sentences]
        self.cut = np.array([len(tokens) > longest - 1 for tokens in sentences], bool)

    def __len__(self) -> int:
        return len(self.rows)

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """(n,) tokens of each, the end included."""
        return np.array([len(row) for row in self.rows], np.int32)

    def padded(self, indices: Sequence[int] | np.ndarray, length: int, first: int | None = None) -> np.ndarray:
        """(n, length) int32 rows, or (n, length + 1) where a token comes `first`."""
        found = np.full((len(indices), length), PADDING, np.int32)
        for row, index in zip(found, indices, strict=True):
            tokens = self.rows[index]
            row[: len(tokens)] = tokens
        return found if first is None else np.insert(found, 0, first, axis=1)


class BucketBatches:
    """Full batches of pairs, each of one bucket.

    Attributes:
        lengths: of the buckets, rising.
        bucket: (n,) the number of each pair's.
    """

    in_memory = True

    def __init__(
        self, source: Tokens, target: Tokens, lengths: Sequence[int], batch_size: int, seed: int, host: Host = ONLY_HOST
    ):
        self._source, self._target = source, target
        self.lengths, self._batch_size, self._seed, self._host = tuple(lengths), batch_size, seed, host
        self.bucket = bucket_of(source, target, lengths)
        self._batches: list[tuple[int, np.ndarray]] = []
        self._waiting: list[list[int]] = [[] for _ in lengths]
        self._epochs = 0

    def at(self, position: int) -> Batch:
        """The batch that follows the first `position` pairs of the run: this host's part of it.

        Returns:
            'source' (n, length) and 'target' (n, length + 1), int32; the target begins with the beginning.
        """
        bucket, indices = self.chosen(position // self._batch_size)
        indices = indices[self._host.part(self._batch_size)]
        length = self.lengths[bucket]
        return {
            'source': self._source.padded(indices, length),
            'target': self._target.padded(indices, length, BEGIN),
        }

    def chosen(self, number: int) -> tuple[int, np.ndarray]:
        """The bucket and the pairs of a batch, counted from 0."""
        while len(self._batches) <= number:
            self._go_through_an_epoch()
        return self._batches[number]

    def _go_through_an_epoch(self) -> None:
        for index in order_of(self._seed, self._epochs, len(self.bucket)).tolist():
            waiting = self._waiting[self.bucket[index]]
            waiting.append(index)
            if len(waiting) == self._batch_size:
                self._batches.append((int(self.bucket[index]), np.array(waiting)))
                waiting.clear()
        self._epochs += 1


def bucket_of(source: Tokens, target: Tokens, lengths: Sequence[int]) -> np.ndarray:
    """(n,) the number of each pair's bucket: the shortest that takes both of its sentences."""
    return np.searchsorted(np.asarray(lengths), np.maximum(source.lengths, target.lengths))
