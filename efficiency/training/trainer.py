"""The loop over steps: training, evaluation and saving, until the target, the end, or a signal."""

import collections
import contextlib
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax

from efficiency import records
from efficiency.data.pipeline import TrainStream
from efficiency.errors import DataError, RunError, Stopped, shown
from efficiency.records import Place
from efficiency.tasks.evaluation import Evaluated, Evaluator
from efficiency.training import hosts
from efficiency.training.averaging import NO_AVERAGING
from efficiency.training.gradients import noise_found
from efficiency.training.plan import Stage
from efficiency.training.programs import CompiledPart, evaluating
from efficiency.training.recipe import Recipe
from efficiency.training.run import Run
from efficiency.training.step import TrainState
from efficiency.training.writer import RunWriter
from efficiency.values import is_whole

# Steps that may be under way on the device while the host prepares the next.
_STEPS_AHEAD = 2


class Trainer:
    """The loop over steps, with what it needs at hand."""

    def __init__(
        self,
        recipe: Recipe,
        run: Run,
        writer: RunWriter,
        steps: Mapping[Place, Sequence[CompiledPart]],
        evaluate: Evaluator,
        stream: TrainStream,
    ):
        """`steps` are the compiled train steps of all programs, `evaluate` is compiled."""
        self.recipe, self.task, self.plan, self.devices = recipe, recipe.task, recipe.plan, recipe.devices
        self.run, self.writer = run, writer
        self.steps, self.evaluate, self.stream = steps, evaluate, stream
        averaging = self.plan.stages[0].averaging
        self._weights = averaging.weights if averaging is NO_AVERAGING else jax.jit(averaging.weights)
        self.clock = run.clock
        # (number, program, loss) of the steps that may still be under way.
        self.under_way: collections.deque[tuple[int, Place, jax.Array]] = collections.deque()
        self.failing = threading.Lock()

    def run_to_end(self, state: TrainState) -> records.Record:
        """Goes on from a state until the run is finished; returns its record.

        Raises:
            Stopped, RunError: see `efficiency.training.loop.train`.
        """
        # At a tenth of the rate of a large product.
        most = max(cost.step.dense_macs for cost in self.run.costs.values())
        step_seconds = 10 * most / self.run.matmul_peak
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
            self.task.note_damage()  # that the run did not meet yet, and may be mended until it goes on
        elif self.run.test is None:
            self._test(state)
        self._save(state, at_end=True)
        # A record that says the run is finished must have the parameters that finished it beside it.
        self.writer.wait()
        if not self._finished():
            raise Stopped(f'stopped at step {self.run.steps} of {self.plan.total_steps} and saved', stop_signal)
        return self.writer.record('reached' if self.run.reached_target else 'exhausted')

    def _before_end(self, end: dict[str, Any]) -> None:
        """Another host ended the run, and the thread that trains may hang waiting for it."""
        self._note(hosts.HostLost(end))
        self.writer.until_written()

    def _note(self, lost: hosts.HostLost) -> None:
        """Keeps the failure of another host: what is under way here will never be finished."""
        if lost.failed and self.failing.acquire(blocking=False):  # once, by whichever thread comes first
            self.run.forget_steps(place for _, place, _ in self.under_way)
            self.task.note_damage()  # which may be what ended the other
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
        return reached or (self.run.steps >= self.plan.total_steps and not self._evaluation_due())

    @contextlib.contextmanager
    def _damage_kept(self, state: TrainState) -> Iterator[None]:
        """What was trained before an example that cannot be read is right, and stays."""
        try:
            yield
        except DataError as error:
            self.task.note_damage()
            self._save(state)
            self.writer.record('failed', str(error))
            raise

    def _next_batch(self) -> dict[str, jax.Array]:
        with self.clock.phase('data_wait'):
            return self.devices.put_batch(next(self.stream))

    def _take_step(self, state: TrainState, batch: dict[str, jax.Array]) -> TrainState:
        with self.clock.phase('train'):
            stage = self.plan.stage_at(self.run.steps)
            place = self.recipe.place_of(stage, batch)
            state, loss = self._called(place, self._in_stage(stage, state), batch)
            self.run.add_step(place)
            self.under_way.append((self.run.steps, place, loss))
            self.signals.expect_step()
            finished = self._finish_oldest() if len(self.under_way) > _STEPS_AHEAD else None
        self.writer.step(finished)
        return state

    def _called(self, place: Place, state: TrainState, batch: dict[str, jax.Array]) -> tuple[TrainState, jax.Array]:
        """What a step's programs leave, and the loss of the last that trains; of a step that does not, 0."""
        own = self.recipe.forms[place].parts  # which are given no batch
        loss = None
        for part in self.steps[place]:
            for _ in range(part.calls):
                state, found = part.compiled(state, {} if own else batch)
            if part.trains or loss is None:
                loss = found
        return state, loss

    def _in_stage(self, stage: Stage, state: TrainState) -> TrainState:
        """The state that a stage's next step takes: where an optimizer is another than before, its state is new."""
        if stage.renews_optimizer and self.run.steps == stage.first_step:
            return state.replace(opt_state=self.devices.put_state(jax.jit(stage.optimizer.init)(state.params)))
        return state

    def _finish_oldest(self) -> float:
        number, _, loss = self.under_way[0]
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

    def _check_found(self, found: Evaluated) -> None:
        """Checks an evaluation before anything is kept of it."""
        metrics = self.run.metrics
        if found.metrics.keys() != {'loss', *metrics}:
            self._fail(
                f'an evaluation gave {shown(sorted(found.metrics))}; it must give {", ".join(["loss", *metrics])}'
            )
        for name, value in found.metrics.items():
            if not isinstance(value, float | int):
                self._fail(
                    f'the evaluation {name} is of the type {type(value).__name__}; it must be a number of Python'
                )
            self._check_finite(self.run.steps, value, f'evaluation {name}')
            if name in metrics and not metrics[name].holds(value):
                self._fail(f'the evaluation {name} is {value:g} at step {self.run.steps}, not {metrics[name].allowed}')
        for name, count in (('examples', found.examples), ('dense_macs', found.dense_macs)):
            if not is_whole(count) or count < 1:
                self._fail(f'an evaluation gave {shown(count)} as {name}; it must be a whole number above 0')

    def _fail(self, failure: str) -> None:
        self.writer.record('failed', failure)
        raise RunError(failure)

    def _check_finite(self, step: int, loss: float, name: str) -> None:
        if not math.isfinite(loss):
            self._fail(f'the {name} is {loss} at step {step}; a lower learning_rate may train')

    def _evaluation_due(self) -> bool:
        run = self.run
        return self.plan.evaluation_due(run.steps) and not (run.curve and run.curve[-1]['step'] == run.steps)

    def _evaluate(self, state: TrainState) -> None:
        self._settle()
        with self.clock.phase('evaluation'):
            found = self.evaluate(
                self._weights(state.average, state.variables), stopped=lambda: self.signals.asked_to_stop() is not None
            )
        self.signals.expect_step()
        if found is None:
            if self.signals.asked_to_stop() is None:
                self._fail('an evaluation gave nothing, and nobody had asked it to stop')
            return
        self._check_found(found)
        self.writer.evaluation(self.run.add_evaluation(found, noise_found(state.gradients)))
        self._save(state)

    def _test(self, state: TrainState) -> None:
        """What is measured of a finished run but once."""
        with self.clock.phase('evaluation'), evaluating(self.run.config.precision):
            weights = self._weights(state.average, state.variables)
            self.run.test = self.task.at_end(weights, self.devices, state.carried)
        self.signals.expect_step()

    def _save(self, state: TrainState, at_end: bool = False) -> None:
        self._settle()
        self.writer.save(state, at_end)
        self.signals.expect_step()
