"""One run's ledger: what it has done so far, and the record that says so."""

import collections
import dataclasses
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from efficiency import records
from efficiency.flops import Count
from efficiency.record_schema import SCHEMA_VERSION, UNPADDED
from efficiency.records import Place
from efficiency.source import git_state
from efficiency.tasks import task_entry
from efficiency.tasks.evaluation import Evaluated
from efficiency.training import provenance
from efficiency.training.clock import Clock
from efficiency.training.code import Code
from efficiency.training.identity import identity
from efficiency.training.programs import Cost, macs_per_example
from efficiency.training.recipe import Recipe

_log = logging.getLogger('efficiency')
_FORWARD = 'forward_dense_macs_per_example'


@dataclasses.dataclass
class Run:
    """The part of a run that is not arrays; `progress` goes into its checkpoints, `record` into `run.json`.

    Attributes:
        recipe: what it is a run of.
        costs: of each of its programs.
        matmul_peak: multiply-adds a second that the devices reach at best (`efficiency.training.peak`).
        programs: the compiled train steps that the run has used, in the order in which it came to them, with the steps
            taken by each. A run that goes on under another executable (other devices, another compiler) bills the old
            steps at the old cost.
        code: what the run is of beside its config.
        curve: one point an evaluation, see `efficiency.records`.
        eval_examples, eval_macs: evaluated so far, and the dense macs that this took.
        test: see `efficiency.tasks.task.Task.at_end`; None before the end.
        resumed_from: the steps of the checkpoints that the run went on from.
        saved_place: the `place` of the checkpoint that it went on from last; where it began, if there is none.
    """

    recipe: Recipe
    costs: Mapping[Place, Cost]
    code: Code
    clock: Clock
    matmul_peak: float
    programs: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    curve: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    eval_examples: int = 0
    eval_macs: int = 0
    test: dict[str, Any] | None = None
    resumed_from: list[int] = dataclasses.field(default_factory=list)

    def __post_init__(self):
        self._made_by = {
            'devices': provenance.devices(),
            'versions': provenance.versions(),
            'git': git_state(),
        }
        self.config, self.task, self.plan = self.recipe.config, self.recipe.task, self.recipe.plan
        self.metrics = task_entry(self.config.task).metrics
        self._planned = {place: self._program(*place) for place in self.recipe.forms}
        # The entry of `programs` of each executable that this process has used.
        self._now: dict[Place, dict[str, Any]] = {}
        self._use((0, 0))
        self._find_crossing()
        self.saved_place = self.place

    def _program(self, stage: int, form: int) -> dict[str, Any]:
        cost, whole = self.costs[stage, form], self.plan.stages[stage]
        dense, padding = cost.step.dense_macs, self.recipe.forms[stage, form].padding_share
        return {
            'steps': 0,
            'stage': stage,
            'form': form,
            'from_epoch': whole.from_epoch,
            'batch_size': whole.config.batch_size,
            **self.recipe.forms[stage, form].settings,
            'forward_dense_macs_per_example': cost.forward.dense_macs,
            'forward_real_macs_per_example': cost.forward.real_macs,
            'train_dense_macs_per_step': dense,
            **({} if padding is None else {'padding_share': padding, UNPADDED: round(dense * (1 - padding))}),
            'train_real_macs_per_step': cost.step.real_macs,
            'optimizer_dense_macs_per_step': cost.optimizer.dense_macs,
            'train_dense_macs_per_step_by_operation': {
                kind: part.dense_macs for kind, part in cost.step.by_kind().items()
            },
            **({'parts': [_part(*part) for part in cost.parts]} if cost.parts else {}),
            'compiled_flops_per_step': cost.compiled_flops,
            'traced': self.code.steps[stage, form]._asdict(),
        }

    def _use(self, place: Place) -> dict[str, Any]:
        """The entry of `programs` that steps of a program are added to."""
        if place not in self._now:
            self._now[place] = dict(self._planned[place])
            self.programs.append(self._now[place])
        return self._now[place]

    @property
    def steps(self) -> int:
        return sum(program['steps'] for program in self.programs)

    @property
    def target(self) -> dict[str, Any]:
        return self.config.target.to_dict()

    @property
    def reached_target(self) -> bool:
        return self._first_crossing is not None

    def _find_crossing(self, start: int = 0) -> None:
        """Looks for the target's crossing in the curve from a point on, before which there is none."""
        curve = self.curve[start:]
        self._first_crossing = records.first_crossing(curve, self.target, self.metrics)
        self._interpolated_crossing = records.interpolated_crossing(curve, self.target, self.metrics)

    def add_step(self, place: Place) -> None:
        """One more step, of a program."""
        self._use(place)['steps'] += 1

    def forget_steps(self, places: Iterable[Place]) -> None:
        """The newest steps, of these programs, were begun and never finished."""
        for place in places:
            self._use(place)['steps'] -= 1

    def add_evaluation(self, found: Evaluated, noise: Mapping[str, float]) -> dict[str, Any]:
        """Adds a point to the curve: where the run is, what the evaluation found, and the noise of gradients."""
        examples, ends = self._sum('batch_size'), self.task.unit is None
        paper_macs = 3 * sum(p['steps'] * p['batch_size'] * p[_FORWARD] for p in self.programs)
        point = {
            'step': self.steps,
            'examples': examples,
            'epochs': examples / self.plan.epoch_examples if ends else None,
            'paper_macs': paper_macs if ends else None,
            'train_macs': self.task.init_dense_macs + self._sum('train_dense_macs_per_step'),
            'compiled_flops': self._sum('compiled_flops_per_step'),
            'train_seconds': self.clock.seconds['train'],
            **found.metrics,
            **noise,
        }
        self.curve.append(point)
        if not self.reached_target:
            # The point before is needed to interpolate.
            self._find_crossing(max(0, len(self.curve) - 2))
        self.eval_examples += found.examples
        self.eval_macs += found.dense_macs
        return point

    def _sum(self, key: str) -> float | None:
        """Over all steps so far; None where a program has none of it."""
        each = [program[key] for program in self.programs]
        return None if None in each else sum(p['steps'] * p[key] for p in self.programs)

    def _macs_per_example(self) -> dict[str, int | float]:
        """Over the steps that were taken; of the first program, before there are any."""
        taken = collections.Counter({(0, 0): 0 if self.steps else 1})
        for program in self.programs:
            taken[records.place_of(program)] += program['steps']
        return macs_per_example(
            (steps, self.plan.stages[place[0]].config.batch_size, self.costs[place].forward, self.costs[place].step)
            for place, steps in taken.items()
        )

    def _used_most(self) -> Place:
        """The program that most steps were of, of those in the stage that the run is in."""
        stage = self.plan.stage_of_state(self.steps).number
        here = [program for program in self.programs if program['stage'] == stage]
        return records.place_of(max(here, key=lambda program: program['steps'])) if here else (stage, 0)

    @property
    def place(self) -> tuple[int, int, str | None]:
        """How far the run is, on which images: what a checkpoint would have that is new, if this is."""
        return self.steps, len(self.curve), self.task.description.get('sample')

    def progress(self) -> dict[str, Any]:
        """What a checkpoint keeps of this."""
        return identity(self.task) | {
            'sample': self.task.description.get('sample'),
            'code': self.code.kept,
            'programs': self.programs,
            'curve': self.curve,
            'eval_examples': self.eval_examples,
            'eval_macs': self.eval_macs,
            'resumed_from': self.resumed_from,
            'seconds': dict(self.clock.seconds),
        }

    def resume(self, progress: dict[str, Any], earlier: records.Record | None) -> None:
        """Goes on from a checkpoint's `progress`, with the record beside it, if there is one.

        The time spent since this process started is added to its clock.
        """
        # Runs from before there were stages have one, and do not say so.
        older = {key: self._planned[0, 0][key] for key in ('stage', 'form', 'from_epoch', _FORWARD)}
        self.programs = [{**older, **program} for program in progress['programs']]
        # The newest of each, where its executable is what it was; what a key was called before makes no other one.
        newest = {records.place_of(program): program for program in self.programs}
        self._now = {
            place: program
            for place, program in newest.items()
            if (planned := self._planned.get(place))
            and all(planned[key] == value for key, value in program.items() if key in planned and key != 'steps')
        }
        # Those that the run is at and has used are what it goes on with, if only to its end.
        now = self.plan.stage_of_state(self.steps).number
        for place in [place for place in newest if place[0] == now and place in self._planned]:
            self._use(place)
        # What it began with; not known of a run that is older than that.
        began = progress.get('code') or {}
        self.code = self.code._replace(**{name: began.get(name) for name in ('initial_sha256', 'init_from_sha256')})
        self.curve = list(progress['curve'])
        self._find_crossing()
        self.eval_examples = progress['eval_examples']
        self.eval_macs = progress.get('eval_macs', self.eval_examples * older[_FORWARD])
        self.resumed_from = [*progress['resumed_from'], self.steps]
        self.saved_place = self.steps, len(self.curve), progress.get('sample')
        # A process that was killed before its first checkpoint has left its restart in the record alone.
        if earlier and len(earlier['resumed_from_steps']) >= len(self.resumed_from):
            self.resumed_from = [*earlier['resumed_from_steps'], self.steps]
        for phase, seconds in progress['seconds'].items():
            self.clock.seconds[phase] += seconds
        _log.info('going on from step %d', self.steps)

    def record(self, status: str, failure: str | None = None) -> records.Record:
        """The run record as of now."""
        config, seconds = self.config, self.clock.seconds
        cost = self.costs[self._used_most()]
        compiled, dense = cost.compiled_flops, cost.step.dense_macs
        rate = 1 / seconds['train'] if seconds['train'] else 0.0
        examples_per_second = rate * self._sum('batch_size')
        macs_per_second = rate * self._sum('train_dense_macs_per_step')
        return {
            'schema_version': SCHEMA_VERSION,
            'status': status,
            'model': config.model.name,
            'published': self.task.published and self.task.published.isoformat(),
            'config': config.to_dict(),
            'seed': config.seed,
            'task': config.task,
            **({} if self.task.unit is None else {'unit': self.task.unit}),
            'dataset': self.task.description,
            'metrics': {name: metric.to_dict() for name, metric in self.metrics.items()},
            'target': self.target,
            'first_crossing': self._first_crossing,
            'interpolated_crossing': self._interpolated_crossing,
            'final': self.curve[-1] if self.curve else None,
            'curve': self.curve,
            **({'initialisation': {'dense_macs': taken}} if (taken := self.task.init_dense_macs) else {}),
            'macs_per_example': self._macs_per_example(),
            'programs': self.programs,
            'xla': {
                'lowered_flops_per_step': cost.lowered_flops,
                'compiled_flops_per_step': compiled,
                'compiled_over_train_dense': compiled / (2 * dense) if compiled else None,
            },
            'evaluation': {
                'examples': self.eval_examples,
                'dense_macs': self.eval_macs,
            },
            **({} if self.test is None else {'test': self.test}),
            'clock': {f'{phase}_seconds': value for phase, value in seconds.items()},
            'throughput': {
                'examples_per_second': examples_per_second,
                **_of_text(self.task.description, examples_per_second),
                'train_dense_macs_per_second': macs_per_second,
                'matmul_peak_macs_per_second': self.matmul_peak,
                'share_of_peak': macs_per_second / self.matmul_peak,
            },
            'precision': config.precision,
            'code': self.code.kept,
            **self._made_by,
            'resumed_from_steps': self.resumed_from,
            'failure': failure,
        }


def _of_text(data: Mapping[str, Any], examples_per_second: float) -> dict[str, float]:
    """What the training data say that they are of, tokens and bytes, a second: an epoch's share of each example."""
    return {
        f'{what}_per_second': examples_per_second * data[f'train_{what}'] / data['num_train']
        for what in ('tokens', 'bytes')
        if f'train_{what}' in data
    }


def _part(name: str, calls: int, count: Count) -> dict[str, Any]:
    return {
        'name': name,
        'calls_per_step': calls,
        'dense_macs_per_call': count.dense_macs,
        'real_macs_per_call': count.real_macs,
    }


def steps_of(progress: dict[str, Any]) -> int:
    """How many steps a checkpoint's run had taken."""
    return sum(program['steps'] for program in progress['programs'])
