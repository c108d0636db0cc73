"""Training to a target: the story of a run, from its config to its record."""

import collections
import logging
import math
import os
import pathlib
import signal
from typing import Any

import jax
import jax.numpy as jnp
from clu import parameter_overview
from flax import linen as nn
from ml_collections import ConfigDict

from efficiency import records
from efficiency.data import sources
from efficiency.data.augment import augmentation
from efficiency.data.batches import TrainBatches
from efficiency.errors import RunError
from efficiency.models import create_model, model_entry
from efficiency.training.checkpoint import Checkpoints
from efficiency.training.clock import Clock
from efficiency.training.evaluation import Evaluator
from efficiency.training.mesh import DataParallel
from efficiency.training.metrics import MetricsLog, check_tensorboard
from efficiency.training.optimizer import make_optimizer, make_schedule
from efficiency.training.programs import compile_train_step
from efficiency.training.progress import Progress
from efficiency.training.run import Run
from efficiency.training.settings import check_config
from efficiency.training.step import TrainState, init_state, make_train_step
from efficiency.training.workdir import cache_dir, existing_record, locked, log_file

_log = logging.getLogger('efficiency')

# Steps that may be under way on the device while the host prepares the next.
_STEPS_AHEAD = 2


class Stopped(Exception):
    """The run was asked to stop by a signal; it has saved its state, and the same command goes on.

    Attributes:
        signal: the signal's number.
    """

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.signal = signal_number


def train(config: ConfigDict, workdir: str | os.PathLike, data_dir: str | None = None) -> records.Record:
    """Trains a network until it meets its target, or for all of its epochs; goes on where an earlier call stopped.

    Leaves in the workdir `run.json` (`efficiency.records`), `metrics.jsonl`, `run.log` and the newest checkpoints.

    Args:
        config: see `configs/common.py`.
        workdir: the run's folder; made if it is not there.
        data_dir: where TensorFlow Datasets keeps its data.

    Returns:
        The run record; of a run that had finished before, the one it left.

    Raises:
        UserError: for a mistake in the config or the workdir; nothing has been made then.
        RunError: if a loss was not finite; the record says 'failed'.
        Stopped: on SIGTERM or SIGINT, after saving.
    """
    workdir = pathlib.Path(workdir)
    clock = Clock()
    use_compilation_cache()
    check_config(config)
    model_entry(config.model.name)
    if config.tensorboard:
        check_tensorboard()
    if config.precision == 'float32' and jax.default_backend() != 'cpu':
        # An accelerator's default is to multiply float32 in fewer bits.
        jax.config.update('jax_default_matmul_precision', 'highest')
    devices = DataParallel(config.batch_size)
    optimizer_of(config, 1, 1)  # its names are checked before a large data set is read
    splits = (config.train_split, config.eval_split)
    dataset = sources.load(config.dataset, splits, config.image_size, data_dir)
    augment = augmentation(config.augmentation)
    model = network(config, dataset.num_classes)
    # Rounded, as 16.12 epochs of 4,000 are 2,015 steps of 32 and not a hair more.
    total_steps = math.ceil(round(config.num_epochs * len(dataset.train) / config.batch_size, 6))
    optimizer = optimizer_of(config, total_steps, len(dataset.train))
    train_step = make_train_step(model, optimizer, augment, dataset.mean, dataset.std)
    batches = TrainBatches(dataset.train, config.batch_size, config.seed)
    state = devices.put_state(init_state(model, optimizer, config.seed, config.image_size))

    with locked(workdir), log_file(workdir):
        # Asked again now that nobody else can write here.
        earlier = existing_record(workdir, config)
        if earlier and records.is_finished(earlier):
            return earlier
        _log.info('config:\n%s', config)
        _log.info('parameters:\n%s', parameter_overview.get_parameter_overview(state.params))
        evaluate = Evaluator(model, dataset, config.eval_batch_size, devices)
        with clock.phase('compile'):
            step, cost = compile_train_step(
                train_step, state, devices.put_batch(batches.at(0)), model, config.image_size, cache_dir() / 'checked'
            )
            evaluate.compile(state)
        _log.info('compiled in %.1f s', clock.seconds['compile'])
        run = Run(config, dataset, cost, clock)
        checkpoints = Checkpoints(workdir)
        if checkpoints.latest_step is not None:
            with clock.phase('checkpoint'):
                state, progress = checkpoints.restore(state)
                run.resume(progress)
                state = devices.put_state(state)
            # A process that was killed before its first checkpoint has left its restart in the record alone.
            if earlier and len(earlier['resumed_from_steps']) >= len(run.resumed_from):
                run.resumed_from = [*earlier['resumed_from_steps'], run.steps]
            _log.info('going on from step %d', run.steps)
        trainer = _Trainer(run, workdir, checkpoints, step, evaluate, batches, devices, total_steps)
        return trainer.run_to_end(state)


class _Trainer:
    """The loop over steps, with what it needs at hand."""

    def __init__(self, run, workdir, checkpoints, step, evaluate, batches, devices, total_steps):
        self.run, self.workdir, self.checkpoints = run, workdir, checkpoints
        self.step, self.evaluate, self.batches, self.devices = step, evaluate, batches, devices
        self.total_steps = total_steps
        self.clock = run.clock
        self.stop_signal: int | None = None
        # (number, loss) of the steps that may still be under way.
        self.under_way: collections.deque[tuple[int, jax.Array]] = collections.deque()

    def run_to_end(self, state: TrainState) -> records.Record:
        run = self.run
        progress = Progress(run.steps, self.total_steps, len(run.dataset.train) / run.config.batch_size)
        log = MetricsLog(self.workdir, run.steps, tensorboard=run.config.tensorboard)
        previous = {number: signal.signal(number, self._request_stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            self._write_record('running')
            progress.line(f'training: {run.steps} of {self.total_steps} steps are done')
            while not self._finished():
                state, loss = self._take_step(state)
                progress.step(run.steps, loss)
                if self._evaluation_due():
                    self._settle()
                    with self.clock.phase('evaluation'):
                        metrics = self.evaluate(state)
                    self._check_finite(run.steps, metrics['loss'], 'evaluation loss')
                    point = run.add_evaluation(metrics)
                    log.write(point)
                    progress.evaluation(point, run.target)
                    self._write_record('running')
                    self._save(state)
                elif self.stop_signal:
                    self._settle()
                    self._write_record('running')
                    self._save(state)
                if self.stop_signal and not self._finished():
                    self._wait_for_checkpoint()
                    raise Stopped(f'stopped at step {run.steps} of {self.total_steps} and saved', self.stop_signal)
            # A record that says the run is finished must have the parameters that finished it beside it.
            self._wait_for_checkpoint()
            return self._write_record('reached' if run.reached_target else 'exhausted')
        finally:
            progress.close()
            log.close()
            self.checkpoints.close()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _request_stop(self, signum, frame):
        self.stop_signal = signum

    def _finished(self) -> bool:
        reached = self.run.config.stop_at_target and self.run.reached_target
        return reached or self.run.steps >= self.total_steps

    def _take_step(self, state: TrainState) -> tuple[TrainState, float | None]:
        with self.clock.phase('data_wait'):
            batch = self.devices.put_batch(self.batches.at(self.run.steps))
        with self.clock.phase('train'):
            state, loss = self.step(state, batch)
            self.run.add_step()
            self.under_way.append((self.run.steps, loss))
            finished = self._finish_oldest() if len(self.under_way) > _STEPS_AHEAD else None
        return state, finished

    def _finish_oldest(self) -> float:
        number, loss = self.under_way.popleft()
        value = float(loss)
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
            self._write_record('failed', failure)
            raise RunError(failure)

    def _evaluation_due(self) -> bool:
        run, every = self.run, self.run.config.eval_every * len(self.run.dataset.train)
        now, before = (math.floor((run.steps - back) * run.config.batch_size / every + 1e-9) for back in (0, 1))
        return now > before or run.steps == self.total_steps

    def _save(self, state: TrainState) -> None:
        with self.clock.phase('checkpoint'):
            self.checkpoints.save(self.run.steps, state, self.run.progress())

    def _wait_for_checkpoint(self) -> None:
        with self.clock.phase('checkpoint'):
            self.checkpoints.wait()

    def _write_record(self, status: str, failure: str | None = None) -> records.Record:
        record = self.run.record(status, failure)
        records.write(self.workdir, record)
        return record


def network(config: ConfigDict, num_classes: int) -> nn.Module:
    """The network of a config."""
    return create_model(config.model.name, num_classes, config.image_size, jnp.dtype(config.precision))


def optimizer_of(config: ConfigDict, total_steps: int, num_train: int) -> Any:
    """The optimizer of a config, with its schedule over a run of that many steps; warm-up takes half at the most."""
    warmup_steps = min(round(config.warmup_epochs * num_train / config.batch_size), total_steps // 2)
    schedule = make_schedule(config.schedule, config.learning_rate, total_steps, warmup_steps)
    return make_optimizer(
        config.optimizer.name, schedule, config.weight_decay, config.optimizer.momentum, config.gradient_clip_norm
    )


def use_compilation_cache() -> None:
    """Keeps compiled programs in the user's cache folder, unless jax is told of another place."""
    if jax.config.jax_compilation_cache_dir is None:
        jax.config.update('jax_compilation_cache_dir', str(cache_dir() / 'xla'))
        jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
