"""Language as a task: documents, a network, and what one is trained and evaluated by on the other."""

import datetime
import functools
import hashlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict

from efficiency import console
from efficiency.data import vocabulary
from efficiency.data.batches import Host, TrainBatches, shapes_of_batch
from efficiency.data.tokens import UNKNOWN
from efficiency.errors import UserError
from efficiency.layers.initializers import drawn
from efficiency.layers.precision import dtype_of
from efficiency.stages import stages_of
from efficiency.tasks.evaluation import Evaluator
from efficiency.tasks.language import perplexity
from efficiency.tasks.language.data import documents, rows
from efficiency.tasks.language.data.documents import Documents
from efficiency.tasks.language.data.objectives import INPUTS, OBJECTIVES, Objective
from efficiency.tasks.language.data.tokenizers import Tokenizer, joined, size_of, tokenizer
from efficiency.tasks.language.evaluation import WindowsEvaluator
from efficiency.tasks.language.loss import of_text, token_loss
from efficiency.tasks.language.networks import create_model, model_entry
from efficiency.tasks.language.networks.parts import OPTIMIZERS, Z_LOSS
from efficiency.tasks.task import Form, Forward, Loss, Task


class Data(NamedTuple):
    """What a language is learned from.

    Attributes:
        version: of the data set.
        tokenizer: of the training documents.
        train, eval: documents.
        train_tokens, eval_tokens: of each document its tokens.
    """

    version: str
    tokenizer: Tokenizer
    train: Documents
    eval: Documents
    train_tokens: list[np.ndarray]
    eval_tokens: list[np.ndarray]


class Language(Task):
    """A network on documents."""

    def __init__(self, config: ConfigDict, data: Data | None = None):
        """`data` are None where only shapes are asked for, which the config says all of."""
        self.config, self._data = config, data
        self.network = network(config)
        self.published = max([model_entry(config.model.name).published_with(config.model.to_dict()), *_days(config)])
        self._objective = objective(config)
        if data is not None:
            self._train = rows.Packed(joined(data.train_tokens), self._objective)

    @property
    def epoch_examples(self) -> int:
        return len(self._train)

    @functools.cached_property
    def _windows(self) -> rows.Windows:
        if self._objective.draws:
            return rows.drawn_windows(self._data.eval_tokens, self._objective)
        stride = self.config.eval_stride or self.config.context
        return rows.next_windows(self._data.eval_tokens, self._objective, stride)

    @property
    def _text(self) -> range:
        """The tokens of a text; an end, or a sign that is the objective's own, needs no word guessed."""
        return range(UNKNOWN, self._data.tokenizer.size)

    @functools.cached_property
    def _words(self) -> int:
        """How many of a text are asked for, one at least."""
        return max(1, int(of_text(self._windows.split.arrays['wanted'], self._text).sum()))

    @functools.cached_property
    def description(self) -> dict[str, Any]:  # asked for at each save
        data = self._data
        whole = f'{data.train.digest} {data.eval.digest} {data.tokenizer.digest}'
        if self._objective.draws:
            # What is hidden is part of the question, and another share of it another question.
            arrays = self._windows.split.arrays
            whole += ' ' + hashlib.sha256(b''.join(arrays[name].tobytes() for name in sorted(arrays))).hexdigest()
        elif self._windows.least_context > 1:
            # Windows that overlap show more of what is before a token, which makes it likelier for nothing.
            whole += f' {self._windows.least_context} of {self.config.context}'
        found = {
            'name': self.config.dataset,
            'version': data.version,
            'fingerprint': hashlib.sha256(whole.encode()).hexdigest(),
            'num_train': len(self._train),
            'num_eval': len(data.eval.texts),
            'train_documents': len(data.train.texts),
            'train_bytes': data.train.bytes,
            'train_tokens': rows.lengths(data.train_tokens),
            'eval_bytes': data.eval.bytes,
            'eval_tokens': rows.lengths(data.eval_tokens),
            'eval_windows': len(self._windows.split),
            'vocabulary': data.tokenizer.size,
            'vocabulary_sha256': hashlib.sha256(data.tokenizer.model).hexdigest(),
        }
        return found if self._objective.draws else found | {'eval_least_context': self._windows.least_context}

    @property
    def files(self) -> Mapping[str, bytes]:
        model = self._data.tokenizer.model
        return {vocabulary.FILE_NAME: model} if model else {}

    @property
    def _example(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        shapes = self._objective.shapes
        return tuple(jax.ShapeDtypeStruct((1, *shapes[name][0]), shapes[name][1]) for name in INPUTS if name in shapes)

    def init(self, key: jax.Array) -> dict[str, Any]:
        return {'params': drawn(self.network, key, *self._example)[0]['params']}

    def outline(self) -> tuple[dict[str, Any], Any]:
        init = functools.partial(self.network.init, train=False)
        return {'params': jax.eval_shape(init, jax.random.key(0), *self._example)['params']}, None

    def batches(self, config: ConfigDict, host: Host) -> TrainBatches:
        return TrainBatches(self._train, config.batch_size, config.seed, self._objective.draws, host)

    def forms(self, config: ConfigDict) -> Sequence[Form]:
        batch = shapes_of_batch(self._objective.shapes, config.batch_size)
        forward = Forward(functools.partial(self.network.apply, train=False), self._example)
        return [Form(batch, forward, {'context': config.context})]

    def loss(self, config: ConfigDict) -> Loss:
        return functools.partial(token_loss, self.network, config.z_loss)

    def evaluator(self, devices: Any) -> Evaluator:
        documents_, size = len(self._data.eval.texts), self.config.eval_batch_size
        return WindowsEvaluator(self.network, self._windows, self._text, documents_, size, devices, self._metrics)

    def _metrics(self, nats: float, tokens: int, right: int) -> dict[str, float]:
        loss = nats / tokens
        found = {'loss': loss, 'perplexity': perplexity(loss)}
        if self._objective.draws:
            return found | {'accuracy': right / self._words}
        return found | {'bits_per_byte': nats / math.log(2) / self._data.eval.bytes}


def _days(config: ConfigDict) -> Iterator[datetime.date]:
    """When what a config asks for beside its network was published."""
    for _, stage in stages_of(config):
        if stage.z_loss:
            yield Z_LOSS.published
        for section in (stage.optimizer, *stage.optimizer.get('groups', ())):
            if found := OPTIMIZERS.get(section.get('name')):
                yield found.published


def objective(config: ConfigDict) -> Objective:
    """What the network of a config is asked."""
    entry = model_entry(config.model.name)
    return OBJECTIVES[entry.objective](config, size_of(config.vocabulary))


def network(config: ConfigDict) -> nn.Module:
    """The network of a config.

    Raises:
        UserError: if there is none of that name, or it cannot be made as its options say, or is of another task.
    """
    options = config.model.to_dict()
    name = options.pop('name')
    task = 'language' if model_entry(name).objective == 'next' else 'cloze'
    if config.task != task:
        raise UserError(f'config.task is {config.task!r}, and {name} is a network of the task {task!r}')
    return create_model(name, objective(config).size, config.context, dtype_of(config.precision), options)


def opened(config: ConfigDict, data_dir: str | os.PathLike | None) -> Language:
    """The task of a config with its documents; see `efficiency.tasks.open_task`."""
    names = [config.train_split, config.eval_split]
    if config.train_split == config.eval_split:
        raise UserError(
            f'config.train_split and config.eval_split are both {config.train_split!r}; what is evaluated on must be '
            'held out'
        )
    with console.hushed():
        corpus = documents.read(config.dataset, config.text, list(dict.fromkeys(names)), data_dir)
    train, evaluation = (corpus.splits[name] for name in names)
    pieces = tokenizer(config.vocabulary, train.texts)
    encoded = [pieces.encode(split.texts) for split in (train, evaluation)]
    return Language(config, Data(corpus.version, pieces, train, evaluation, *encoded))
