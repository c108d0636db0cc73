"""Rows of tokens: those of the training documents one behind another, and windows of each held-out document."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from efficiency.data.batches import Arrays, Batch
from efficiency.data.tokens import END, PADDING
from efficiency.errors import UserError
from efficiency.tasks.language.data.objectives import Objective


class Packed:
    """Training rows: a stretch of tokens cut every `objective.step`, whatever documents it is of.

    An example is a row. Where the last would be shorter it begins earlier, so that every token is in one.
    """

    in_memory = True

    def __init__(self, tokens: np.ndarray, objective: Objective):
        """`tokens` are those of all documents, (n,) int32.

        Raises:
            UserError: if there are fewer than a row has.
        """
        self._tokens, self._objective = tokens, objective
        self.shapes = objective.shapes
        if len(tokens) < objective.length:
            raise UserError(
                f'config.context is {objective.step}, longer than all the training documents together, which are '
                f'{len(tokens)} tokens with their ends; take a shorter one'
            )

    def __len__(self) -> int:
        return -(-(len(self._tokens) - self._objective.length) // self._objective.step) + 1

    def take(self, indices: np.ndarray, draws: Sequence[np.random.Generator] | None) -> Batch:
        last = len(self._tokens) - self._objective.length
        first = np.minimum(np.asarray(indices) * self._objective.step, last)
        return self._objective.batch(self._tokens[first[:, None] + np.arange(self._objective.length)], draws)


class Windows(NamedTuple):
    """What is evaluated on: windows of documents.

    Attributes:
        split: a window an example, as a batch has it.
        document: (windows,) which document each is of.
        counts: (windows,) how many tokens are asked for in each.
        least_context: how many tokens are before one in its window at least, but for a document's first window.
    """

    split: Arrays
    document: np.ndarray
    counts: np.ndarray
    least_context: int


def next_windows(documents: Sequence[np.ndarray], objective: Objective, stride: int) -> Windows:
    """Every token of every document, and its end, asked for once, from those before it in a window.

    A document has an end before it, as in training. Its first window asks for all of its tokens; each that follows
    begins `stride` tokens later, and asks for those that none has before.
    """
    context, rows, wanted, document = objective.step, [], [], []
    for number, tokens in enumerate(documents):
        whole = np.array([END, *tokens, END], np.int32)
        asked = 0  # of those that follow one
        for first in range(0, len(whole) - 1, stride):
            part = whole[first : first + context + 1]
            row, answer = np.full(context, PADDING, np.int32), np.full(context, PADDING, np.int32)
            row[: len(part) - 1] = part[:-1]
            answer[asked - first : len(part) - 1] = part[1 + asked - first :]
            rows.append(row)
            wanted.append(answer)
            document.append(number)
            asked = first + len(part) - 1
            if asked == len(whole) - 1:
                break
    arrays = Arrays({'tokens': np.stack(rows), 'wanted': np.stack(wanted)})
    return Windows(arrays, np.array(document), (arrays.arrays['wanted'] != PADDING).sum(1), context - stride + 1)


def drawn_windows(documents: Sequence[np.ndarray], objective: Objective) -> Windows:
    """What an objective that draws asks of the windows of every document, one after another: the same each time."""
    rows, document = [], []
    for number, tokens in enumerate(documents):
        whole = np.array([*tokens, END], np.int32)
        for first in range(0, len(whole), objective.step):
            part = whole[first : first + objective.step]
            if len(part) > 1:  # of one token alone nothing can be told
                rows.append(np.pad(part, (0, objective.step - len(part)), constant_values=PADDING))
                document.append(number)
    draws = [np.random.Generator(np.random.Philox(key=[0, number])) for number in range(len(rows))]
    arrays = Arrays(objective.batch(np.stack(rows), draws))
    return Windows(arrays, np.array(document), (arrays.arrays['wanted'] != PADDING).sum(1), 0)


def lengths(documents: Sequence[np.ndarray]) -> int:
    """Tokens of all documents and their ends."""
    return sum(map(len, documents)) + len(documents)
