"""Which examples make up which batch: a pure function of the seed and of how many examples went before."""

import math
from typing import NamedTuple

import numpy as np

from efficiency.data.splits import Split

Batch = dict[str, np.ndarray]


class Host(NamedTuple):
    """One of the hosts that share each batch, each taking an equal part of it."""

    index: int = 0
    count: int = 1

    def part(self, size: int) -> slice:
        """This host's part of a batch of that many, which the hosts divide."""
        each = size // self.count
        return slice(self.index * each, (self.index + 1) * each)


ONLY_HOST = Host()


class TrainBatches:
    """Full batches of a split, shuffled anew every epoch and running on across epoch borders.

    The order depends on `seed` and the position alone, so a run that is resumed at a position goes on with the
    very examples that would have come, and however many hosts and processes take part, together they see the same.

    Attributes:
        split: where the examples are.
        batch_size: examples a batch on all hosts, may be larger than the split.
        seed: of the order, and of what is drawn on the host.
        augmented_on_host: whether each example gets a generator to be augmented with.
        host: which part of each batch is taken.
    """

    def __init__(
        self, split: Split, batch_size: int, seed: int, augmented_on_host: bool = False, host: Host = ONLY_HOST
    ):
        self.split = split
        self.batch_size = batch_size
        self.seed = seed
        self.augmented_on_host = augmented_on_host
        self.host = host
        self._permutations: dict[int, np.ndarray] = {}

    def at(self, step: int) -> Batch:
        """Batch number `step`, counted from 0: {'image': (n, h, w, c) uint8, 'label': (n,) int32}."""
        part = self.host.part(self.batch_size)
        first = step * self.batch_size + part.start
        indices = self.indices(first, part.stop - part.start)
        draws = None
        if self.augmented_on_host:
            # One generator an example, from its place in the whole run.
            keys = range(first, first + len(indices))
            draws = [np.random.Generator(np.random.Philox(key=[self.seed, key])) for key in keys]
        images, labels = self.split.take(indices, draws)
        return {'image': images, 'label': labels}

    def indices(self, position: int, count: int) -> np.ndarray:
        """Indices into the split of the `count` examples that follow the first `position`."""
        parts = []
        while count:
            epoch, offset = divmod(position, len(self.split))
            part = self._permutation(epoch)[offset : offset + count]
            parts.append(part)
            position += len(part)
            count -= len(part)
        return np.concatenate(parts)

    def _permutation(self, epoch: int) -> np.ndarray:
        if epoch not in self._permutations:
            generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, epoch])))
            self._permutations = {epoch: generator.permutation(len(self.split))}
        return self._permutations[epoch]


class EvalBatches:
    """Every example of a split exactly once, in order, in batches of one size.

    The last batch is filled up with copies of the first example, for which 'mask' (n,) is False.

    Attributes:
        split: where the examples are.
        batch_size: examples a batch, on all hosts.
        host: which part of each batch is taken.
    """

    def __init__(self, split: Split, batch_size: int, host: Host = ONLY_HOST):
        self.split = split
        self.batch_size = batch_size
        self.host = host

    def __len__(self) -> int:
        return math.ceil(len(self.split) / self.batch_size)

    def at(self, number: int) -> Batch:
        """Batch by number: {'image': (n, h, w, c) uint8, 'label': (n,) int32, 'mask': (n,) bool}."""
        chosen = np.arange(number * self.batch_size, (number + 1) * self.batch_size)[self.host.part(self.batch_size)]
        mask = chosen < len(self.split)
        # Only what is there is read; the rest repeats a row.
        images, labels = self.split.take(chosen[mask] if mask.any() else chosen[:1] * 0, None)
        rows = np.where(mask, np.arange(len(chosen)), 0)
        return {'image': images[rows], 'label': labels[rows], 'mask': mask}
