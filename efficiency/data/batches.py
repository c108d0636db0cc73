"""Which examples make up which batch: a pure function of the seed and of how many examples went before."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from efficiency.errors import UserError, shown

Batch = dict[str, np.ndarray]
# By the names of some arrays, the shape and dtype of each.
Shapes = Mapping[str, tuple[tuple[int, ...], Any]]


class Split(Protocol):
    """Examples to make batches of.

    Attributes:
        in_memory: whether they are taken for nothing.
        shapes: of one example's arrays by name, each with its dtype.
    """

    in_memory: bool
    shapes: Shapes

    def __len__(self) -> int: ...

    def take(self, indices: np.ndarray, draws: Sequence[np.random.Generator] | None) -> Batch:
        """The examples of some indices, (n, ...) each; `draws` is what each one's augmentation draws from."""
        ...


@dataclasses.dataclass(frozen=True)
class Arrays:
    """A split in memory: arrays by name, of which each has an example a row."""

    arrays: Mapping[str, np.ndarray]
    in_memory = True

    def __post_init__(self):
        counts = {name: len(array) if np.ndim(array) else None for name, array in self.arrays.items()}
        if not counts or len(set(counts.values())) > 1 or not all(counts.values()):
            raise UserError(f'a split has {shown(counts)} examples; it must have arrays of as many each, one or more')
        if 'mask' in counts:
            raise UserError('a split has an array named mask, as evaluation calls its own; name it otherwise')
        object.__setattr__(self, 'arrays', {name: np.asarray(array) for name, array in self.arrays.items()})

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    @property
    def shapes(self) -> Shapes:
        return {name: (array.shape[1:], array.dtype) for name, array in self.arrays.items()}

    def take(self, indices: np.ndarray, draws: Any = None) -> Batch:
        return {name: array[indices] for name, array in self.arrays.items()}


def shapes_of_batch(shapes: Shapes, batch_size: int) -> dict[str, tuple[tuple[int, ...], Any]]:
    """The shapes of a batch of examples that have those shapes each."""
    return {name: ((batch_size, *shape), dtype) for name, (shape, dtype) in shapes.items()}


class Host(NamedTuple):
    """One of the hosts that share each batch, each taking an equal part of it."""

    index: int = 0
    count: int = 1

    def part(self, size: int) -> slice:
        """This host's part of a batch of that many, which the hosts divide."""
        each = size // self.count
        return slice(self.index * each, (self.index + 1) * each)


ONLY_HOST = Host()


def order_of(seed: int, epoch: int, count: int) -> np.ndarray:
    """(count,) the indices of all examples in the order in which an epoch has them."""
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch])))
    return generator.permutation(count)


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

    @property
    def in_memory(self) -> bool:
        """Whether a batch is made for nothing."""
        return self.split.in_memory

    def at(self, position: int) -> Batch:
        """The batch that follows the first `position` examples of the run, its arrays those of the split."""
        part = self.host.part(self.batch_size)
        first = position + part.start
        indices = self.indices(first, part.stop - part.start)
        draws = None
        if self.augmented_on_host:
            # One generator an example, from its place in the whole run.
            keys = range(first, first + len(indices))
            draws = [np.random.Generator(np.random.Philox(key=[self.seed, key])) for key in keys]
        return self.split.take(indices, draws)

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
            self._permutations = {epoch: order_of(self.seed, epoch, len(self.split))}
        return self._permutations[epoch]


class BatchSpan(NamedTuple):
    """A stretch of a run with batches of one kind.

    Attributes:
        first_step, first_example: how many steps, and examples, are before it.
        batch_size: examples of a batch, on all hosts.
        batches: by position, as `TrainBatches`.
    """

    first_step: int
    first_example: int
    batch_size: int
    batches: Any


class RunBatches:
    """The batches of a run by number, whichever stretch of it they are of.

    Attributes:
        spans: the stretches, in order.
        in_memory: whether all batches are made for nothing.
    """

    def __init__(self, spans: Sequence[BatchSpan]):
        self.spans = spans
        self.in_memory = all(span.batches.in_memory for span in spans)

    def at(self, step: int) -> Batch:
        """Batch number `step`, counted from 0."""
        span = [span for span in self.spans if span.first_step <= step][-1]
        return span.batches.at(span.first_example + (step - span.first_step) * span.batch_size)


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
        """Batch by number: the arrays of the split, and 'mask' (n,) bool."""
        chosen = np.arange(number * self.batch_size, (number + 1) * self.batch_size)[self.host.part(self.batch_size)]
        mask = chosen < len(self.split)
        # Only what is there is read; the rest repeats a row.
        taken = self.split.take(chosen[mask] if mask.any() else chosen[:1] * 0, None)
        rows = np.where(mask, np.arange(len(chosen)), 0)
        return {name: array[rows] for name, array in taken.items()} | {'mask': mask}
