"""The contract between a domain and its training: what a task answers, and what most tasks share of the answers."""

import abc
import datetime
import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict

from efficiency.data.batches import ONLY_HOST, Arrays, Batch, Host, Shapes, Split, TrainBatches, shapes_of_batch
from efficiency.errors import UserError
from efficiency.tasks import task_entry
from efficiency.tasks.evaluation import Evaluator, ScoresEvaluator

__all__ = ['Arrays', 'DataTask', 'Form', 'Forward', 'Task']

# Any nesting of dicts that ends in arrays.
Tree = Any
# (params, extra, batch, key) -> (loss, extra): the loss is a float32 scalar, `key` a jax key of this step alone.
Loss = Callable[[Tree, dict[str, Tree], dict[str, jax.Array], jax.Array], tuple[jax.Array, dict[str, Tree]]]


class Forward(NamedTuple):
    """What the paper's convention counts: one forward pass, as in evaluation.

    Attributes:
        function: of the variables {'params': ..., **extra} and the inputs.
        inputs: their shapes, for one example.
    """

    function: Callable[..., Any]
    inputs: tuple[jax.ShapeDtypeStruct, ...]


class Part(NamedTuple):
    """One of the programs that a step is made of, where it is more than the gradient of the task's loss.

    Attributes:
        name: as 'self-play', 'update'; parts of a stage that have one name are one program, whatever forms they are of.
        calls: how often a step calls it, one call after the other.
        function: (params, carried, key) -> carried, or, if it trains, -> (loss, carried), of which the optimizer's step
            is made. `key` is of this call alone.
        trains: whether it does.
    """

    name: str
    calls: int
    function: Callable[[Tree, Tree, jax.Array], Any]
    trains: bool = False


class Form(NamedTuple):
    """A form that a stage's batches have; each is a program of its own, compiled and counted by itself.

    Attributes:
        batch: the shapes of all hosts' parts together.
        forward: what the paper's convention counts of an example of this form.
        settings: what the record says of its program beside the batch size, as {'image_size': 28}.
        share: of the stage's steps that are of this form, as far as it is known before them.
        padding_share: of its batches' positions, on the average those that hold nothing; None where nothing is padded
            or it is not known.
        parts: the programs that a step of this form calls, in their order, of a task whose step is its own: they make
            their own examples, and the batch, of which they are given nothing, only tells which form it is. Where there
            are none, a step is one program, of the task's loss and the optimizer.
    """

    batch: Shapes
    forward: Forward
    settings: Mapping[str, Any] = MappingProxyType({})
    share: float = 1.0
    padding_share: float | None = None
    parts: Sequence[Part] = ()


def plain(shapes: Shapes) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shapes and types as devices have them, by which batches are told from one another."""
    return {name: (tuple(shape), jax.dtypes.canonicalize_dtype(dtype)) for name, (shape, dtype) in shapes.items()}


def shapes_of(batch: Mapping[str, Any]) -> Shapes:
    """Of a batch of arrays."""
    return {name: (array.shape, array.dtype) for name, array in batch.items()}


class Batches(Protocol):
    """Training batches, which can begin anywhere; sent to worker processes unless they are in memory.

    Attributes:
        in_memory: whether a batch is made for nothing, so that no worker need make it ahead.
    """

    in_memory: bool

    def at(self, position: int) -> Batch:
        """The batch that follows the first `position` examples of the run: this host's part of it, numpy arrays."""
        ...


class Task(abc.ABC):
    """A domain with its data, as one config asks for them.

    A config of a stage is the task's own with what the stage changes; where a method takes one, it answers for that
    stage.

    Attributes:
        config: the task's config, with what it left to the data filled in. Evaluation is under this one always.
        epoch_examples: examples of one pass through the training data, or what counts as one where these have no end.
        unit: what an example is called where the data have no end, as 'moves': epochs and the paper's compute mean
            nothing there, and the record has none. None where they have one.
        updates: optimizer steps of a step, those of its parts; schedules go on with each.
        init_dense_macs: what `init` multiplies to take initial values from the training data, by the dense convention,
            which counts as training, once; 0 where it draws them.
        description: what the run record says of the data: 'name', 'version', 'fingerprint' (a text that other data
            would not have), and whatever sizes there are.
        network: the module whose layers `efficiency.count --by_layer` lists and `load_run` returns; None for none.
        published: the day on which the network was, for trends; None where it has no date.
    """

    config: ConfigDict
    epoch_examples: int
    unit: str | None = None
    updates: int = 1
    init_dense_macs: int = 0
    network: nn.Module | None = None
    published: datetime.date | None = None

    @property
    @abc.abstractmethod
    def description(self) -> dict[str, Any]: ...

    @abc.abstractmethod
    def init(self, key: jax.Array) -> dict[str, Tree]:
        """The variables before the first step: {'params': what is trained, and other collections by name}.

        What is beside `params` is carried along: batch statistics, or whatever a step leaves for the next.

        Args:
            key: a jax key.
        """

    def carried(self, variables: dict[str, Tree], key: jax.Array) -> Tree:
        """What steps hand on beside the variables, as environments and a replay: the parts of `Form.parts` change it.

        It is in checkpoints and in no average, and no evaluation sees it. Over the devices of one host an array is
        split by its first axis where that divides, and is otherwise whole on each.

        Args:
            variables: before the first step.
            key: a jax key.
        """
        return ()

    def outline(self) -> tuple[dict[str, Tree], Any]:
        """What `init` makes as shapes, and the jaxpr of the forward pass under the task's own config where it is known.

        For counting, which makes no variables.
        """
        return jax.eval_shape(self.init, jax.random.key(0)), None

    @abc.abstractmethod
    def batches(self, config: ConfigDict, host: Host) -> Batches:
        """The training batches under a stage's config, a function of its seed and the position alone."""

    @abc.abstractmethod
    def forms(self, config: ConfigDict) -> Sequence[Form]:
        """What forms a stage's training batches have: one, but where their lengths differ, as those of sentences."""

    def loss(self, config: ConfigDict) -> Loss:
        """What a stage trains on, where its forms have no parts: the train step is made of this and the optimizer."""
        raise UserError(f'the task {self.config.task} has neither a loss nor parts of a step')

    @abc.abstractmethod
    def evaluator(self, devices: Any) -> Evaluator:
        """What evaluates every example of the evaluation split once.

        Args:
            devices: see `efficiency.training.mesh.DataParallel`.
        """

    @property
    def files(self) -> Mapping[str, bytes]:
        """What a run keeps in its folder, by file name, because its weights say nothing without it."""
        return {}

    def at_end(self, variables: Any, devices: Any, carried: Tree) -> dict[str, Any] | None:
        """What the record says, as `test`, of a run that is finished, beyond its curve; asked once, as of a test split.

        Args:
            variables: as evaluations get them, on the devices.
            devices: see `efficiency.training.mesh.DataParallel`.
            carried: what the last step handed on.

        Returns:
            What JSON can hold, 'dense_macs' among it: what this took. None for nothing.
        """
        return None

    def weights(self) -> dict[str, Tree]:
        """The variables of the file that `config.init_from` names, as of `init`.

        Raises:
            UserError: if it holds none of the network.
        """
        raise UserError(f'config.init_from is {self.config.init_from!r}, and {self.config.task} begins with no weights')

    def check_stage(self, config: ConfigDict) -> None:  # noqa: B027  (most tasks have nothing to check)
        """Checks that a stage trains the variables of `init`.

        Raises:
            UserError: if its network is another.
        """

    def check_target(self) -> None:  # noqa: B027
        """Checks that the config's target says something on these data.

        Raises:
            UserError: if not, as where any guess meets it.
        """

    def is_of(self, description: Mapping[str, Any]) -> bool:
        """Whether these are the data of which a run kept the description."""
        return description['fingerprint'] == self.description['fingerprint']

    def check_readable(self) -> None:  # noqa: B027
        """Before hosts compare their data: checks what each can tell of its own.

        Raises:
            DataError: if an example is damaged.
        """

    def note_damage(self) -> None:  # noqa: B027
        """Has the description say what of the data is damaged by now, and may be mended until the run goes on."""


class DataTask(Task):
    """A task whose data are two splits of examples, and whose evaluation is a mean over those of one.

    Attributes:
        train, eval: the splits; `Arrays` for data in memory.
        version: of the data, for the record.
    """

    train: Split
    eval: Split
    version: str = '1'

    @abc.abstractmethod
    def scores(self, variables: dict[str, Tree], batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """What each example of a batch gets, as in evaluation: 'loss' and the task's metrics, each (n,).

        Whole numbers and truths are summed exactly; the mean over the split is the metric.
        """

    @abc.abstractmethod
    def forward(self, config: ConfigDict) -> Forward:
        """What the paper's convention counts of a stage."""

    @property
    def epoch_examples(self) -> int:
        return len(self.train)

    @property
    def description(self) -> dict[str, Any]:
        return {
            'name': self.config.dataset,
            'version': self.version,
            'fingerprint': self._fingerprint,
            'num_train': len(self.train),
            'num_eval': len(self.eval),
        }

    @functools.cached_property
    def _fingerprint(self) -> str:  # asked for at each save
        return fingerprint(self.train, self.eval)

    def batches(self, config: ConfigDict, host: Host = ONLY_HOST) -> Batches:
        return TrainBatches(self.train, config.batch_size, config.seed, host=host)

    def forms(self, config: ConfigDict) -> Sequence[Form]:
        return [Form(shapes_of_batch(self.train.shapes, config.batch_size), self.forward(config))]

    def evaluator(self, devices: Any) -> Evaluator:
        size = self.config.get('eval_batch_size') or self.config.batch_size
        names = task_entry(self.config.task).metrics
        return ScoresEvaluator(self.scores, names, self.eval, size, devices)


def fingerprint(*splits: Arrays) -> str:
    """sha256 of all arrays of some splits, with their names and shapes."""
    digest = hashlib.sha256()
    for split in splits:
        if not isinstance(split, Arrays):
            raise UserError(
                f'a split is {type(split).__name__}, which is no Arrays; its task needs a description of its own'
            )
        for name, array in sorted(split.arrays.items()):
            digest.update(f'{name} {array.dtype} {array.shape}'.encode())
            digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()
