"""The plan of a run: its stages, each a stretch under one program."""

import dataclasses
from collections.abc import Callable

import optax
from ml_collections import ConfigDict

from efficiency.data.batches import BatchSpan, Host, RunBatches
from efficiency.errors import UserError
from efficiency.stages import Timetable
from efficiency.tasks.task import Task
from efficiency.training.averaging import Averaging, make_averaging
from efficiency.training.gradients import Gradients, gradients_of
from efficiency.training.parameter_groups import grouped_optimizer
from efficiency.training.schedules import make_schedule


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stretch of a run under one program.

    Attributes:
        number: from 0.
        from_epoch, config, first_step, first_example, steps: see `efficiency.stages.Span`.
        optimizer: of all steps' schedule.
        averaging: of the weights.
        gradients: how steps take them.
        renews_optimizer: whether it begins with an optimizer of its own, whose state is new.
    """

    number: int
    from_epoch: float
    config: ConfigDict
    first_step: int
    first_example: int
    steps: int
    optimizer: optax.GradientTransformation
    averaging: Averaging
    gradients: Gradients
    renews_optimizer: bool


class Plan(Timetable):
    """Which steps a run takes, if nothing stops it, and by which optimizers.

    Attributes:
        stages: in their order, one at least.
    """

    def __init__(self, config: ConfigDict, epoch_examples: int, updates: int = 1):
        """Lays the plan of a config whose data are known.

        Args:
            config: of the run.
            epoch_examples: examples of an epoch.
            updates: of the weights in a step, each of which schedules go on with.

        Raises:
            UserError: if the run, or a stage of it, would have no steps or too many, or there is no such optimizer.
        """
        super().__init__(config, epoch_examples)
        epochs = config.schedule_epochs
        schedule_steps = self.total_steps if epochs is None else self.steps_until(epochs)
        if schedule_steps >= 2**31:
            raise UserError(
                f'config.schedule_epochs of {epochs:g} are {schedule_steps:g} steps; they must be from 1 to 2**31 - 1'
            )
        # Half of the schedule at the most.
        warmup_steps = min(self.steps_in(config.warmup_epochs), schedule_steps // 2)
        self.stages: list[Stage] = []
        began, before = 0, self.spans[0].config.optimizer  # the step at which the optimizer's state was new
        for number, span in enumerate(self.spans):
            renews = span.config.optimizer.to_dict() != before.to_dict()
            began, before = (span.first_step if renews else began), span.config.optimizer
            optimizer = optimizer_of(
                span.config, *(steps * updates for steps in (schedule_steps, warmup_steps, began))
            )  # fmt: skip
            averaging = averaging_of(span.config, epoch_examples)
            self.stages.append(Stage(number, *span, optimizer, averaging, gradients_of(span.config), renews))

    def stage_at(self, step: int) -> Stage:
        """The stage of the step that follows so many; of the last step, once there is none."""
        return self.stages[self.number_at(step)]

    def stage_of_state(self, steps: int) -> Stage:
        """The stage whose state it is that so many steps have left."""
        return self.stage_at(max(0, steps - 1))

    def batches(self, task: Task, host: Host) -> RunBatches:
        """The batches of all steps, of which a host's part is made."""
        return RunBatches([
            BatchSpan(span.first_step, span.first_example, span.config.batch_size, task.batches(span.config, host))
            for span in self.spans
        ])  # fmt: skip


def optimizer_of(
    config: ConfigDict, schedule_steps: int = 1, warmup_steps: int = 0, began: int = 0
) -> optax.GradientTransformation:
    """The optimizer of a stage's config.

    Args:
        config: the stage's.
        schedule_steps, warmup_steps: of the run.
        began: the step at which the optimizer's own count begins.

    Raises:
        UserError: for an optimizer, a schedule, or keys of theirs that cannot be.
    """

    def schedule_of(peak):
        schedule = make_schedule(config.schedule, peak, schedule_steps, warmup_steps)
        return _later(schedule, began) if began else schedule

    return grouped_optimizer(
        config.optimizer.to_dict(), schedule_of, config.learning_rate, config.weight_decay, config.gradient_clip_norm
    )


def averaging_of(config: ConfigDict, epoch_examples: int) -> Averaging:
    """The averaging of weights of a stage's config.

    Raises:
        UserError: if there is none of that name, or its keys cannot be.
    """
    return make_averaging(config.averaging.to_dict(), config.batch_size, epoch_examples)


def _later(schedule: Callable, began: int) -> Callable:
    return lambda step: schedule(step + began)
