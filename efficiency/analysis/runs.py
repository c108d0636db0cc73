"""Run records below a folder: those that can be used, as systems of several seeds, and the others with their reason."""

import dataclasses
import datetime
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from efficiency import records
from efficiency.analysis.crossings import AMOUNTS, Crossing, find_crossing
from efficiency.analysis.curves import Curve
from efficiency.analysis.survival import Seeds
from efficiency.errors import UserError
from efficiency.metrics import Metric, of_record
from efficiency.record_schema import NOISE

# What may differ between runs of one recipe: none of it changes a step before the target is met.
_NOT_THE_RECIPE = ('seed', 'target', 'stop_at_target', 'eval_batch_size')
_LONGEST_IN_A_NAME = 24
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
    folder: str | os.PathLike, progress: Callable[[str], None] = lambda text: None
) -> tuple[list[MeasuredRun], list[LeftOut]]:
    """The finished runs below a folder, one for each recipe and seed, tuning apart, and every other with its reason.

    Of runs of one recipe and seed to several targets, which are one run that was stopped at several points, that which
    goes on for longest is taken for all of them. A metric's name means one thing on one data set: that of the first
    record.

    Raises:
        UserError: if there is no such folder, or nothing in it is a JSON file.
    """
    if not os.path.isdir(folder):
        raise UserError(f'there is no folder {folder}; --runs is a folder with run records below it')
    left_out, files = [], 0
    runs: dict[tuple, MeasuredRun] = {}
    metrics: dict[tuple, tuple[Metric, str]] = {}
    for path in records.files_below(folder):
        if os.path.isdir(path):
            left_out.append(LeftOut(path, 'is a folder; what records are below it are read'))
            continue
        files += 1
        progress(f'{files} records read')
        try:
            run = as_run(records.read(path), path)
        except (records.RecordError, OSError) as error:
            left_out.append(LeftOut(path, _reason(error, path)))
            continue
        identity = (run.model, *run.target.data, run.recipe, run.seed, run.is_tuning)
        if run.status not in ('reached', 'exhausted'):
            left_out.append(LeftOut(path, f'is incomplete: its status is {run.status}'))
        elif not len(run.curve['epochs']):
            left_out.append(LeftOut(path, 'has no evaluations'))
        elif other := _defined_otherwise(run, metrics):
            left_out.append(LeftOut(path, other))
        elif identity in runs:
            runs[identity], shorter = _longer(runs[identity], run)
            left_out.append(LeftOut(shorter.path, f'is of the same recipe and seed as {runs[identity].path}'))
        else:
            runs[identity] = run
    if not files:
        raise UserError(f'no file below {folder} ends in .json; run records are run.json, one in each workdir')
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


def _longer(a: MeasuredRun, b: MeasuredRun) -> tuple[MeasuredRun, MeasuredRun]:
    """That of two runs of one recipe and seed which goes on for longer, for the other's targets too, and the other."""
    longer, shorter = (b, a) if b.curve['train_macs'][-1] > a.curve['train_macs'][-1] else (a, b)
    also = [target for target in shorter.targets if longer.can_be_asked(target)]
    return dataclasses.replace(longer, also=tuple(dict.fromkeys([*longer.also, *also]))), shorter


def _reason(error: Exception, path: str) -> str:
    if isinstance(error, OSError):
        return f'cannot be read: {error.strerror}'
    return str(error).removeprefix(path).strip()


def as_run(record: records.Record, path: str) -> MeasuredRun:
    """A valid record, as much of it as the analysis needs."""
    config = record['config']
    curve, dataset, study = record['curve'], record['dataset'], record.get('study') or {}
    metrics, target = of_record(record), record['target']
    return MeasuredRun(
        path=path,
        task=records.task_of(record),
        published=_date(record.get('published')),
        model=record['model'],
        seed=record['seed'],
        target=Target(dataset['name'], dataset['fingerprint'], metrics[target['metric']], target['value']),
        status=record['status'],
        config=config,
        recipe=_recipe(config),
        curve={
            **{key: np.array([point[key] for point in curve], float) for key in (*AMOUNTS, 'loss', *metrics)},
            **{key: np.array([point[key] for point in curve], float) for key in NOISE if curve and key in curve[-1]},
        },
        metrics=metrics,
        forward_dense_macs=record['macs_per_example']['forward_dense'],
        precision=record['precision'],
        device=f'{record["devices"]["count"]} x {record["devices"]["kind"]}',
        matmul_peak_macs_per_second=record['throughput'].get('matmul_peak_macs_per_second'),
        spent_macs=records.spent(record),
        study=study.get('name'),
        system=study.get('system'),
        role=study.get('role'),
        num_eval=dataset.get('num_eval'),
        unit=record.get('unit'),
    )


def _recipe(config: Mapping) -> str:
    return hashlib.sha256(json.dumps(_settings(config), sort_keys=True).encode()).hexdigest()[:12]


def _settings(config: Mapping) -> dict:
    return {key: value for key, value in config.items() if key not in _NOT_THE_RECIPE}


@dataclasses.dataclass(frozen=True, eq=False)
class System:
    """One network under one recipe on one data set: its runs differ in their seed.

    Attributes:
        name: the network's, with what tells this recipe from others of the same network.
    """

    name: str
    model: str
    runs: Sequence[MeasuredRun]

    def curves(self, metric: Metric) -> list[Curve]:
        """Each run's values of a metric over training compute, as `efficiency.analysis.curves` reads them."""
        return [Curve(run.curve[metric.name], run.curve['train_macs'], run.stopped) for run in self.runs]

    def crossings(self, target: Target, rule: str = 'first') -> list[tuple[MeasuredRun, Crossing]]:
        """What each run took to reach a level, those that never did last, by what they took; see `Run.crossing`."""
        found = [(run, run.crossing(target.metric, target.value, rule)) for run in self.runs]
        return sorted(found, key=lambda item: (item[1].train_macs, item[1].censored, item[0].seed))


def seeds_of(crossings: Sequence[tuple[MeasuredRun, Crossing]], key: str = 'train_macs') -> Seeds:
    """What each run took in one of the amounts of a `Crossing`, and which were stopped before they got there."""
    values, censored = zip(*((getattr(crossing, key), crossing.censored) for _, crossing in crossings), strict=True)
    return Seeds(values, censored)


def systems(runs: Sequence[MeasuredRun]) -> list[System]:
    """Runs of one data set by network and recipe, in the order of their names."""
    groups = defaultdict(list)
    for run in runs:
        groups[run.model, run.recipe].append(run)
    recipes = defaultdict(list)
    for (model, _), group in groups.items():
        recipes[model].append(dict(_flat(_settings(group[0].config))))
    differing = {model: _differing_keys(configs) for model, configs in recipes.items()}
    names = {of: _name(of[0], group[0].config, differing[of[0]]) for of, group in groups.items()}
    for model in recipes:
        mine = [of for of in groups if of[0] == model]
        asked = [_system_of_study(groups[of]) for of in mine]
        # What a hash would tell apart, the studies may have names for.
        if any(f'={_HASH}' in names[of] for of in mine) and None not in asked and len({*asked}) == len(asked):
            names |= {of: f'{model} ({system})' for of, system in zip(mine, asked, strict=True)}
    return sorted(
        (System(names[of], of[0], sorted(group, key=lambda run: run.seed)) for of, group in groups.items()),
        key=lambda system: system.name,
    )


def _system_of_study(runs: Sequence[MeasuredRun]) -> str | None:
    """What the studies that kept these runs call them; None where that is not one name."""
    found = {run.system for run in runs}
    return next(iter(found)) if len(found) == 1 else None


def _differing_keys(configs: Sequence[Mapping]) -> list[str]:
    """Keys that are not the same in all recipes for one network."""
    values = defaultdict(set)
    for config in configs:
        for key, value in config.items():
            values[key].add(repr(value))
    everywhere = {key for key in values if all(key in config for config in configs)}
    return sorted(key for key in values if len(values[key]) > 1 or key not in everywhere)


def _name(model: str, config: Mapping, differing: Sequence[str]) -> str:
    """The network's name, followed by what tells its recipe from the others for it."""
    if not differing:
        return model
    ours = dict(_flat(_settings(config)))
    return f'{model} ({", ".join(f"{key}={_short(ours[key])}" for key in differing if key in ours) or "otherwise"})'


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
