"""Training to a target: the story of a run, from its config to its record."""

import collections
import contextlib
import functools
import logging
import math
import os
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from clu import parameter_overview
from ml_collections import ConfigDict

from efficiency import console, records
from efficiency.data.augment import ON_HOST
from efficiency.data.batches import TrainBatches
from efficiency.data.datasets import Dataset
from efficiency.data.pipeline import TrainStream, default_workers
from efficiency.errors import DataError, RunError, Stopped, UserError
from efficiency.models.torch_weights import load_torch_weights
from efficiency.training import code, hosts
from efficiency.training.checkpoint import Checkpoints, digest, from_bytes, to_bytes
from efficiency.training.clock import Clock
from efficiency.training.evaluation import Evaluator
from efficiency.training.memory import give_back_free_memory
from efficiency.training.mesh import DataParallel
from efficiency.training.peak import matmul_peak
from efficiency.training.programs import compile_train_step, trace_forward, trace_train_step
from efficiency.training.recipe import network, network_and_options, opened, train_step_of
from efficiency.training.run import Run, check_identity, steps_of
from efficiency.training.step import TrainState, init_state
from efficiency.training.workdir import NO_ROOM, cache_dir, existing_record, locked, log_file
from efficiency.training.writer import RunWriter

_log = logging.getLogger('efficiency')

# Steps that may be under way on the device while the host prepares the next.
_STEPS_AHEAD = 2


def train(
    config: ConfigDict,
    workdir: str | os.PathLike,
    data_dir: str | os.PathLike | None = None,
    data_workers: int | None = None,
    changed_code: bool = False,
) -> records.Record | None:
    """Trains a network until it meets its target, or for all of its epochs; goes on where an earlier call stopped.

    Leaves in the workdir `run.json` (`efficiency.records`), `metrics.jsonl`, `run.log` and the newest checkpoints.
    A data set that is decoded as it is needed starts worker processes: a script that calls this must do so under
    `if __name__ == '__main__':`.

    Args:
        config: see `configs/common.py`.
        workdir: the run's folder; made if it is not there. Of several hosts only host 0 uses it.
        data_dir: where TensorFlow Datasets keeps its data, or an ImageFolder tree.
        data_workers: processes that decode, 0 for threads of this one; by default one a core, up to 16. The result
            does not depend on it.
        changed_code: whether the run goes on, or counts as finished, also if its code or weights are others by now.

    Returns:
        The run record; of a run that had finished before, the one it left, which hosts other than host 0 do not have:
        None there.

    Raises:
        UserError: for a mistake in the config or the workdir; nothing has been made then.
        RunError: if a loss was not finite, an example cannot be read, or there is no room to write; the record says
            'failed' where that can be written. `hosts.HostLost`, if another host ended.
        Stopped: on SIGTERM or SIGINT, after saving.
    """
    workdir = pathlib.Path(workdir)
    clock = Clock()
    use_compilation_cache()
    config, dataset, total_steps = opened(config, data_dir)
    devices = DataParallel(config.batch_size)
    model, optimizer, train_step = train_step_of(config, dataset, total_steps)
    batches = TrainBatches(dataset.train, config.batch_size, config.seed, config.augmentation in ON_HOST, devices.host)
    state = init_state(model, optimizer, config.seed, config.image_size)
    initial = code.initial_digest(state)
    if config.init_from:
        state = state.replace(**_weights(config, dataset))
    _agree(dataset, 'the initial state', state)
    state = devices.put_state(state)

    with _room_to_write(workdir), _folder(workdir, config, dataset) as earlier:
        finished = bool(earlier and records.is_finished(earlier))
        if finished and not changed_code:
            code.check_finished(earlier, config, str(workdir), lambda: code.begin_on(config, dataset, total_steps))
        if hosts.tell(lambda: finished):
            return earlier
        _log.info('config:\n%s', config)
        _log.info('parameters:\n%s', parameter_overview.get_parameter_overview(state.params))
        checkpoints = Checkpoints(workdir) if hosts.leads() else None
        with clock.phase('compile'):
            batch = devices.batch_shapes(config.batch_size, dataset.train.image_shape)
            traced = trace_train_step(train_step, state, batch, config.precision)
            forward = trace_forward(model, state, config.image_size, config.precision)
        of_code = code.code_of(traced, forward, initial, config.init_from, type(model))
        hosts.agree(of_code.step._asdict)

        with clock.phase('checkpoint'):
            accept = functools.partial(_accept, config, dataset, None if changed_code else of_code.step, workdir)
            restored = _restored(checkpoints, state, accept)
        if data_workers is None:
            data_workers = max(1, default_workers() // hosts.sharing_these_cores())
        # Before workers decode, which would take their share of a CPU; on all hosts at once, which may share one.
        hosts.meet()
        peak = matmul_peak(config.precision)
        first = steps_of(restored[1]) if restored else 0
        with contextlib.closing(TrainStream(batches, first, total_steps, data_workers)) as stream:
            with clock.phase('compile'):
                step, cost = compile_train_step(traced, forward, cache_dir() / 'checked')
                evaluate = Evaluator(model, dataset, config.eval_batch_size, devices, config.precision)
                evaluate.compile(state)
            give_back_free_memory()
            _log.info('compiled in %.1f s', clock.seconds['compile'])
            run = Run(config, dataset, cost, of_code, clock, peak)
            if restored:
                run.resume(restored[1], earlier)
                state = devices.put_state(restored[0])
            # Their first exchange waits for half a minute only, and one may compile for longer than another.
            hosts.meet()
            writer = RunWriter(run, workdir, checkpoints, total_steps)
            return _Trainer(run, writer, step, evaluate, stream, devices, total_steps).run_to_end(state)


@contextlib.contextmanager
def _folder(workdir: pathlib.Path, config: ConfigDict, dataset: Dataset) -> Iterator[records.Record | None]:
    """Holds the run's folder, and gives the record that is there; on hosts other than host 0 nothing."""
    if not hosts.leads():
        yield None
        return
    with locked(workdir), log_file(workdir):
        # Asked again now that nobody else can write here.
        earlier = existing_record(workdir, config)
        kept = earlier and earlier['dataset']
        if kept and not dataset.is_of(kept['fingerprint'], kept.get('sample')):
            raise UserError(f'{workdir} holds a run on other images of {config.dataset}; take another --workdir')
        yield earlier


def _accept(config, dataset, step: code.Step | None, workdir, progress: dict[str, Any]) -> None:
    """Checks that a checkpoint is of this run, and unless `step` is None of this code."""
    check_identity(progress, config, dataset)
    if step:
        code.check_goes_on(progress, config, step, str(workdir))


def _restored(checkpoints, state, accept) -> tuple[TrainState, dict[str, Any]] | None:
    """The newest whole checkpoint and its progress, as host 0 has it, on every host."""
    content = None
    if hosts.leads():
        restored = checkpoints.restore(state, accept, set_aside=True)
        if hosts.count() == 1:
            return restored
        content = restored and to_bytes(*restored)
    if hosts.tell(lambda: content is not None):
        return from_bytes(hosts.hand_out(content), state)
    return None


def evaluate(config: ConfigDict, data_dir: str | os.PathLike | None = None) -> dict[str, float]:
    """Evaluates the weights of `config.init_from` on the evaluation split; nothing is trained or kept.

    Returns:
        {'loss', 'top1', 'top5', 'examples'}.

    Raises:
        UserError: for a mistake in the config, or a file that holds no weights of the network.
        RunError: if the loss is not finite, as of negative variances.
    """
    use_compilation_cache()
    config, dataset, _ = opened(config, data_dir)
    if not config.init_from:
        raise UserError('what is to be evaluated? Pass a safetensors file of weights as --config.init_from')
    devices = DataParallel(config.batch_size)
    model = network(config, dataset.num_classes)
    weights = _weights(config, dataset)
    _agree(dataset, 'the weights', weights)
    state = devices.put_state(TrainState(step=np.int32(0), key=np.zeros(2, np.uint32), opt_state=(), **weights))
    evaluator = Evaluator(model, dataset, config.eval_batch_size, devices, config.precision)
    evaluator.compile(state)
    hosts.meet()
    with console.hushed():  # of images that do not decode
        metrics = evaluator(state)
    if not math.isfinite(metrics['loss']):
        raise RunError(f'the evaluation loss is {metrics["loss"]}: {config.init_from} holds weights that cannot be')
    return metrics | {'examples': len(dataset.eval)}


def _agree(dataset: Dataset, name: str, arrays: Any) -> None:
    """Checks that every host has the same images and arrays."""
    if hosts.count() > 1 and dataset.sample:
        with console.hushed():
            dataset.sample.check()  # or it would be said that hosts differ, where an image is damaged on one
    hosts.agree(lambda: {'the images': dataset.fingerprint, name: digest(arrays)})


def _weights(config: ConfigDict, dataset: Dataset) -> dict[str, Any]:
    name, options = network_and_options(config)
    variables = load_torch_weights(name, config.init_from, dataset.num_classes, config.image_size, options)
    return {'params': variables['params'], 'batch_stats': variables.get('batch_stats', {})}


@contextlib.contextmanager
def _room_to_write(workdir: pathlib.Path) -> Iterator[None]:
    """Says in one sentence that the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise RunError(
            f'cannot write {error.filename or workdir}: {error.strerror}; what was written before is whole: mend that, '
            'and the same command goes on'
        ) from error


class _Trainer:
    """The loop over steps, with what it needs at hand."""

    def __init__(self, run, writer, step, evaluate, stream, devices, total_steps):
        self.run, self.writer = run, writer
        self.step, self.evaluate, self.stream, self.devices = step, evaluate, stream, devices
        self.total_steps = total_steps
        self.clock = run.clock
        # (number, loss) of the steps that may still be under way.
        self.under_way: collections.deque[tuple[int, jax.Array]] = collections.deque()
        self.failing = threading.Lock()

    def run_to_end(self, state: TrainState) -> records.Record:
        # At a tenth of the rate of a large product.
        step_seconds = 10 * self.run.cost.step.dense_macs / self.run.matmul_peak
        with hosts.training(lambda: self.clock.phase_now, step_seconds, self._before_end) as self.signals:
            try:
                with hosts.losses_explained():
                    return self._run_to_end(state)
            except hosts.HostLost as lost:
                self._note(lost)
                raise
            finally:
                self.writer.close()

    def _run_to_end(self, state: TrainState) -> records.Record:
        self.writer.open()
        state, stop_signal = self._train(state)
        if not self._finished():
            self.run.dataset.note_damage()  # that the run did not meet yet, and may be mended until it goes on
        self._save(state, at_end=True)
        # A record that says the run is finished must have the parameters that finished it beside it.
        self.writer.wait()
        if not self._finished():
            raise Stopped(f'stopped at step {self.run.steps} of {self.total_steps} and saved', stop_signal)
        return self.writer.record('reached' if self.run.reached_target else 'exhausted')

    def _before_end(self, end: dict[str, Any]) -> None:
        """Another host ended the run, and the thread that trains may hang waiting for it."""
        self._note(hosts.HostLost(end))
        self.writer.until_written()

    def _note(self, lost: hosts.HostLost) -> None:
        """Keeps the failure of another host: what is under way here will never be finished."""
        if lost.failed and self.failing.acquire(blocking=False):  # once, by whichever thread comes first
            self.run.forget_steps(len(self.under_way))
            self.run.dataset.note_damage()  # which may be what ended the other
            self.writer.record('failed', str(lost))

    def _train(self, state: TrainState) -> tuple[TrainState, int | None]:
        """Steps and evaluations until the run is finished, or asked to stop by a signal, which is returned."""
        while True:
            # Also of a step that was saved, but stopped before it was evaluated.
            with self._damage_kept(state):
                if self._evaluation_due():
                    self._evaluate(state)
                stop_signal = self.signals.asked_to_stop()
                if self._finished() or stop_signal:
                    return state, stop_signal
                batch = self._next_batch()
            if self.writer.save_due():
                self._save(state)
            state = self._take_step(state, batch)

    def _finished(self) -> bool:
        reached = self.run.config.stop_at_target and self.run.reached_target
        return reached or (self.run.steps >= self.total_steps and not self._evaluation_due())

    @contextlib.contextmanager
    def _damage_kept(self, state: TrainState) -> Iterator[None]:
        """What was trained before an example that cannot be read is right, and stays."""
        try:
            yield
        except DataError as error:
            self.run.dataset.note_damage()
            self._save(state)
            self.writer.record('failed', str(error))
            raise

    def _next_batch(self) -> dict[str, jax.Array]:
        with self.clock.phase('data_wait'):
            return self.devices.put_batch(next(self.stream))

    def _take_step(self, state: TrainState, batch: dict[str, jax.Array]) -> TrainState:
        with self.clock.phase('train'):
            state, loss = self.step(state, batch)
            self.run.add_step()
            self.under_way.append((self.run.steps, loss))
            self.signals.expect_step()
            finished = self._finish_oldest() if len(self.under_way) > _STEPS_AHEAD else None
        self.writer.step(finished)
        return state

    def _finish_oldest(self) -> float:
        number, loss = self.under_way[0]
        value = float(loss)
        self.under_way.popleft()
        self.signals.finished_step()
        self._check_finite(number, value, 'loss')
        return value

    def _settle(self) -> None:
        """Waits for the steps under way."""
        with self.clock.phase('train'):
            while self.under_way:
                self._finish_oldest()

    def _check_finite(self, step: int, loss: float, name: str) -> None:
        if not math.isfinite(loss):
            failure = f'the {name} is {loss} at step {step}; a lower learning_rate may train'
            self.writer.record('failed', failure)
            raise RunError(failure)

    def _evaluation_due(self) -> bool:
        run, every = self.run, self.run.config.eval_every * len(self.run.dataset.train)
        if run.steps == 0 or (run.curve and run.curve[-1]['step'] == run.steps):
            return False
        now, before = (math.floor((run.steps - back) * run.config.batch_size / every + 1e-9) for back in (0, 1))
        return now > before or run.steps == self.total_steps

    def _evaluate(self, state: TrainState) -> None:
        self._settle()
        with self.clock.phase('evaluation'):
            metrics = self.evaluate(state, stopped=lambda: self.signals.asked_to_stop() is not None)
        self.signals.expect_step()
        if metrics is None:
            return
        for name, value in metrics.items():
            self._check_finite(self.run.steps, value, f'evaluation {name}')
        self.writer.evaluation(self.run.add_evaluation(metrics))
        self._save(state)

    def _save(self, state: TrainState, at_end: bool = False) -> None:
        self._settle()
        self.writer.save(state, at_end)
        self.signals.expect_step()


def use_compilation_cache() -> None:
    """Keeps compiled programs in the user's cache folder, if there can be one, unless jax is told of another place."""
    if jax.config.jax_compilation_cache_dir is None:
        folder = cache_dir() / 'xla'
        with contextlib.suppress(OSError):  # as in a home that is another user's
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.R_OK | os.W_OK | os.X_OK):
                jax.config.update('jax_compilation_cache_dir', str(folder))
                jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
