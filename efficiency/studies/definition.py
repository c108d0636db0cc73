"""A study as its file in `studies/` states it, every mistake in it found before anything is made.

The file is Python with a function `get_study()` that returns plain data:

    {
        'baseline': name of the system that others are compared with; may be left out,
        'seeds': whole numbers, of every system without seeds of its own,
        'overrides': {key of the config: value}, of every system,
        'levels': [{'of': a system, 'less': ..., 'step': ...}], see `efficiency.studies.levels`; may be left out,
        'systems': {name, which is a folder's: {
            'config': FILE[:PRESET], as the main command takes it,
            'seeds': ..., 'overrides': {...},
            'tune': {'settings': {key: [values]}, 'seeds': ..., 'rule': a name of `efficiency.studies.choice.RULES`},
        }},
    }

A system with `tune` is trained under the setting that the rule chooses among all combinations of `settings`, each of
them a system of its own, `<name>-<key>=<value>`, whose runs are tuning.
"""

import dataclasses
import importlib.util
import itertools
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from efficiency.config_file import place_in, read_config
from efficiency.errors import UserError, named, shown
from efficiency.studies.choice import RULES
from efficiency.studies.levels import Level, level_of
from efficiency.training.settings import check_config

_STUDY_KEYS = ('baseline', 'levels', 'overrides', 'seeds', 'systems')
_SYSTEM_KEYS = ('config', 'overrides', 'seeds', 'tune')
_TUNE_KEYS = ('rule', 'seeds', 'settings')
_FOLDER = re.compile(r'\w[\w.,=+-]{0,99}', re.ASCII)


@dataclasses.dataclass(frozen=True, eq=False)
class System:
    """A network under a recipe, to be trained from several seeds.

    Attributes:
        name: its folder's.
        config: FILE[:PRESET].
        overrides: keys of the config that are set, and their values.
        seeds: one run each.
        role: one of `efficiency.record_schema.ROLES`.
        settled: the config that all this comes to, but for its seed.
    """

    name: str
    config: str
    overrides: Mapping[str, Any]
    seeds: Sequence[int]
    role: str
    settled: Mapping[str, Any]

    def runs(self) -> list['PlannedRun']:
        return [PlannedRun(self, seed) for seed in self.seeds]


@dataclasses.dataclass(frozen=True, eq=False)
class Tuned:
    """A system whose setting is chosen by the runs of candidates.

    Attributes:
        name, seeds, role: as of a `System`.
        candidates: a system for each setting.
        rule: by which one of them is chosen.
    """

    name: str
    seeds: Sequence[int]
    role: str
    candidates: Sequence[System]
    rule: str

    def under(self, chosen: System) -> System:
        """This system under a candidate's setting."""
        return dataclasses.replace(chosen, name=self.name, seeds=self.seeds, role=self.role)


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """One seed of a system."""

    system: System
    seed: int

    @property
    def name(self) -> str:
        return f'{self.system.name}/seed{self.seed}'

    @property
    def config(self) -> dict[str, Any]:
        """What its record's config must be."""
        return {**self.system.settled, 'seed': self.seed}

    def options(self) -> list[str]:
        """Of the main command, to train it."""
        overrides = [f'--config.{key}={value}' for key, value in self.system.overrides.items()]
        return [f'--config={self.system.config}', *overrides, f'--config.seed={self.seed}']


@dataclasses.dataclass(frozen=True)
class Study:
    """Runs that answer one question.

    Attributes:
        name: its file's, without .py.
        baseline: the name of the system that others are compared with, or None.
        systems: with their candidates apart.
        levels: which systems are asked for, in place of the targets of their configs.
    """

    name: str
    baseline: str | None
    systems: Sequence[System | Tuned]
    levels: Sequence[Level] = ()

    @property
    def fixed(self) -> list[System]:
        """All systems whose setting is known from the file: candidates, too."""
        return [each for system in self.systems for each in getattr(system, 'candidates', [system])]

    @property
    def tuned(self) -> list[Tuned]:
        """Those that wait for their candidates."""
        return [system for system in self.systems if isinstance(system, Tuned)]


def read_study(path: str) -> Study:
    """The study of a file.

    Raises:
        UserError: for a mistake in it, or in what it names; says where.
    """
    data = _data(path)
    try:
        return _study(pathlib.Path(path).stem, data)
    except UserError as error:
        raise UserError(f'{path}: {error}') from error


def _data(path: str) -> Any:
    file = pathlib.Path(path)
    if not file.is_file():
        there = ', '.join(sorted(other.name for other in file.parent.glob('*.py'))) if file.parent.is_dir() else ''
        raise UserError(f'there is no study file {path}' + (f'; in {file.parent} there are {there}' if there else ''))
    try:
        spec = importlib.util.spec_from_loader('study', importlib.machinery.SourceFileLoader('study', path))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        if not hasattr(module, 'get_study'):
            raise UserError(f'{path} must have a function get_study(), which returns its study as a dict')
        return module.get_study()
    except UserError:
        raise
    except Exception as error:  # whatever a file of the user's may raise
        where = place_in(path, error) or f'{path}: {type(error).__name__}: {error}'
        raise UserError(' '.join(where.split())) from error


def _study(name: str, data: Any) -> Study:
    if not _FOLDER.fullmatch(name):
        raise UserError(f'a study is named as its file, and {shown(name)} cannot be a folder; {_LETTERS}')
    _check_keys(data, _STUDY_KEYS, 'the study')
    systems = data.get('systems')
    if not isinstance(systems, dict) or not systems:
        raise UserError(f'systems is {shown(systems)}; it must be a dict of systems by their names')
    baseline = data.get('baseline')
    if baseline is not None:
        named(systems, 'system', baseline)
    found = []
    for system, own in systems.items():
        try:
            found.append(_system(system, own, data, 'baseline' if system == baseline else 'compared'))
        except UserError as error:
            raise UserError(f'system {shown(system)}: {error}') from error
    levels = data.get('levels', [])
    if not isinstance(levels, list | tuple):
        raise UserError(f'levels is {shown(levels)}; it must be a list of levels')
    study = Study(name, baseline, found, [level_of(level, systems) for level in levels])
    _check_trained_to_the_end(study)
    _check_names([*study.fixed, *study.tuned])
    _check_no_run_twice(study)
    return study


def _check_trained_to_the_end(study: Study) -> None:
    """A level of runs that were stopped at a target would be that target."""
    asked = {level.of for level in study.levels}
    for system in study.systems:
        settled = [each.settled for each in getattr(system, 'candidates', [system])]
        if system.name in asked and any(each['stop_at_target'] for each in settled):
            raise UserError(f"a level is of {system.name}, which stops at its target; override 'stop_at_target': False")


_LETTERS = "a name is of letters, digits and . , _ = + -, as 'lenet5-learning_rate=0.1'"


def _system(name: Any, own: Any, study: Mapping[str, Any], role: str) -> System | Tuned:
    if not isinstance(name, str) or not _FOLDER.fullmatch(name):
        raise UserError(f'its name cannot be that of a folder; {_LETTERS}')
    _check_keys(own, _SYSTEM_KEYS, 'it')
    if not isinstance(own.get('config'), str):
        raise UserError(f'its config is {shown(own.get("config"))}; it must be a file, as configs/lenet5.py:mnist5k')
    seeds = _seeds(own.get('seeds', study.get('seeds')), 'seeds')
    overrides = _overrides(study) | _overrides(own)
    if 'tune' not in own:
        return System(name, own['config'], overrides, seeds, role, _settled(own['config'], overrides))
    tune = own['tune']
    _check_keys(tune, _TUNE_KEYS, 'tune')
    named(RULES, 'rule', tune.get('rule', ''))
    tuning_seeds = _seeds(tune.get('seeds'), 'tune.seeds')
    if both := set(seeds) & set(tuning_seeds):
        raise UserError(
            f'seed {min(both)} is in seeds and in tune.seeds; a run that a setting was chosen by does not measure it'
        )
    candidates = []
    for setting in _combinations(tune.get('settings')):
        candidate = f'{name}-{",".join(f"{_of_folder(key)}={value}" for key, value in setting.items())}'
        if not _FOLDER.fullmatch(candidate):
            raise UserError(f'the name of its setting, {shown(candidate)}, cannot be that of a folder; {_LETTERS}')
        settled = _settled(own['config'], overrides | setting)
        candidates.append(System(candidate, own['config'], overrides | setting, tuning_seeds, 'tuning', settled))
    return Tuned(name, seeds, role, candidates, tune['rule'])


def _of_folder(key: str) -> str:
    """A key as the name of a folder has it: optimizer.groups[1].learning_rate without its brackets."""
    return re.sub(r'\[(\d+)\]', r'.\1', key)


def _check_keys(data: Any, known: Sequence[str], what: str) -> None:
    if not isinstance(data, dict):
        raise UserError(f'{what} is {shown(data)}; it must be a dict with keys of {", ".join(known)}')
    for key in data:
        named(dict.fromkeys(known), f'key of {what}', key)


def _seeds(seeds: Any, key: str) -> tuple[int, ...]:
    try:
        found = tuple(seeds)
    except TypeError:
        found = ()
    whole = all(type(seed) is int and 0 <= seed < 2**31 for seed in found)
    if not found or not whole or len(set(found)) < len(found):
        wanted = 'whole numbers from 0 to 2147483647, each once, as range(3) or [0, 1, 2]'
        raise UserError(f'{key} is {shown(seeds)}; it must be {wanted}')
    return found


def _overrides(data: Mapping[str, Any]) -> dict[str, Any]:
    overrides = data.get('overrides', {})
    if not isinstance(overrides, dict) or 'seed' in overrides:
        raise UserError(
            f'overrides is {shown(overrides)}; it must be a dict of config keys and values, without the seed'
        )
    return overrides


def _combinations(settings: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(settings, dict) or not all(isinstance(v, list | tuple) and v for v in settings.values() or [0]):
        raise UserError(
            f'tune.settings is {shown(settings)}; it must be config keys with values to choose from, as '
            "{'learning_rate': [0.01, 0.1]}"
        )
    for values in itertools.product(*settings.values()):
        yield dict(zip(settings, values, strict=True))


def _settled(path: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The config as the main command will have it, but for its seed.

    Raises:
        UserError: for a config that is not there, a key that it does not have, a value that it cannot take.
    """
    config = read_config(path, [f'--config.{key}={value}' for key, value in overrides.items()])
    settled = check_config(config).to_dict()
    for key, value in overrides.items():
        holder = settled
        for part in re.findall(r'[^.\[\]]+', key):
            holder = holder[int(part) if isinstance(holder, list | tuple) else part]
        if holder != value:
            raise UserError(f'config.{key} cannot be {shown(value)}; on a command line that is {shown(holder)}')
    del settled['seed']
    return settled


def _check_names(systems: Sequence[System | Tuned]) -> None:
    seen = set()
    for system in systems:
        if system.name.lower() in seen:  # some disks do not tell them apart
            raise UserError(f'two systems are named {shown(system.name)}, capital letters apart; name one otherwise')
        seen.add(system.name.lower())


def _check_no_run_twice(study: Study) -> None:
    seen: dict[str, str] = {}
    for run in (run for system in study.fixed for run in system.runs()):
        key = repr(sorted(run.config.items()))
        if key in seen:
            raise UserError(f'{seen[key]} and {run.name} are the same run; let one of the systems go, or its seed')
        seen[key] = run.name
