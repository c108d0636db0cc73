"""What there is of a study's runs: done, running, stopped, failed or missing; and what they have computed."""

import fcntl
import pathlib
import re
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from efficiency import records
from efficiency.engines.tasks import Task, last_try
from efficiency.errors import UserError
from efficiency.studies.choice import RULES
from efficiency.studies.definition import Run, Study, System
from efficiency.training.settings import differing_keys

_STOPPED = (143, 130, -15, -2)


class State(NamedTuple):
    """One run as it is now.

    Attributes:
        run: it.
        status: 'done', 'running', 'stopped' (the same command goes on with it), 'failed' or 'missing'.
        detail: in words: reached or exhausted, how far it is, why it failed.
        record: as it is now, or None.
    """

    run: Run
    status: str
    detail: str = ''
    record: records.Record | None = None


class Folders:
    """Where a study's runs are and where its records are kept.

    Args:
        runs: of the workdirs, `<study>/<system>/seed<k>` below it.
        results: of the finished records, `<study>/<system>/seed<k>.json` below it.
    """

    def __init__(self, study: Study, runs: str, results: str):
        self.study = study
        self.runs = pathlib.Path(runs).expanduser().absolute() / study.name
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

    def task(self, run: Run, more: Sequence[str] = ()) -> Task:
        """What an engine is given, with more options of the main command."""
        return Task(run.name, [*run.options(), *more], self.runs / run.name)

    def kept(self, run: Run) -> pathlib.Path:
        """Where its finished record is kept."""
        return self._results / f'{run.name}.json'

    def state(self, run: Run) -> State:
        """What there is of a run.

        Raises:
            UserError: if a file in its place is the record of another run, or none.
        """
        kept = _record(self.kept(run), run)
        if kept:
            return State(run, 'done', kept['status'], kept)
        task = self.task(run)
        record = _record(task.workdir / records.FILE_NAME, run)
        if record and records.is_finished(record):
            return State(run, 'done', record['status'], record)
        steps = sum(program['steps'] for program in record['programs']) if record else 0
        if _is_held(task.workdir / '.lock'):
            return State(run, 'running', f'step {steps}', record)
        tried = last_try(task.log)
        if record and record['status'] == 'failed':
            return State(run, 'failed', record['failure'] or '', record)
        if tried and tried.code is not None and tried.code not in _STOPPED:
            return State(run, 'failed', tried.sentence or f'it ended with exit code {tried.code}', record)
        if record or tried:
            return State(run, 'stopped', f'at step {steps}', record)
        return State(run, 'missing')

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


def _record(path: pathlib.Path, run: Run) -> records.Record | None:
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
    """Whether a run failed because its loss was not finite."""
    return bool(record) and re.match(r'the (evaluation )?loss is (nan|-?inf) ', record['failure'] or '') is not None


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
