"""Run records below a folder: those that can be used, as systems of several seeds, and the others with their reason."""

import dataclasses
import datetime
import functools
import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np

from efficiency import records
from efficiency.analysis.crossings import Crossing, find_crossing
from efficiency.analysis.curves import Curve
from efficiency.analysis.facts import Facts, columns_of, facts_of, settings
from efficiency.analysis.reading import read_all
from efficiency.analysis.survival import Seeds
from efficiency.errors import UserError
from efficiency.metrics import Metric, of_record

_LONGEST_IN_A_NAME = 24
_SETTINGS_IN_A_NAME = 2
_HASH = 'hash '  # before one, in a name
_ROUNDING = 1e-6  # a run's last step ends its epochs but for so small a part


@dataclasses.dataclass(frozen=True)
class Target:
    """A level to reach: a metric's value on the very examples of one evaluation split."""

    dataset: str
    fingerprint: str
    metric: Metric
    value: float

    def __str__(self):
        return f'{self.metric.goal(self.value)} on {self.dataset}'

    @property
    def data(self) -> tuple[str, str]:
        """The examples that it is of."""
        return self.dataset, self.fingerprint

    @property
    def order(self) -> tuple:
        """What targets are sorted by."""
        return *self.data, self.metric.name, self.value


@dataclasses.dataclass(frozen=True, eq=False)
class MeasuredRun:
    """One run, as much of its record as the analysis needs.

    Attributes:
        path: of the record, as it was found.
        task: the domain.
        published: the day on which the network was; None where the record does not say it.
        recipe: its config without seed, target and what cannot change a step, as a hash.
        curve: by name, one array over the evaluations: `epochs`, `examples`, `paper_macs`, `train_macs`,
            `train_seconds`, `loss`, each of the metrics and, where batches were taken in parts, `NOISE`.
        metrics: what it was evaluated by, by name.
        also: targets of shorter runs of the same recipe and seed, which it stands for, too.
        forward_dense_macs: of the network, one example.
        matmul_peak_macs_per_second: of the machine that it ran on, None where it was not measured.
        spent_macs: dense, of all its train steps, and of all its evaluations.
        study, system, role: what it was there for, see `efficiency.record_schema.ROLES`; None where no study kept it.
        num_eval: how many examples an evaluation has; None where the record does not say it.
        unit: what its examples are called where they have no end, as 'moves'; it has no epochs and no paper compute
            then, which are NaN in its curve.
    """

    path: str
    task: str
    published: datetime.date | None
    model: str
    seed: int
    target: Target
    status: str
    config: Mapping
    recipe: str
    curve: Mapping[str, np.ndarray]
    metrics: Mapping[str, Metric]
    forward_dense_macs: float
    precision: str
    device: str
    matmul_peak_macs_per_second: float | None
    spent_macs: tuple[int, int]
    study: str | None
    system: str | None
    role: str | None
    num_eval: int | None = None
    also: tuple[Target, ...] = ()
    unit: str | None = None

    @property
    def is_tuning(self) -> bool:
        return self.role == 'tuning'

    @property
    def stopped(self) -> bool:
        """Whether it ended because it had met its own target, before it was trained to its end."""
        if self.status != 'reached' or not self.config.get('stop_at_target', True):
            return False
        epochs, now = self.config.get('num_epochs'), self.curve['epochs'][-1]
        # What has no end has no epochs either.
        return not isinstance(epochs, (int, float)) or np.isnan(now) or bool(now < epochs * (1 - _ROUNDING))

    @property
    def targets(self) -> tuple[Target, ...]:
        """All that it stands for, its own first."""
        return self.target, *(target for target in self.also if target != self.target)

    def can_be_asked(self, target: Target) -> bool:
        """Whether it was evaluated by the target's metric on the target's examples."""
        return self.target.data == target.data and self.metrics.get(target.metric.name) == target.metric

    def crossing(self, metric: Metric, value: float, rule: str = 'first') -> Crossing:
        """What it took to reach a level, by one of the rules of `efficiency.analysis.crossings`."""
        return find_crossing(self.curve, metric, value, rule, self.stopped)


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """A file that is not part of the analysis, and why."""

    path: str
    reason: str


def read_runs(
    folder: str | os.PathLike, progress: Callable[[str], None] = lambda text: None, pool: Executor | None = None
) -> tuple[list[MeasuredRun], list[LeftOut]]:
    """The finished runs below a folder, one for each recipe and seed, tuning apart, and every other with its reason.

    Of runs of one recipe and seed to several targets, which are one run that was stopped at several points, that which
    goes on for longest is taken for all of them. A metric's name means one thing on one data set: that of the first
    record. Of many records what was read is kept in the folder, see `efficiency.analysis.kept_facts`.

    Args:
        folder: with the records below it.
        progress: told how many were read.
        pool: of processes that read, too; see `efficiency.analysis.helpers`.

    Raises:
        UserError: if there is no such folder, or nothing in it is a JSON file.
    """
    if not os.path.isdir(folder):
        raise UserError(f'there is no folder {folder}; --runs is a folder with run records below it')
    paths = list(records.files_below(folder))
    if all(map(os.path.isdir, paths)):
        raise UserError(f'no file below {folder} ends in .json; run records are run.json, one in each workdir')
    left_out = []
    runs: dict[tuple, MeasuredRun] = {}
    metrics: dict[tuple, tuple[Metric, str]] = {}
    for path, read in read_all(folder, paths, progress, pool):
        if isinstance(read, str):
            left_out.append(LeftOut(path, read))
            continue
        run = _run_of(read, path)
        identity = (run.model, *run.target.data, run.recipe, run.seed, run.is_tuning)
        if run.status not in ('reached', 'exhausted'):
            left_out.append(LeftOut(path, f'is incomplete: its status is {run.status}'))
        elif not len(run.curve['epochs']):
            left_out.append(LeftOut(path, 'has no evaluations'))
        elif other := _defined_otherwise(run, metrics):
            left_out.append(LeftOut(path, other))
        elif identity in runs:
            runs[identity], shorter = longer(runs[identity], run)
            left_out.append(LeftOut(shorter.path, f'is of the same recipe and seed as {runs[identity].path}'))
        else:
            runs[identity] = run
    return list(runs.values()), left_out


def _defined_otherwise(run: MeasuredRun, metrics: dict[tuple, tuple[Metric, str]]) -> str | None:
    """Why a run's metrics cannot be those of the runs before it on its data, None where they are; notes new ones."""
    known = {name: metrics.get((*run.target.data, name)) for name in run.metrics}
    for name, metric in run.metrics.items():
        if known[name] and known[name][0] != metric:
            return f'has another metric named {name} than {known[name][1]}, in its unit, direction or bounds'
    for name, metric in run.metrics.items():
        metrics.setdefault((*run.target.data, name), (metric, run.path))
    return None


def longer(a: MeasuredRun, b: MeasuredRun) -> tuple[MeasuredRun, MeasuredRun]:
    """That of two runs of one recipe and seed which goes on for longer, for the other's targets too, and the other."""
    more, less = (b, a) if b.curve['train_macs'][-1] > a.curve['train_macs'][-1] else (a, b)
    also = [target for target in less.targets if more.can_be_asked(target)]
    return dataclasses.replace(more, also=tuple(dict.fromkeys([*more.also, *also]))), less


def as_run(record: records.Record, path: str) -> MeasuredRun:
    """A valid record, as much of it as the analysis needs."""
    return _run_of(facts_of(record), path)


def _run_of(facts: Facts, path: str) -> MeasuredRun:
    said, metrics = facts.said, of_record(facts.said)
    (name, fingerprint, num_eval), (metric, value) = said['dataset'], said['target']
    study, system, role = said['study']
    return MeasuredRun(
        path=path,
        task=said['task'],
        published=_date(said['published']),
        model=said['model'],
        seed=said['seed'],
        target=Target(name, fingerprint, metrics[metric], value),
        status=said['status'],
        config=said['config'],
        recipe=said['recipe'],
        curve=dict(zip(columns_of(metrics, said['noise']), facts.evaluations, strict=True)),
        metrics=metrics,
        forward_dense_macs=said['forward_dense_macs'],
        precision=said['precision'],
        device=said['device'],
        matmul_peak_macs_per_second=said['matmul_peak_macs_per_second'],
        spent_macs=tuple(said['spent_macs']),
        study=study,
        system=system,
        role=role,
        num_eval=num_eval,
        unit=said['unit'],
    )


@dataclasses.dataclass(frozen=True, eq=False)
class System:
    """One network under one recipe on one data set: its runs differ in their seed.

    Attributes:
        name: the network's, or the learner's, with what tells this recipe from others of the same.
    """

    name: str
    model: str
    runs: Sequence[MeasuredRun]

    def curves(self, metric: Metric) -> list[Curve]:
        """Each run's values of a metric over training compute, as `efficiency.analysis.curves` reads them."""
        return [Curve(run.curve[metric.name], run.curve['train_macs'], run.stopped) for run in self.runs]

    @functools.cached_property
    def _found(self) -> dict[tuple[Metric, float, str], list[tuple[MeasuredRun, Crossing]]]:
        return {}

    def crossings(self, target: Target, rule: str = 'first') -> list[tuple[MeasuredRun, Crossing]]:
        """What each run took to reach a level, those that never did last, by what they took; see `Run.crossing`."""
        asked = target.metric, target.value, rule
        if asked not in self._found:
            found = [(run, run.crossing(*asked)) for run in self.runs]
            self._found[asked] = sorted(found, key=lambda item: (item[1].train_macs, item[1].censored, item[0].seed))
        return self._found[asked]


def seeds_of(crossings: Sequence[tuple[MeasuredRun, Crossing]], key: str = 'train_macs') -> Seeds:
    """What each run took in one of the amounts of a `Crossing`, and which were stopped before they got there."""
    values, censored = zip(*((getattr(crossing, key), crossing.censored) for _, crossing in crossings), strict=True)
    return Seeds(values, censored)


def systems(runs: Sequence[MeasuredRun]) -> list[System]:
    """Runs of one data set by network and recipe, in the order of their names."""
    groups = defaultdict(list)
    for run in runs:
        groups[run.model, run.recipe].append(run)
    recipes = {key: dict(_flat(settings(group[0].config))) for key, group in groups.items()}
    called = {key: _called(group[0]) for key, group in groups.items()}
    of_one_name = defaultdict(list)
    for key, name in called.items():
        of_one_name[name].append(key)
    differing = {name: _differing_keys([recipes[key] for key in keys]) for name, keys in of_one_name.items()}
    names = {key: _name(called[key], recipes[key], differing[called[key]]) for key in recipes}
    # What a hash or many settings would tell apart, the studies may have names for.
    for name, keys in of_one_name.items():
        if len(differing[name]) > _SETTINGS_IN_A_NAME or any(f'={_HASH}' in names[key] for key in keys):
            asked = [_system_of_study(groups[key]) for key in keys]
            if None not in asked and len({*asked}) == len(asked):
                names |= {
                    key: name if system == name else f'{name} ({system})'
                    for key, system in zip(keys, asked, strict=True)
                }
    return sorted(
        (System(names[key], key[0], sorted(group, key=lambda run: run.seed)) for key, group in groups.items()),
        key=lambda system: system.name,
    )


def _called(run: MeasuredRun) -> str:
    """What a run is of, in a word: its network or, where data have no end, as of games, the learner of its config."""
    learner = run.config.get('learner')
    return learner if run.unit is not None and isinstance(learner, str) else run.model


def _system_of_study(runs: Sequence[MeasuredRun]) -> str | None:
    """What the studies that kept these runs call them; None where that is not one name."""
    found = {run.system for run in runs}
    return next(iter(found)) if len(found) == 1 else None


def _differing_keys(configs: Sequence[Mapping]) -> list[str]:
    """Keys that are not the same in all recipes."""
    values = defaultdict(set)
    for config in configs:
        for key, value in config.items():
            values[key].add(repr(value))
    everywhere = {key for key in values if all(key in config for config in configs)}
    return sorted(key for key in values if len(values[key]) > 1 or key not in everywhere)


def _name(called: str, recipe: Mapping, differing: Sequence[str]) -> str:
    """What a run is called, followed by what tells its recipe from the others that are called so."""
    if not differing:
        return called
    return (
        f'{called} ({", ".join(f"{key}={_short(recipe[key])}" for key in differing if key in recipe) or "otherwise"})'
    )


def _short(value: object) -> str:
    """A value as a name has it: what is long, as stages are, by a hash that is another for each."""
    text = str(value)
    return text if len(text) <= _LONGEST_IN_A_NAME else _HASH + hashlib.sha256(repr(value).encode()).hexdigest()[:6]


def _date(text: str | None) -> datetime.date | None:
    try:
        return text and datetime.date.fromisoformat(text)
    except ValueError:
        return None


def _flat(config: Mapping, prefix: str = '') -> Iterator[tuple[str, object]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f'{prefix}{key}.')
        else:
            yield prefix + key, value


def of_one_recipe(
    by_value: Mapping[Any, Sequence[MeasuredRun]], key: str
) -> list[tuple[str, Mapping[Any, Sequence[MeasuredRun]]]]:
    """Runs of one network by the value of a key of their configs, those together that differ in nothing else.

    Returns:
        What tells each group from the others, '' for one alone, and its runs by value.
    """
    groups: dict[str, dict[Any, list[MeasuredRun]]] = defaultdict(lambda: defaultdict(list))
    rests = {}
    for value, runs in by_value.items():
        for run in runs:
            rest = {name: each for name, each in _flat(settings(run.config)) if name != key}
            rests[repr(sorted(rest.items()))] = rest
            groups[repr(sorted(rest.items()))][value].append(run)
    differing = _differing_keys(list(rests.values()))
    named = ((_name('', rests[rest], differing).strip(), group) for rest, group in groups.items())
    return sorted(named, key=lambda each: each[0])


def have_one_recipe(by_value: Mapping[Any, Sequence[MeasuredRun]]) -> bool:
    """Whether the runs of each value are of one recipe, whatever tells these from each other."""
    return all(len({run.recipe for run in runs}) == 1 for runs in by_value.values())


def shared_targets(runs: Sequence[MeasuredRun]) -> list[Target]:
    """The targets of the runs that at least two networks have as their own, those of most runs first.

    Where no two networks share one, every target.
    """
    networks, counts = defaultdict(set), defaultdict(int)
    for run in runs:
        for target in run.targets:
            networks[target].add(run.model)
            counts[target] += 1
    shared = [target for target in networks if len(networks[target]) > 1]
    return sorted(shared or networks, key=lambda target: (-counts[target], target.order))
