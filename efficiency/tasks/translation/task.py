"""Translation as a task: pairs of sentences, a network, and what one is trained and evaluated by on the other."""

import functools
import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict

from efficiency import console
from efficiency.data import vocabulary
from efficiency.data.batches import Host
from efficiency.data.vocabulary import Vocabulary
from efficiency.layers.initializers import drawn
from efficiency.layers.precision import dtype_of
from efficiency.tasks.evaluation import Evaluator
from efficiency.tasks.task import Form, Forward, Loss, Task
from efficiency.tasks.translation.data import text
from efficiency.tasks.translation.data.buckets import BucketBatches, Tokens, bucket_of
from efficiency.tasks.translation.evaluation import Sentences, TranslationEvaluator, bleu, chrf
from efficiency.tasks.translation.loss import smoothed_loss
from efficiency.tasks.translation.networks import create_model, model_entry

# A sentence, of which variables are drawn: they are the same of any.
_SHORTEST = jax.ShapeDtypeStruct((1, 2), jnp.int32)


class Data(NamedTuple):
    """What a translation is learned from.

    Attributes:
        version: of the data set.
        vocabulary: of both languages, of the training sentences.
        train, eval, test: pairs, as text and as tokens.
    """

    version: str
    vocabulary: Vocabulary
    train: Sentences
    eval: Sentences
    test: Sentences


class Translation(Task):
    """A network on pairs of sentences."""

    def __init__(self, config: ConfigDict, data: Data | None = None):
        """`data` are None where only shapes are asked for, which the config says all of."""
        self.config, self._data = config, data
        self.network = network(config)
        self.published = model_entry(config.model.name).published

    @property
    def epoch_examples(self) -> int:
        return len(self._data.train.source)

    @functools.cached_property
    def description(self) -> dict[str, Any]:  # asked for at each save
        data, splits = self._data, self._data[2:]
        all_pairs = hashlib.sha256(' '.join(split.pairs.digest for split in splits).encode()).hexdigest()
        return {
            'name': self.config.dataset,
            'version': data.version,
            'fingerprint': hashlib.sha256(f'{all_pairs} {data.vocabulary.digest}'.encode()).hexdigest(),
            'num_train': len(data.train.source),
            'num_eval': len(data.eval.source),
            'num_test': len(data.test.source),
            'vocabulary': data.vocabulary.size,
            'vocabulary_sha256': data.vocabulary.digest,
            'cut_sentences': {name: split.cut for name, split in zip(('train', 'eval', 'test'), splits, strict=True)},
        }

    @property
    def files(self) -> Mapping[str, bytes]:
        return {vocabulary.FILE_NAME: self._data.vocabulary.model}

    def init(self, key: jax.Array) -> dict[str, Any]:
        return drawn(self.network, key, _SHORTEST, _SHORTEST)[0]

    def outline(self) -> tuple[dict[str, Any], Any]:
        init = functools.partial(self.network.init, train=False)
        return jax.eval_shape(init, jax.random.key(0), _SHORTEST, _SHORTEST), None

    def batches(self, config: ConfigDict, host: Host) -> BucketBatches:
        train = self._data.train
        return BucketBatches(train.source, train.target, config.buckets, config.batch_size, config.seed, host)

    def forms(self, config: ConfigDict) -> Sequence[Form]:
        forms = []
        for length, share, padding in zip(config.buckets, *self._shares(config), strict=True):
            batch = {
                'source': ((config.batch_size, length), np.int32),
                'target': ((config.batch_size, length + 1), np.int32),
            }
            pair = tuple(jax.ShapeDtypeStruct((1, length), jnp.int32) for _ in range(2))
            forward = Forward(functools.partial(self.network.apply, train=False), pair)
            forms.append(Form(batch, forward, {'length': length}, share, padding_share=padding))
        return forms

    def _shares(self, config: ConfigDict) -> tuple[list[float], list[float | None]]:
        """Of each bucket its share of the pairs, and the padding's of its tokens; not known without data."""
        if self._data is None:
            return [1 / len(config.buckets)] * len(config.buckets), [None] * len(config.buckets)
        train = self._data.train
        bucket = bucket_of(train.source, train.target, config.buckets)
        tokens = train.source.lengths + train.target.lengths
        shares, paddings = [], []
        for number, length in enumerate(config.buckets):
            held = tokens[bucket == number]
            shares.append(len(held) / len(tokens))
            paddings.append(1 - float(held.mean()) / (2 * length) if len(held) else 0.0)
        return shares, paddings

    def loss(self, config: ConfigDict) -> Loss:
        return functools.partial(smoothed_loss, self.network, config.label_smoothing)

    def evaluator(self, devices: Any) -> Evaluator:
        return self._evaluator(self._data.eval, devices)

    def _evaluator(self, split: Sentences, devices: Any) -> TranslationEvaluator:
        lengths = sorted({*self.config.buckets, self.config.eval_length})
        return TranslationEvaluator(
            self.network, self._data.vocabulary, split, lengths, self.config.eval_batch_size, devices
        )

    def at_end(self, variables: Any, devices: Any, carried: Any) -> dict[str, Any]:
        """The test split, once: by greedy translations and by a beam search."""
        evaluator, references = self._evaluator(self._data.test, devices), self._data.test.pairs.target
        console.say(
            f'translating {self.config.test_split}, {len(references):,} sentences, once: this is compiled first'
        )
        evaluator.compile(variables)
        evaluator.compile_beam(variables, self.config.beam, self.config.length_penalty)
        found = evaluator(variables)
        translations, macs = evaluator.beam(variables)
        by_beam, signature = bleu(translations, references)
        return {
            'split': self.config.test_split,
            'examples': found.examples,
            **found.metrics,
            f'bleu_beam_{self.config.beam}': by_beam,
            f'chrf_beam_{self.config.beam}': chrf(translations, references),
            'signature': signature,
            'dense_macs': found.dense_macs + macs,
        }


def network(config: ConfigDict) -> nn.Module:
    """The network of a config."""
    options = config.model.to_dict()
    name, size = options.pop('name'), config.vocabulary
    return create_model(name, size, size, dtype_of(config.precision), options)


def opened(config: ConfigDict, data_dir: str | os.PathLike | None) -> Translation:
    """The task of a config with its sentences; see `efficiency.tasks.open_task`."""
    names = [config.train_split, config.eval_split, config.test_split]
    with console.hushed():
        corpus = text.read(config.dataset, list(dict.fromkeys(names)), data_dir)
    train, evaluation, test = (corpus.splits[name] for name in names)
    pieces = vocabulary.learn([*train.source, *train.target], config.vocabulary)

    def sentences(pairs: text.Pairs, longest: int) -> Sentences:
        return Sentences(pairs, *(Tokens(pieces.encode(lines), longest) for lines in pairs))

    data = Data(
        corpus.version, pieces, sentences(train, config.buckets[-1]), sentences(evaluation, config.eval_length),
        sentences(test, config.eval_length),
    )  # fmt: skip
    for name, split in zip(names, data[2:], strict=True):
        if split.cut:
            console.say(f'{split.cut} sentences of {name} are longer than their longest bucket and are cut')
    return Translation(config, data)
