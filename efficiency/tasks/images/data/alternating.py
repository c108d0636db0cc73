"""Batches that mirror every image in every other epoch, instead of half of the images at random."""

import functools

import numpy as np

from efficiency.data.batches import Batch, TrainBatches


class AlternatingBatches(TrainBatches):
    """Training batches that say which images are mirrored.

    Half of the images, drawn at random, are mirrored in the first epoch, the other half in the second, and so on: two
    epochs that follow one another have each image once either way, where independent draws repeat half of them
    (Jordan, 2024, arXiv:2404.00498).
    """

    def at(self, position: int) -> Batch:
        """The batch as of `TrainBatches`, and 'mirrored' (n,) bool."""
        part = self.host.part(self.batch_size)
        count, first = part.stop - part.start, position + part.start
        epochs = np.arange(first, first + count) // len(self.split)
        mirrored = self._first[self.indices(first, count)] ^ (epochs % 2 == 1)
        return super().at(position) | {'mirrored': mirrored}

    @functools.cached_property
    def _first(self) -> np.ndarray:
        """(examples,) bool: which are mirrored in the first epoch, drawn apart from any order of examples."""
        seeds = np.random.SeedSequence(self.seed, spawn_key=(1,))
        return np.random.Generator(np.random.Philox(seeds)).random(len(self.split)) < 0.5
