"""Evaluation of translations: how likely the references are, and how near to them is what the network writes."""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from efficiency.data.tokens import BEGIN, END, PADDING
from efficiency.data.vocabulary import Vocabulary
from efficiency.flops import count_jaxpr, tracing
from efficiency.tasks.evaluation import Evaluated
from efficiency.tasks.translation.data.buckets import Tokens, bucket_of
from efficiency.tasks.translation.data.text import Pairs
from efficiency.tasks.translation.decoding import beam_search, greedy

# By how many tokens a translation may be longer than the bucket of its source.
LONGER = 10


class Sentences(NamedTuple):
    """A split to be evaluated on.

    Attributes:
        pairs: as they are written.
        source, target: as tokens.
    """

    pairs: Pairs
    source: Tokens
    target: Tokens

    @property
    def cut(self) -> int:
        """How many sentences of either language lost what was beyond the longest bucket."""
        return int(self.source.cut.sum() + self.target.cut.sum())


class _Part(NamedTuple):
    """Some sentences of one bucket: their numbers, and how many of a batch's rows are no copies."""

    numbers: np.ndarray
    count: int


class _Program(NamedTuple):
    """What is compiled for a bucket, and the dense macs of a batch."""

    compiled: Any
    macs: int


class TranslationEvaluator:
    """Evaluates a network on a split: once `compile` has been called, by greedy translations."""

    def __init__(
        self, network: nn.Module, vocabulary: Vocabulary, split: Sentences, lengths: Sequence[int], batch_size: int,
        devices: Any,
    ):  # fmt: skip
        """`batch_size` is rounded up to a multiple of the devices.

        Args:
            network, vocabulary: of the task.
            split: what is evaluated on.
            lengths: of the buckets, rising; no sentence is longer than the last.
            batch_size: sentences that are evaluated together.
            devices: see `efficiency.training.mesh.DataParallel`.
        """
        self._network, self._vocabulary, self._split = network, vocabulary, split
        self._lengths, self._devices = tuple(lengths), devices
        self._size = -(-min(batch_size, len(split.source)) // devices.mesh.size) * devices.mesh.size
        self._scored = list(self._parts(bucket_of(split.source, split.target, self._lengths)))
        # By the source alone: of its reference a translation knows nothing, not even how long it is.
        self._written = list(self._parts(np.searchsorted(self._lengths, split.source.lengths)))
        self._programs: dict[tuple[str, int], _Program] = {}

    def _parts(self, bucket: np.ndarray) -> Iterator[tuple[int, _Part]]:
        """Batches of every sentence once: their bucket's length, and whose they are."""
        for number, length in enumerate(self._lengths):
            chosen = np.flatnonzero(bucket == number)
            chosen = chosen[np.argsort(self._split.source.lengths[chosen], kind='stable')]
            for first in range(0, len(chosen), self._size):
                part = chosen[first : first + self._size]
                yield length, _Part(np.resize(part, self._size), len(part))

    @functools.cached_property
    def _scored_bytes(self) -> int:
        """How long the references are; one that was cut as far as it is foretold."""
        target = self._split.target
        kept = self._vocabulary.decode([target.rows[number][:-1] for number in np.flatnonzero(target.cut)])
        whole = (line for line, cut in zip(self._split.pairs.target, target.cut, strict=True) if not cut)
        return sum(len(line.encode()) for line in (*kept, *whole))

    def compile(self, variables: Any) -> None:
        wanted = {('scores', length): self._scores for length, _ in self._scored}
        wanted |= {('greedy', length): self._greedy(length) for length, _ in self._written}
        self._compile(wanted, variables)

    def compile_beam(self, variables: Any, width: int, penalty: float) -> None:
        """Compiles what `beam` runs."""

        def write(length):
            return lambda variables, source, target: beam_search(
                self._network, variables, source, length + LONGER, width, penalty
            )

        self._compile({('beam', length): write(length) for length, _ in self._written}, variables)

    def _greedy(self, length: int) -> Callable:
        return lambda variables, source, target: greedy(self._network, variables, source, length + LONGER)

    def _compile(self, wanted: dict[tuple[str, int], Callable], variables: Any) -> None:
        traced = {}
        for (name, length), function in wanted.items():
            size = self._size
            shapes = {'source': ((size, length), np.int32), 'target': ((size, length + 1), np.int32)}
            with tracing():
                jitted = jax.jit(function, out_shardings=self._devices.replicated, keep_unused=True)
                traced[name, length] = jitted.trace(variables, **self._devices.shapes(shapes))
        with ThreadPoolExecutor(2) as pool:
            compiled = pool.map(lambda each: each.lower().compile(), traced.values())
            for key, each, executable in zip(traced, traced.values(), compiled, strict=True):
                self._programs[key] = _Program(executable, count_jaxpr(each.jaxpr).dense_macs)

    def _scores(self, variables: Any, source: jax.Array, target: jax.Array) -> jax.Array:
        """(n,) of each reference the negative log-likelihood of its tokens and its end, in nats."""
        logits = self._network.apply(variables, source, target[:, :-1], train=False)
        wanted = target[:, 1:]
        logs = jnp.take_along_axis(jax.nn.log_softmax(logits), wanted[:, :, None], axis=2)[:, :, 0]
        return -jnp.where(wanted != PADDING, logs, 0).sum(1)

    def __call__(self, variables: Any, stopped: Callable[[], bool] = lambda: False) -> Evaluated | None:
        scores = self._run('scores', self._scored, variables, stopped)
        if scores is None:
            return None
        written = self._run('greedy', self._written, variables, stopped)
        if written is None:
            return None
        (nats, scored_macs), (tokens, written_macs) = scores, written
        total = math.fsum(map(float, nats))
        text = self._text(tokens)
        return Evaluated(
            {
                'loss': total / int(self._split.target.lengths.sum()),
                'bits_per_byte': total / math.log(2) / self._scored_bytes,
                'bleu': bleu(text, self._split.pairs.target)[0],
                'chrf': chrf(text, self._split.pairs.target),
            },
            len(self._split.source),
            scored_macs + written_macs,
        )

    def beam(self, variables: Any) -> tuple[list[str], int]:
        """The translations that the beam search finds, and the dense macs that they took."""
        tokens, macs = self._run('beam', self._written, variables, lambda: False)
        return self._text(tokens), macs

    def _run(
        self, name: str, parts: Sequence[tuple[int, _Part]], variables: Any, stopped: Callable[[], bool]
    ) -> tuple[list[np.ndarray], int] | None:
        """What a kind of program gives of each sentence, in their order, and the macs of all; None once stopped."""
        found: list[Any] = [None] * len(self._split.source)
        macs = 0
        for length, part in parts:
            program = self._programs[name, length]
            mine = part.numbers[self._devices.host.part(self._size)]
            batch = {
                'source': self._split.source.padded(mine, length),
                'target': self._split.target.padded(mine, length, BEGIN)
                if name == 'scores'
                else np.full((len(mine), length + 1), PADDING, np.int32),
            }
            rows = np.asarray(program.compiled(variables, **self._devices.put_batch(batch)))
            for number, row in zip(part.numbers[: part.count], rows[: part.count], strict=True):
                found[number] = row
            macs += program.macs * part.count // self._size
            if stopped():
                return None
        return found, macs

    def _text(self, tokens: Sequence[np.ndarray]) -> list[str]:
        """The sentences that rows of tokens spell, up to their ends."""
        return self._vocabulary.decode([_before_the_end(row) for row in tokens])


def _before_the_end(row: np.ndarray) -> list[int]:
    tokens = row.tolist()
    return tokens[: tokens.index(END)] if END in tokens else [token for token in tokens if token != PADDING]


def bleu(translations: Sequence[str], references: Sequence[str]) -> tuple[float, str]:
    """BLEU from 0 to 100 of detokenised sentences, with a reference each, and sacreBLEU's signature of how.

    Papineni et al. 2002; Post 2018, "A Call for Clarity in Reporting BLEU Scores" (arXiv:1804.08771).
    """
    from sacrebleu.metrics import BLEU

    metric = BLEU()
    return metric.corpus_score(list(translations), [list(references)]).score, str(metric.get_signature())


def chrf(translations: Sequence[str], references: Sequence[str]) -> float:
    """chrF2 from 0 to 100 of the same (Popovic 2015), by sacreBLEU."""
    from sacrebleu.metrics import CHRF

    return CHRF().corpus_score(list(translations), [list(references)]).score
