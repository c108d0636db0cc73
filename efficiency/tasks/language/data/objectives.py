"""What a network is asked of a row of tokens: the next of each, those that are hidden, or spans that were taken out.

Each makes of rows (n, `length`) a batch: 'tokens' (n, t), which the network is given, 'wanted' (n, t), which it is to
find at each place, padding where it is asked for nothing, and, of spans, 'source' (n, s), which it reads first.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from ml_collections import ConfigDict

from efficiency.data.batches import Batch, Shapes
from efficiency.data.tokens import BEGIN, END, PADDING

# Of the arrays of a batch those that a network is given, in its order.
INPUTS = ('source', 'tokens')


class Objective(Protocol):
    """What is asked.

    Attributes:
        length: tokens of a row.
        step: how far behind a row the next begins.
        size: how many tokens a network must know.
        draws: whether something is drawn, so that rows are asked otherwise each time.
        shapes: of one example's arrays.
    """

    length: int
    step: int
    size: int
    draws: bool
    shapes: Shapes

    def batch(self, rows: np.ndarray, draws: Sequence[np.random.Generator] | None) -> Batch:
        """What is asked of rows, by a generator each where something is drawn."""
        ...


class Next:
    """Of each token that which follows: `context` tokens, each from those before it in its row."""

    draws = False

    def __init__(self, context: int, size: int):
        self.length, self.step, self.size = context + 1, context, size
        self.shapes = {name: ((context,), np.dtype(np.int32)) for name in ('tokens', 'wanted')}

    def batch(self, rows: np.ndarray, draws: Any = None) -> Batch:
        return {'tokens': rows[:, :-1], 'wanted': rows[:, 1:]}


class Hidden:
    """Tokens that are hidden, from all around them (Devlin et al., 2018, arXiv:1810.04805, section 3.1).

    Of a row each token is chosen with a probability of `share`, at least one. Eight of ten chosen are hidden behind a
    token of their own, one is another token at random, and one stays.
    """

    draws = True

    def __init__(self, context: int, size: int, share: float):
        self.length = self.step = context
        self.size, self._tokens, self._share = size + 1, size, share
        self.shapes = {name: ((context,), np.dtype(np.int32)) for name in ('tokens', 'wanted')}

    def batch(self, rows: np.ndarray, draws: Sequence[np.random.Generator]) -> Batch:
        tokens, wanted = rows.copy(), np.full_like(rows, PADDING)
        for row, given, asked, draw in zip(rows, tokens, wanted, draws, strict=True):
            real = np.flatnonzero(row != PADDING)
            chosen = real[draw.random(len(real)) < self._share]
            chosen = chosen if len(chosen) else real[[draw.integers(len(real))]]
            asked[chosen] = row[chosen]
            how = draw.random(len(chosen))
            given[chosen[how < 0.8]] = self._tokens
            other = chosen[(how >= 0.8) & (how < 0.9)]
            given[other] = draw.integers(END, self._tokens, len(other))
        return {'tokens': tokens, 'wanted': wanted}


class Spans:
    """Spans that were taken out, one after another (Raffel et al., 2019, arXiv:1910.10683, section 3.1.4).

    Of a row `share` of the tokens are taken out, in spans of `span` on average, between stretches that are left; each
    span leaves a sign of its own. What is written is each sign and what it stands for, and an end.
    """

    draws = True

    def __init__(self, context: int, size: int, share: float, span: float):
        self.length = self.step = context
        self._out = min(max(round(context * share), 1), context - 1)
        self._spans = min(max(round(self._out / span), 1), context - self._out, self._out)
        self._share, self._span = share, span
        self.size, self._sign = size + self._spans, size
        read, written = context - self._out + self._spans + 1, self._out + self._spans + 1
        self.shapes = {
            name: ((length,), np.dtype(np.int32))
            for name, length in (('source', read), ('tokens', written), ('wanted', written))
        }

    def batch(self, rows: np.ndarray, draws: Sequence[np.random.Generator]) -> Batch:
        found = {name: np.full((len(rows), *shape), PADDING, dtype) for name, (shape, dtype) in self.shapes.items()}
        for i, (row, draw) in enumerate(zip(rows, draws, strict=True)):
            row = row[row != PADDING]  # noqa: PLW2901  (a window of evaluation may be shorter)
            out = min(self._out, max(round(len(row) * self._share), 1), len(row) - 1)
            spans = min(self._spans, max(round(out / self._span), 1), out, len(row) - out)
            source, wanted, place = [], [], 0
            lengths = zip(_cut(len(row) - out, spans, draw), _cut(out, spans, draw), strict=True)
            for number, (kept, taken) in enumerate(lengths):
                source += [row[place : place + kept], [self._sign + number]]
                wanted += [[self._sign + number], row[place + kept : place + kept + taken]]
                place += kept + taken
            source, wanted = np.concatenate([*source, [END]]), np.concatenate([*wanted, [END]])
            found['source'][i, : len(source)] = source
            found['wanted'][i, : len(wanted)] = wanted
            found['tokens'][i, : len(wanted)] = [BEGIN, *wanted[:-1]]
        return found


def _cut(total: int, parts: int, draw: np.random.Generator) -> np.ndarray:
    """(parts,) whole numbers from 1 that add up to a total, every way as likely as another."""
    cuts = np.sort(draw.choice(total - 1, parts - 1, replace=False)) + 1 if parts > 1 else np.zeros(0, int)
    return np.diff([0, *cuts, total])


# By what a network's entry says that it is asked: makes that of a config, and of how many tokens there are.
OBJECTIVES: Mapping[str, Callable[[ConfigDict, int], Objective]] = {
    'next': lambda config, size: Next(config.context, size),
    'hidden': lambda config, size: Hidden(config.context, size, config.hidden_share),
    'spans': lambda config, size: Spans(config.context, size, config.hidden_share, config.hidden_span),
}
