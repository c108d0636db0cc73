"""One run's ledger: what it has done so far, and the record that says so."""

import dataclasses
import logging
from typing import Any

from ml_collections import ConfigDict

from efficiency import records
from efficiency.data.datasets import Dataset
from efficiency.errors import UserError
from efficiency.metrics import OF_CLASSES
from efficiency.training import provenance
from efficiency.training.clock import Clock
from efficiency.training.code import Code
from efficiency.training.programs import Cost
from efficiency.training.settings import differing_keys

_log = logging.getLogger('efficiency')


@dataclasses.dataclass
class Run:
    """The part of a run that is not arrays; `progress` goes into its checkpoints, `record` into `run.json`.

    Attributes:
        matmul_peak: multiply-adds a second that the devices reach at best (`efficiency.training.peak`).
        programs: the compiled train steps that the run has used, in order, with the steps taken by each. A run that
            goes on under another executable (other devices, another compiler) bills the old steps at the old cost.
        code: what the run is of beside its config.
        curve: one point an evaluation, see `efficiency.records`.
        eval_examples: evaluated so far.
        resumed_from: the steps of the checkpoints that the run went on from.
        saved_place: the `place` of the checkpoint that it went on from last; where it began, if there is none.
    """

    config: ConfigDict
    dataset: Dataset
    cost: Cost
    code: Code
    clock: Clock
    matmul_peak: float
    programs: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    curve: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    eval_examples: int = 0
    resumed_from: list[int] = dataclasses.field(default_factory=list)

    def __post_init__(self):
        self._made_by = {
            'devices': provenance.devices(),
            'versions': provenance.versions(),
            'git': provenance.git_state(),
        }
        self.programs.append(self._this_program())
        self._find_crossing()
        self.saved_place = self.place

    def _this_program(self) -> dict[str, Any]:
        step = self.cost.step
        return {
            'steps': 0,
            'batch_size': self.config.batch_size,
            'image_size': self.config.image_size,
            'train_dense_macs_per_step': step.dense_macs,
            'train_real_macs_per_step': step.real_macs,
            'optimizer_dense_macs_per_step': self.cost.optimizer.dense_macs,
            'train_dense_macs_per_step_by_kind': {kind: part.dense_macs for kind, part in step.by_kind().items()},
            'compiled_flops_per_step': self.cost.compiled_flops,
            'traced': self.code.step._asdict(),
        }

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
        self._first_crossing = records.first_crossing(curve, self.target, OF_CLASSES)
        self._interpolated_crossing = records.interpolated_crossing(curve, self.target, OF_CLASSES)

    def add_step(self) -> None:
        """One more step of the program that runs now."""
        self.programs[-1]['steps'] += 1

    def forget_steps(self, count: int) -> None:
        """The newest steps of the program that runs now were begun and never finished."""
        self.programs[-1]['steps'] -= count

    def add_evaluation(self, metrics: dict[str, float]) -> dict[str, Any]:
        """Adds a point to the curve: where the run is, and what the evaluation found."""
        examples = sum(program['steps'] * program['batch_size'] for program in self.programs)
        compiled = [program['compiled_flops_per_step'] for program in self.programs]
        point = {
            'step': self.steps,
            'examples': examples,
            'epochs': examples / len(self.dataset.train),
            'paper_macs': 3 * self.cost.forward.dense_macs * examples,
            'train_macs': sum(p['steps'] * p['train_dense_macs_per_step'] for p in self.programs),
            'compiled_flops': None
            if None in compiled
            else sum(p['steps'] * p['compiled_flops_per_step'] for p in self.programs),
            'train_seconds': self.clock.seconds['train'],
            **metrics,
        }
        self.curve.append(point)
        if not self.reached_target:
            # The point before is needed to interpolate.
            self._find_crossing(max(0, len(self.curve) - 2))
        self.eval_examples += len(self.dataset.eval)
        return point

    @property
    def place(self) -> tuple[int, int, str | None]:
        """How far the run is, on which images: what a checkpoint would have that is new, if this is."""
        return self.steps, len(self.curve), self.dataset.description.get('sample')

    def progress(self) -> dict[str, Any]:
        """What a checkpoint keeps of this."""
        return identity(self.config, self.dataset) | {
            'sample': self.dataset.description.get('sample'),
            'code': self.code.kept,
            'programs': self.programs,
            'curve': self.curve,
            'eval_examples': self.eval_examples,
            'resumed_from': self.resumed_from,
            'seconds': dict(self.clock.seconds),
        }

    def resume(self, progress: dict[str, Any], earlier: records.Record | None) -> None:
        """Goes on from a checkpoint's `progress`, with the record beside it, if there is one.

        The time spent since this process started is added to its clock.
        """
        *before, last = progress['programs']
        if {**last, 'steps': 0} == self.programs[0]:
            self.programs = [*before, last]
        else:
            self.programs = [*before, last, *self.programs]
        # What it began with; not known of a run that is older than that.
        began = progress.get('code') or {}
        self.code = self.code._replace(**{name: began.get(name) for name in ('initial_sha256', 'init_from_sha256')})
        self.curve = list(progress['curve'])
        self._find_crossing()
        self.eval_examples = progress['eval_examples']
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
        config, step = self.config, self.cost.step
        batch_size, seconds = config.batch_size, self.clock.seconds
        on_network = step.dense_macs - self.cost.optimizer.dense_macs
        real_on_network = step.real_macs - self.cost.optimizer.real_macs
        rate = self.steps / seconds['train'] if seconds['train'] else 0.0
        compiled = self.cost.compiled_flops
        return {
            'schema_version': records.SCHEMA_VERSION,
            'status': status,
            'model': config.model.name,
            'config': config.to_dict(),
            'seed': config.seed,
            'dataset': self.dataset.description,
            'target': self.target,
            'first_crossing': self._first_crossing,
            'interpolated_crossing': self._interpolated_crossing,
            'final': self.curve[-1] if self.curve else None,
            'curve': self.curve,
            'macs_per_example': {
                'forward_dense': self.cost.forward.dense_macs,
                'forward_real': self.cost.forward.real_macs,
                'train_dense': _whole(on_network, batch_size),
                'train_real': _whole(real_on_network, batch_size),
            },
            'programs': self.programs,
            'xla': {
                'lowered_flops_per_step': self.cost.lowered_flops,
                'compiled_flops_per_step': compiled,
                'compiled_over_train_dense': compiled / (2 * step.dense_macs) if compiled else None,
            },
            'evaluation': {
                'examples': self.eval_examples,
                'dense_macs': self.eval_examples * self.cost.forward.dense_macs,
            },
            'clock': {f'{phase}_seconds': value for phase, value in seconds.items()},
            'throughput': {
                'examples_per_second': rate * batch_size,
                'train_dense_macs_per_second': rate * step.dense_macs,
                'matmul_peak_macs_per_second': self.matmul_peak,
                'share_of_peak': rate * step.dense_macs / self.matmul_peak,
            },
            'precision': config.precision,
            'code': self.code.kept,
            **self._made_by,
            'resumed_from_steps': self.resumed_from,
            'failure': failure,
        }


def identity(config: ConfigDict, dataset: Dataset) -> dict[str, Any]:
    """What a checkpoint must share with the run that goes on from it."""
    return {'config': config.to_dict(), 'fingerprint': dataset.fingerprint}


def check_identity(progress: dict[str, Any], config: ConfigDict, dataset: Dataset) -> None:
    """Checks that a checkpoint's progress is of this run.

    Raises:
        UserError: if it is of another config, or of other images.
    """
    ours = identity(config, dataset)
    theirs = {key: progress[key] for key in ours}
    theirs['config'] = records.completed_config(theirs['config'])
    if dataset.is_of(theirs['fingerprint'], progress.get('sample')):
        theirs['fingerprint'] = ours['fingerprint']
    keys = differing_keys(ours, theirs)
    if keys:
        raise UserError(
            f'the checkpoints in the workdir are of another run, which differs in {", ".join(keys)}; '
            'take another --workdir'
        )


def steps_of(progress: dict[str, Any]) -> int:
    """How many steps a checkpoint's run had taken."""
    return sum(program['steps'] for program in progress['programs'])


def _whole(total: int, parts: int) -> int | float:
    """A share of a whole, as an integer where it is one."""
    return total // parts if total % parts == 0 else total / parts
