"""What there is of a study's runs: done, running, stopped, failed or missing; and what they have computed."""

import contextlib
import fcntl
import multiprocessing
import os
import pathlib
import re
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

from efficiency import console, records
from efficiency.config_file import read_config
from efficiency.engines.tasks import Task, last_try
from efficiency.errors import UserError
from efficiency.studies.choice import RULES
from efficiency.studies.definition import PlannedRun, Study, System
from efficiency.training.code import GO_ON, Beginning, begin, check_finished
from efficiency.training.identity import differing_keys

_STOPPED = (143, 130, -15, -2)
OF_OTHER_CODE = 'of other code'


class State(NamedTuple):
    """One run as it is now.

    Attributes:
        run: it.
        status: 'done', 'running', 'stopped' (the same command goes on with it), 'failed', 'missing', or 'of other
            code': it was made by other code than is here now, or that cannot be told.
        detail: in words: reached or exhausted, how far it is, why it failed, of what code it is.
        record: as it is now, or None.
    """

    run: PlannedRun
    status: str
    detail: str = ''
    record: records.Record | None = None


class Folders:
    """Where a study's runs are and where its records are kept.

    Args:
        runs: of the workdirs, `<study>/<system>/seed<k>` below it.
        results: of the finished records, `<study>/<system>/seed<k>.json` below it.
        data_dir: as for efficiency.main.
        checks: says of a finished run whether its code is looked at, which may take a minute; without, it counts.
    """

    def __init__(
        self, study: Study, runs: str, results: str, data_dir: str | None, checks: Callable[[PlannedRun], bool]
    ):
        self.study, self._data_dir, self._checks = study, data_dir, checks
        self._beginnings: dict[str, Beginning] = {}
        self._tracer: ProcessPoolExecutor | None = None
        self.runs = pathlib.Path(os.path.abspath(os.path.expanduser(runs)), study.name)
        self._results = pathlib.Path(results).expanduser() / study.name

    def make(self) -> None:
        """Makes the folder of the runs.

        Raises:
            UserError: if that cannot be.
        """
        try:
            self.runs.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.runs).close()
        except OSError as error:
            raise UserError(f'cannot write to {self.runs}: {error.strerror}; take another folder for --runs') from error

    def task(self, run: PlannedRun, more: Sequence[str] = ()) -> Task:
        """What an engine is given, with more options of the main command."""
        return Task(run.name, [*run.options(), *more], self.runs / run.name)

    def kept(self, run: PlannedRun) -> pathlib.Path:
        """Where its finished record is kept."""
        return self._results / f'{run.name}.json'

    def state(self, run: PlannedRun) -> State:
        """What there is of a run.

        Raises:
            UserError: if a file in its place is the record of another run, or none.
        """
        kept = _record(self.kept(run), run)
        if kept:
            return self._finished(self.kept(run), kept, run)
        task = self.task(run)
        record = _record(task.workdir / records.FILE_NAME, run)
        if record and records.is_finished(record):
            return self._finished(task.workdir / records.FILE_NAME, record, run)
        steps = sum(program['steps'] for program in record['programs']) if record else 0
        if _is_held(task.workdir / '.lock'):
            return State(run, 'running', f'step {steps}', record)
        tried = last_try(task.log)
        if record and record['status'] == 'failed':
            return State(run, 'failed', record['failure'] or '', record)
        if tried and tried.code is not None and tried.code not in _STOPPED:
            # A study has no --workdir, which the main command advises.
            advice = f'move {self._places(run)} away, or go on with it all the same by --changed_code'
            sentence = tried.sentence.replace(GO_ON, advice) if tried.sentence else None
            return State(run, 'failed', sentence or f'it ended with exit code {tried.code}', record)
        if record or tried:
            return State(run, 'stopped', f'at step {steps}', record)
        return State(run, 'missing')

    def _finished(self, path: pathlib.Path, record: records.Record, run: PlannedRun) -> State:
        if self._checks(run):
            try:
                check_finished(
                    record, run.config, str(path), lambda: self._begun(run), run.system.config.split(':')[0],
                    f'move {self._places(run)} away, name the system otherwise, or take it as it is by --changed_code',
                )  # fmt: skip
            except UserError as error:
                return State(run, OF_OTHER_CODE, str(error), record)
        return State(run, 'done', record['status'], record)

    def _places(self, run: PlannedRun) -> str:
        """All that there may be of a run."""
        return ' and '.join(str(path) for path in (self.kept(run), self.runs / run.name) if path.exists())

    def _begun(self, run: PlannedRun) -> Beginning:
        """How a run would begin now: found once for all seeds of a system, whose initial values alone differ."""
        name = run.system.name
        if name in self._beginnings:
            return self._beginnings[name]._replace(initial_sha256=None)
        console.say(f'{name}: a file of its code has changed, so its step is traced anew')
        with contextlib.nullcontext(self._tracer) if self._tracer else _tracer() as tracer:
            begun = tracer.submit(_begin, run.system.config, run.options()[1:], self._data_dir)
            self._beginnings[name] = begun.result()
        return self._beginnings[name]

    @contextlib.contextmanager
    def tracing(self) -> Iterator[None]:
        """Within this, steps that have to be traced anew are by one process, which takes seconds to start."""
        with _tracer() as tracer:
            self._tracer = tracer
            try:
                yield
            finally:
                self._tracer = None

    def keep(self, state: State) -> None:
        """Keeps a finished run's record among the results, with what the run is in its study.

        Raises:
            UserError: if it cannot be written.
        """
        run, path = state.run, self.kept(state.run)
        record = state.record | {'study': {'name': self.study.name, 'system': run.system.name, 'role': run.system.role}}
        if path.exists() and record == state.record:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            records.Writer(path.parent, path.name).write(record)
        except OSError as error:
            raise UserError(
                f'cannot write {path}: {error.strerror}; the run is whole, take another folder for --results'
            ) from error


def _record(path: pathlib.Path, run: PlannedRun) -> records.Record | None:
    """A run's record, None where there is no such file."""
    try:
        record = records.read(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f'cannot read {path}: {error.strerror}') from error
    except records.RecordError as error:
        raise UserError(f'{error}; move that file away') from error
    # A key that the record's version of the package did not have yet made no difference to it.
    keys = [
        key
        for key in differing_keys(run.config, record['config'])
        if key in run.system.overrides or _has(record['config'], key)
    ]
    if keys:
        raise UserError(
            f'{path} is of another config than {run.name} of the study, which differs in {", ".join(keys)}; move that '
            'file away, or name the system otherwise'
        )
    return record


def _tracer() -> ProcessPoolExecutor:
    """A process, once it is asked, whose devices are free again when it ends, and which leaves a Ctrl-C to this one."""
    alone = multiprocessing.get_context('spawn')
    return ProcessPoolExecutor(1, alone, signal.signal, (signal.SIGINT, signal.SIG_IGN))


def _begin(path: str, overrides: list[str], data_dir: str | None) -> Beginning:
    os.environ['XLA_PYTHON_CLIENT_PREALLOCATE'] = 'false'  # beside a run that may be on the same device
    return begin(read_config(path, overrides), data_dir)


def _has(config: Mapping[str, Any], key: str) -> bool:
    section, _, rest = key.partition('.')
    return section in config and (not rest or _has(config[section], rest))


def _is_held(lock: pathlib.Path) -> bool:
    """Whether a process is training in the lock's folder."""
    try:
        with open(lock, encoding='utf-8') as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # there is none, or this disk knows no locks
    return False


def diverged(record: records.Record | None) -> bool:
    """Whether a run failed because its loss, or what it was evaluated by, was not finite."""
    not_finite = r'the (loss|evaluation [\w.-]+) is (nan|-?inf) '
    return bool(record) and re.match(not_finite, record['failure'] or '') is not None


def choose(study: Study, states: Sequence[State]) -> dict[str, System]:
    """The systems whose setting the rules have chosen, by name; not those that still miss a run of a candidate.

    A run that diverged counts: it will not get further. One that failed otherwise may, once that is mended.
    """
    chosen = {}
    for tuned in study.tuned:
        found = {
            candidate.name: [
                state.record
                for state in states
                if state.run.system is candidate and (state.status == 'done' or diverged(state.record))
            ]
            for candidate in tuned.candidates
        }
        if all(len(found[candidate.name]) == len(candidate.seeds) for candidate in tuned.candidates):
            name = RULES[tuned.rule](found)
            chosen[tuned.name] = tuned.under(next(each for each in tuned.candidates if each.name == name))
    return chosen
