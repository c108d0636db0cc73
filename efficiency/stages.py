"""The stages that a config asks for, from which epoch on which keys are others, and the steps that they come to."""

import bisect
import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ml_collections import ConfigDict

from efficiency.errors import UserError, shown
from efficiency.values import is_number

# What a stage of any task may change; what else, the task names.
KEYS = ('batch_size', 'learning_rate', 'optimizer', 'weight_decay')
_FORM = 'it must be a sequence of pairs, as ((0, {"image_size": 20}), (5, {"image_size": 28}))'


def stages_of(config: ConfigDict) -> list[tuple[float, ConfigDict]]:
    """The epochs at which a config's stages begin, and the config of each, of which the first begins at 0.

    What a stage changes holds until a later one changes it again.
    """
    whole = ConfigDict(config.to_dict())
    stages = [(0.0, whole)]
    for from_epoch, changes in config.stages:
        now = ConfigDict({**stages[-1][1].to_dict(), **changes})
        # What begins with the run takes the place of what would.
        stages = [*(stage for stage in stages if stage[0] < from_epoch), (float(from_epoch), now)]
    return stages


def check_stages(config: ConfigDict, keys: Iterable[str]) -> None:
    """Checks that the sequence `config.stages` is of stages, each later than the one before, that change these keys.

    Raises:
        UserError: if not.
    """
    stages, keys = config.stages, (*KEYS, *keys)
    before = -1.0
    for stage in stages:
        if not (isinstance(stage, list | tuple) and len(stage) == 2 and isinstance(stage[1], Mapping | ConfigDict)):
            raise UserError(f'config.stages has {shown(stage)}; {_FORM}')
        from_epoch, changes = stage
        if not is_number(from_epoch) or not before < from_epoch < config.num_epochs or from_epoch < 0:
            raise UserError(
                f'config.stages has a stage from epoch {shown(from_epoch)}; it must be at least 0, later than the '
                f'stage before, and before the end at {config.num_epochs:g}'
            )
        before = from_epoch
        for key, value in changes.items():
            if value is None:
                raise UserError(f'config.stages leaves {shown(key)} empty from epoch {from_epoch:g} on; give a value')
            if key not in keys:
                raise UserError(
                    f'config.stages changes {shown(key)} at epoch {from_epoch:g}; what a stage of {config.task} may '
                    f'change is {", ".join(sorted(keys))}'
                )


class Span(NamedTuple):
    """A stage's place in its run.

    Attributes:
        from_epoch: where the config has it begin; it does so with the first batch that is no part of what is before.
        config: its own.
        first_step, first_example: how many steps, and examples, there are before it.
        steps: how many it has.
    """

    from_epoch: float
    config: ConfigDict
    first_step: int
    first_example: int
    steps: int


class Timetable:
    """The steps of a run that nothing stops.

    Attributes:
        spans: its stages, in order, one at least.
        epoch_examples: examples of an epoch.
        total_steps: of all stages.
    """

    def __init__(self, config: ConfigDict, epoch_examples: int):
        """Lays it out for a checked config.

        Raises:
            UserError: if the run, or a stage of it, would have no steps, or the run too many.
        """
        self.epoch_examples = epoch_examples
        self._eval_every = config.eval_every
        configs = stages_of(config)
        ends = [*(from_epoch for from_epoch, _ in configs[1:]), config.num_epochs]
        self.spans: list[Span] = []
        step = example = 0
        for (from_epoch, stage), end in zip(configs, ends, strict=True):
            steps = _steps(end * epoch_examples - example, stage.batch_size)
            if len(configs) > 1 and steps < 1:
                raise UserError(
                    f'config.stages has a stage from epoch {from_epoch:g} to {end:g}, which is not one step of '
                    f'{stage.batch_size} examples'
                )
            self.spans.append(Span(from_epoch, stage, step, example, steps))
            step, example = step + steps, example + steps * stage.batch_size
        if not 1 <= step < 2**31:
            raise UserError(
                f'config.num_epochs of {config.num_epochs:g} are {step:g} steps; they must be from 1 to 2**31 - 1'
            )
        self.total_steps = step
        self._first_steps = [span.first_step for span in self.spans]

    def number_at(self, step: int) -> int:
        """The number of the stage of the step that follows so many; of the last step, once there is none."""
        return bisect.bisect_right(self._first_steps, min(step, self.total_steps - 1)) - 1

    def examples_at(self, steps: int) -> int:
        """How many examples so many steps take."""
        span = self.spans[self.number_at(max(0, steps - 1))]
        return span.first_example + (steps - span.first_step) * span.config.batch_size

    def evaluation_due(self, steps: int) -> bool:
        """Whether the run is evaluated after so many steps: at whole parts of an epoch, and at the end."""
        return steps > 0 and (self._parts(steps) > self._parts(steps - 1) or steps == self.total_steps)

    def next_evaluation(self, steps: int) -> int:
        """The first step after so many, fewer than all, that is evaluated after."""
        left = range(steps + 1, self.total_steps)
        return steps + 1 + bisect.bisect_right(left, self._parts(steps), key=self._parts)

    def _parts(self, steps: int) -> int:
        """How many whole parts of an epoch, as the config evaluates after, so many steps take."""
        return math.floor(self.examples_at(steps) / (self._eval_every * self.epoch_examples) + 1e-9)

    def steps_until(self, epochs: float) -> int:
        """The steps of so many epochs, the last of them in part perhaps; also of more than there are."""
        examples = epochs * self.epoch_examples
        span = [span for span in self.spans if span.first_example < examples][-1]
        return span.first_step + _steps(examples - span.first_example, span.config.batch_size)

    def steps_in(self, epochs: float) -> int:
        """The steps that come nearest to so many epochs, at most all."""
        examples = epochs * self.epoch_examples
        span = [span for span in self.spans if span.first_example <= examples][-1]
        return min(self.total_steps, span.first_step + round((examples - span.first_example) / span.config.batch_size))


def _steps(examples: float, batch_size: int) -> int:
    # Rounded, as 16.12 epochs of 4,000 are 2,015 steps of 32 and not a hair more.
    return math.ceil(round(examples / batch_size, 6))
