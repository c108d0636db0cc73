"""Which examples make up which batch: a pure function of the seed and of how many examples went before."""

from collections.abc import Iterator

import numpy as np

from efficiency.data.sources import Split

Batch = dict[str, np.ndarray]


class TrainBatches:
    """Full batches of a split in memory, shuffled anew every epoch and running on across epoch borders.

    The order depends on `seed` and the position alone, so a run that is resumed at a position goes on with the
    very examples that would have come.

    Attributes:
        split: images and labels.
        batch_size: examples a batch, may be larger than the split.
        seed: of the order.
    """

    def __init__(self, split: Split, batch_size: int, seed: int):
        self.split = split
        self.batch_size = batch_size
        self.seed = seed
        self._permutations: dict[int, np.ndarray] = {}

    def at(self, step: int) -> Batch:
        """Batch number `step`, counted from 0: {'image': (n, h, w, c) uint8, 'label': (n,) int32}."""
        chosen = self.indices(step * self.batch_size, self.batch_size)
        return {'image': self.split.images[chosen], 'label': self.split.labels[chosen]}

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


def eval_batches(split: Split, batch_size: int) -> Iterator[Batch]:
    """Every example of a split exactly once, in order, in batches of one size.

    The last batch is filled up with copies of the first example, for which 'mask' (n,) is False.
    """
    for start in range(0, len(split), batch_size):
        chosen = np.arange(start, start + batch_size)
        mask = chosen < len(split)
        chosen = np.where(mask, chosen, 0)
        yield {'image': split.images[chosen], 'label': split.labels[chosen], 'mask': mask}
