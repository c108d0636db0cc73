"""Makes the runs of a study that are missing, cheapest first, and says what they say and what they cost.

    python -m efficiency.study --study=studies/learning_rate.py
    python -m efficiency.study --study=studies/mnist5k.py --list

Each run is one of `python -m efficiency.main`, in RUNS/<study>/<system>/seed<k>, with what it prints beside it in
seed<k>.log. Its finished record is kept as RESULTS/<study>/<system>/seed<k>.json. Runs that were interrupted are gone
on with, and those that failed are tried again. Exit codes: 0 all that was asked for is there; 1 a run failed, and the
others went on; 2 a mistake in the command or the study; 143 stopped by SIGTERM and 130 by Ctrl-C.
"""

import argparse
import contextlib
import fnmatch
import importlib
import math
import os
import signal
import sys
from collections.abc import Sequence

from efficiency import console
from efficiency.arguments import Parser
from efficiency.engines import ENGINES
from efficiency.errors import RunError, Stopped, UserError, named, shown
from efficiency.training.evaluation_log import check_names

_NAMED = 4
_GO_ON = 'mend that, and the same command goes on'


class _StopSignals:
    """Keeps signals to stop until they are asked for: an exception at any moment is more than engines can bear."""

    def __init__(self, when_stopped: str):
        self._when_stopped = when_stopped

    def __enter__(self) -> '_StopSignals':
        self._received: int | None = None
        self._previous = {number: signal.signal(number, self._keep) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *error) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _keep(self, signum, frame):
        self._received = signum

    def check(self) -> None:
        """Raises Stopped if there was one."""
        if self._received is not None:
            raise Stopped(f'stopped; {self._when_stopped}', self._received)


@console.command
def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = _parse(argv)
    engine = importlib.import_module(f'efficiency.engines.{options.engine}')
    engine.check(options.engine_options)
    try:
        with _StopSignals(engine.WHEN_STOPPED) as signals:
            return _study(options, engine, signals)
    except OSError as error:
        from efficiency.training.workdir import NO_ROOM

        if error.errno not in NO_ROOM:
            raise
        raise RunError(f'cannot write {error.filename}: {error.strerror}; {_GO_ON}') from error


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser('efficiency.study', __doc__)
    parser.add_argument('--study', metavar='FILE', type=os.path.expanduser, help='a file of studies/')
    parser.add_argument('--list', action='store_true', help='say what there is of each run, and make nothing')
    parser.add_argument('--only', metavar='GLOB', help="these systems or runs alone, as 'lenet5*' or lenet5/seed0")
    parser.add_argument('--jobs', metavar='N', help='runs at once: 1 by default here, no bound elsewhere')
    parser.add_argument('--engine', default='local', help='what runs them: local, slurm or ray')
    parser.add_argument(
        '--engine_options', metavar='WORDS', default='', help="sbatch's, or of a Ray task, as 'num_cpus=4 num_gpus=1'"
    )
    parser.add_argument('--runs', metavar='DIR', default='runs', help='folder of the workdirs')
    parser.add_argument('--results', metavar='DIR', default='results', help='folder of the finished records')
    parser.add_argument('--data_dir', metavar='DIR', help='as for efficiency.main')
    parser.add_argument('--data_workers', metavar='N', help='as for efficiency.main')
    parser.add_argument(
        '--changed_code',
        action='store_true',
        help='take finished runs, and go on with others, of whatever code, weights or data',
    )
    parser.add_argument('--log', metavar='LOGS', help='as for efficiency.main')
    options = parser.parse_args(argv)
    if not options.study:
        raise UserError('which study? Pass one with --study, as --study=studies/mnist5k.py')
    named(dict.fromkeys(ENGINES), 'engine', options.engine)
    if options.log:
        check_names(options.log.split(','))
    for name, low in (('jobs', 1), ('data_workers', 0)):
        text = getattr(options, name)
        if text is not None and not (text.isascii() and text.isdigit() and int(text) >= low):
            raise UserError(f'--{name}={text} is not a whole number, {low} or more')
    options.jobs = options.jobs and int(options.jobs)
    return options


def _study(options: argparse.Namespace, engine, signals: _StopSignals) -> int:
    # Nothing heavy before the options are known to be right.
    from efficiency.studies.definition import read_study
    from efficiency.studies.state import Folders
    from efficiency.studies.text import listing, what_it_says

    study = read_study(options.study)
    _check_only(study, options.only)
    choosing = _choosing(study, options.only)

    def checks(run):
        return not options.changed_code and (_is_wanted(run, options.only) or run.system.name in choosing)

    folders = Folders(study, options.runs, options.results, options.data_dir, checks)
    if options.list:
        with folders.tracing():
            systems, states, _ = _now(study, folders, engine)
        console.deliver(listing(study, systems, states, lambda run: _is_wanted(run, options.only)))
        return 0
    systems, states = _make(study, folders, options, engine, signals)
    print(what_it_says(study, systems, states))
    return _complain([state for state in states if _is_wanted(state.run, options.only)])


def _complain(states) -> int:
    """Says which runs are not done though they were asked for; returns the exit code."""
    left = [state for state in states if state.status != 'done']
    if not left:
        return 0
    names = ', '.join(state.run.name for state in left[:_NAMED]) + (', ...' if len(left) > _NAMED else '')
    first = 'is run by another command' if left[0].status == 'running' else f'{left[0].status}, {left[0].detail}'
    console.say(f'{len(left)} of {len(states)} runs are not done, {names}: the first {first}; --list shows each')
    return 1


def _now(study, folders, engine):
    """The systems whose settings are known by now, the state of each of their runs, and what the engine has of them."""
    from efficiency.studies.state import choose

    queue = engine.under_way(folders.runs)
    states = [folders.state(run) for system in study.fixed for run in system.runs()]
    chosen = choose(study, states)
    taken = {repr(sorted(state.run.config.items())) for state in states}
    for system in chosen.values():
        # Where the rule chooses what another system is, its runs are that one's.
        new = [run for run in system.runs() if repr(sorted(run.config.items())) not in taken]
        states += [folders.state(run) for run in new]
    states = [
        state._replace(status=queue[state.run.name], detail='')
        if state.status != 'done' and state.run.name in queue
        else state
        for state in states
    ]
    return [*study.fixed, *chosen.values()], states, queue


def _is_wanted(run, only: str | None) -> bool:
    return only is None or fnmatch.fnmatchcase(run.name, only) or fnmatch.fnmatchcase(run.system.name, only)


def _has_wanted(system, only: str | None) -> bool:
    from efficiency.studies.definition import PlannedRun

    return any(_is_wanted(PlannedRun(system, seed), only) for seed in system.seeds)


def _choosing(study, only: str | None) -> set[str]:
    """The names of the systems by which a setting is chosen for one that is wanted."""
    tuned = (each for each in study.tuned if _has_wanted(each, only))
    return {candidate.name for each in tuned for candidate in each.candidates}


def _check_only(study, only: str | None) -> None:
    systems = [*study.fixed, *study.tuned]
    if not any(_has_wanted(system, only) for system in systems):
        names = ', '.join(system.name for system in systems)
        raise UserError(f'--only={shown(only)} matches no run and no system of the study; its systems are {names}')


def _make(study, folders, options: argparse.Namespace, engine, signals: _StopSignals):
    """Makes what is missing, the runs of chosen settings after those that they are chosen by."""
    from efficiency.studies.order import expected_macs
    from efficiency.studies.progress import Progress
    from efficiency.studies.state import OF_OTHER_CODE

    more = [f'--{name}={value}' for name in ('data_dir', 'data_workers', 'log') if (value := getattr(options, name))]
    more += ['--changed_code'] * options.changed_code
    tried = set()
    while True:
        with folders.tracing():
            systems, states, watched = _now(study, folders, engine)
        for state in states:
            if state.status == OF_OTHER_CODE:
                raise UserError(state.detail)
            if state.status == 'done' and _is_wanted(state.run, options.only):  # of others the code was not looked at
                folders.keep(state)
        # What another command runs at this moment is that one's; what an earlier one left with the engine is watched.
        todo = [
            state.run
            for state in states
            if state.status != 'done'
            and (state.status != 'running' or state.run.name in watched)
            and state.run.name not in tried
            and _is_wanted(state.run, options.only)
        ]
        if not todo:
            return systems, states
        folders.make()
        with Progress(len(todo), folders) as progress:
            wanted = {run.system.name: run.system for run in todo}
            macs = {}
            for system, each in expected_macs(list(wanted.values()), states, options.data_dir):
                signals.check()
                takes = f'{each:.3g}' if each < math.inf else 'an unknown number of'
                progress.line(f'{system} takes {takes} train macs')
                macs[system] = each
            todo.sort(key=lambda run: macs[run.system.name])
            tasks = {run.name: folders.task(run, more) for run in todo}
            stopped = {state.run.name: state.detail for state in states if state.status == 'stopped'}
            progress.begin([macs[run.system.name] for run in todo])
            runs = {run.name: run for run in todo}
            with contextlib.closing(
                engine.run(list(tasks.values()), options.jobs, options.engine_options, folders.runs)
            ) as events:
                for event in events:
                    signals.check()
                    if event is None:
                        progress.look()
                    elif not event.ended:
                        progress.started(event.task, stopped.get(event.task.name))
                    else:
                        state = folders.state(runs[event.task.name])
                        if state.status == 'done':
                            folders.keep(state)
                        progress.ended(event.task, state)
        tried |= set(runs)


if __name__ == '__main__':
    console.start(outlives=True)
    sys.exit(main())
