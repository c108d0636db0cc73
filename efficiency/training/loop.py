"""Training to a target: the story of a run, from its config to its record."""

import contextlib
import functools
import logging
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from clu import parameter_overview
from ml_collections import ConfigDict

from efficiency import console, records
from efficiency.data.pipeline import TrainStream, default_workers
from efficiency.errors import RunError, UserError
from efficiency.files import write_atomically
from efficiency.records import Place
from efficiency.tasks.evaluation import Evaluator
from efficiency.training import code, hosts
from efficiency.training.cache import cache_dir, use_compilation_cache
from efficiency.training.checkpoint import Checkpoints, from_bytes, to_bytes
from efficiency.training.clock import Clock
from efficiency.training.identity import check_identity
from efficiency.training.memory import give_back_free_memory
from efficiency.training.parameter_groups import parameters_by_group
from efficiency.training.peak import matmul_peak
from efficiency.training.programs import compile_train_steps, evaluating
from efficiency.training.progress import SECONDS_BETWEEN_LINES
from efficiency.training.recipe import Recipe, opened
from efficiency.training.run import Run, steps_of
from efficiency.training.step import TrainState
from efficiency.training.trainer import Trainer
from efficiency.training.workdir import NO_ROOM, existing_record, locked, log_file
from efficiency.training.writer import RunWriter

_log = logging.getLogger('efficiency')


def train(
    config: ConfigDict,
    workdir: str | os.PathLike,
    data_dir: str | os.PathLike | None = None,
    data_workers: int | None = None,
    changed_code: bool = False,
    logs: Sequence[str] = (),
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
        logs: names of `efficiency.training.evaluation_log.LOGS`, to be kept beside `metrics.jsonl`.

    Returns:
        The run record; of a run that had finished before, the one it left, which hosts other than host 0 do not have:
        None there.

    Raises:
        UserError: for a mistake in the config, the workdir or a task of your own; nothing has been trained then.
        RunError: if a loss was not finite, an example cannot be read, or there is no room to write; the record says
            'failed' where that can be written. `hosts.HostLost`, if another host ended.
        Stopped: on SIGTERM or SIGINT, after saving.
    """
    workdir = pathlib.Path(workdir)
    clock = Clock()
    use_compilation_cache()
    with _doing() as show:
        show(f'opening {config.dataset}')
        recipe = opened(config, data_dir)
    config, task, plan, devices = recipe.config, recipe.task, recipe.plan, recipe.devices
    batches = plan.batches(task, devices.host)
    recipe.agree('the initial state', recipe.start.named)

    # What is shown until the run's own bar says how far it is.
    waiting = contextlib.ExitStack()
    with _room_to_write(workdir), _folder(workdir, recipe) as earlier, waiting:
        show = waiting.enter_context(_doing())
        finished = bool(earlier and records.is_finished(earlier))
        if finished and not changed_code:
            code.check_finished(earlier, config, str(workdir), lambda: code.begin_on(recipe))
        if hosts.tell(lambda: finished):
            return earlier
        _log_recipe(config, recipe.start.params)
        for name, data in task.files.items() if hosts.leads() else ():
            write_atomically(workdir / name, data)
        checkpoints = Checkpoints(workdir) if hosts.leads() else None
        with clock.phase('compile'):
            show('tracing')
            traced = recipe.trace()
        of_code = code.code_of(recipe, traced)
        hosts.agree(lambda: {'stage {}, form {}'.format(*at): step._asdict() for at, step in of_code.steps.items()})

        with clock.phase('checkpoint'):
            accept = functools.partial(_accept, recipe, None if changed_code else of_code.steps, workdir)
            restored = _restored(checkpoints, recipe, accept)
        if data_workers is None:
            data_workers = max(1, default_workers() // hosts.sharing_these_cores())
        # Before workers decode, which would take their share of a CPU; on all hosts at once, which may share one.
        hosts.meet()
        peak = matmul_peak(config.precision)
        first = steps_of(restored[1]) if restored else 0
        with contextlib.closing(TrainStream(batches, first, plan.total_steps, data_workers)) as stream:
            with clock.phase('compile'):
                evaluate = task.evaluator(devices)
                steps, costs = _compiled(recipe, traced, evaluate, show)
            state = recipe.put(restored[0] if restored else recipe.start)
            recipe.let_go()
            give_back_free_memory()
            _log.info('compiled in %.1f s', clock.seconds['compile'])
            run = Run(recipe, costs, of_code, clock, peak)
            if restored:
                run.resume(restored[1], earlier)
            # Their first exchange waits for half a minute only, and one may compile for longer than another.
            hosts.meet()
            waiting.close()
            writer = RunWriter(run, workdir, checkpoints, logs)
            return Trainer(recipe, run, writer, steps, evaluate, stream).run_to_end(state)


def _log_recipe(config: ConfigDict, params: Any) -> None:
    """Into the run's log: what is trained."""
    _log.info('config:\n%s', config)
    _log.info('parameters:\n%s', parameter_overview.get_parameter_overview(params))
    if config.optimizer.get('groups'):
        for group, paths in parameters_by_group(config.optimizer.to_dict(), params).items():
            _log.info('optimizer, %s: %s', group, ', '.join(paths) or 'no parameters')


def _doing() -> contextlib.AbstractContextManager[Callable[[str], None]]:
    """What shows the steps before the first, on the host that leads."""
    return console.doing(SECONDS_BETWEEN_LINES) if hosts.leads() else contextlib.nullcontext(lambda text: None)


def _compiled(recipe: Recipe, traced: Mapping, evaluate: Evaluator, show: Callable[[str], None]) -> tuple[dict, dict]:
    """The compiled train steps by place, and what each costs; the evaluation is compiled beside them."""

    def compile_evaluation():
        with evaluating(recipe.config.precision):
            evaluate.compile(recipe.state_in(recipe.plan.stages[0]).variables)

    def progress(done, total):
        show(f'compiling, {done} of {total} train steps are done')

    compiled = compile_train_steps(traced, cache_dir(), progress, compile_evaluation)
    costs, name = {place: cost for place, (_, cost) in compiled.items()}, recipe.config.model.name
    for what, kind in (('train step', 'step'), ('forward pass', 'forward')):
        if any(getattr(cost, kind).dense_macs == 0 for cost in costs.values()):
            raise UserError(
                f'the {what} of {name} multiplies no matrices and convolves nothing, so that there is no compute to '
                'count'
            )
    return {place: step for place, (step, _) in compiled.items()}, costs


@contextlib.contextmanager
def _folder(workdir: pathlib.Path, recipe: Recipe) -> Iterator[records.Record | None]:
    """Holds the run's folder, and gives the record that is there; on hosts other than host 0 nothing."""
    if not hosts.leads():
        yield None
        return
    with locked(workdir), log_file(workdir):
        # Asked again now that nobody else can write here.
        earlier = existing_record(workdir, recipe.config)
        if earlier and not recipe.task.is_of(earlier['dataset']):
            raise UserError(f'{workdir} holds a run on other data of {recipe.config.dataset}; take another --workdir')
        yield earlier


def _accept(recipe: Recipe, steps: Mapping[Place, code.Step] | None, workdir: pathlib.Path, progress: dict) -> None:
    """Checks that a checkpoint is of this run, and unless `steps` is None of this code."""
    check_identity(progress, recipe.task)
    if steps:
        code.check_goes_on(progress, recipe.config, steps, str(workdir))


def _restored(checkpoints: Checkpoints | None, recipe: Recipe, accept: Any) -> tuple[TrainState, dict] | None:
    """The newest whole checkpoint and its progress, as host 0 has it, on every host."""

    def shapes(progress):
        return recipe.state_in(recipe.plan.stage_of_state(steps_of(progress)))

    if hosts.leads():
        restored = checkpoints.restore(lambda progress: shapes(progress).named, accept, set_aside=True)
    if hosts.count() > 1:
        content = hosts.leads() and restored and to_bytes(*restored)
        if not hosts.tell(lambda: bool(content)):
            return None
        restored = from_bytes(hosts.hand_out(content or None), lambda progress: shapes(progress).named)
    return restored and (shapes(restored[1]).renewed(restored[0]), restored[1])


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
