"""Checks what others submit for the ledger, rows of points or a run record, and says everything that is wrong."""

import math
import os
import pathlib
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ml_collections import ConfigDict

from efficiency import records
from efficiency.analysis.agreement import disagreements
from efficiency.analysis.kinds import KINDS
from efficiency.errors import UserError, shown
from efficiency.metrics import of_record
from efficiency.published import points as ledger
from efficiency.tasks import task_entry

_KINDS = 'a submission is a run record (.json) or ledger rows (.csv)'
_MOST_BYTES = 2**28
# Far above what any run takes; the product of three such is a number still.
_LARGEST = 1e90
# Each step's batch is looked at where batches have several forms, in minutes.
_MOST_STEPS = 10**7
_COMMIT = re.compile(r'[0-9a-f]{40}|[0-9a-f]{64}')


def check(
    path: str | os.PathLike,
    progress: Callable[[str], None] = lambda text: None,
    config: ConfigDict | None = None,
    data_dir: str | os.PathLike | None = None,
) -> list[str]:
    """What is wrong with a submission, a sentence each; nothing if it can go into the ledger.

    A folder is of one system: a run record for each seed, which are checked one by one and have to differ in nothing
    else.

    A run record (`.json`) has to be whole, to have met its target by training from nothing, and to agree with itself
    (`efficiency.analysis.agreement`); its macs have to be those of its config, counted anew, and its data set the one
    that it names (`efficiency.analysis.recount`). A network that is none of ours is recounted by its config file, which
    is submitted too. Without that, as whoever writes a record writes XLA's count too, it is a problem.

    Rows (`.csv`, with the columns of `points.csv`) have to keep the ledger's schema: a known target, what was printed
    with unit and convention, compute that is 3 x epochs x examples x macs an example, and a source that others can
    find. Of a submission, the epochs or the compute may not be missing, nor be 0; what is counted has all four; a
    network of ours has our count; and the examples are as many as the target's data set has elsewhere in the ledger.

    What no check can see is a curve that was made up, as are seconds, losses and accuracies; of rows, epochs.

    Args:
        progress: told what is being counted.
        config: of the submission's own config file, which registers what is not ours; records have to be of it.
        data_dir: where texts are, as for `efficiency.main`.

    Raises:
        UserError: if it cannot be read as a file, whatever is in it, or its name says that it is neither.
    """
    paths = files_of(path)
    problems = []
    for each in paths:
        if each.suffix.lower() == '.json':
            shown_name = each.relative_to(path) if len(paths) > 1 else each.name
            problems += [f'{shown_name}: {problem}' for problem in _record_problems(each, progress, config, data_dir)]
        elif config is not None:
            problems.append(f'{each.name} has rows, and a config is that of run records')
        else:
            problems += _row_problems(each, progress)
    if len(paths) > 1:
        problems += _as_seeds(paths, path)
    # A line each, whatever names are in it.
    return [' '.join(problem.split()) for problem in problems]


def files_of(path: str | os.PathLike) -> list[pathlib.Path]:
    """The file that a submission is, or the run records of the folder that it is.

    Raises:
        UserError: if there is no such file or folder, there is no record in it, or it is neither records nor rows.
    """
    path = pathlib.Path(path)
    if not os.path.isdir(path):
        _check_file(path)
        return [path]
    found = sorted(pathlib.Path(file) for file in records.files_below(path))
    if not found:
        raise UserError(f'no file below {path} ends in .json; a submission of several seeds is a folder of run records')
    return found


def _as_seeds(paths: Sequence[pathlib.Path], folder: str | os.PathLike) -> Iterator[str]:
    """What keeps some records from being the seeds of one system."""
    try:
        found = [records.read(path) for path in paths]
    except (records.RecordError, OSError):  # which is said of the record itself
        return
    for key in ('model', 'dataset', 'target'):
        if any(record[key] != found[0][key] for record in found):
            yield f'{folder}: not all records are of one {key}'
            return
    recipes = [{key: value for key, value in record['config'].items() if key != 'seed'} for record in found]
    for record, recipe in zip(found, recipes, strict=True):
        if other := sorted(key for key in {*recipe, *recipes[0]} if recipe.get(key) != recipes[0].get(key)):
            yield (
                f'{folder}: config.{other[0]} of seed {record["seed"]} is another than that of seed '
                f'{found[0]["seed"]}, and seeds of one system differ in nothing else'
            )
    seeds = [record['seed'] for record in found]
    for seed in sorted({seed for seed in seeds if seeds.count(seed) > 1}):
        yield f'{folder}: seed {seed} is there {seeds.count(seed)} times'


def _check_file(path: pathlib.Path) -> None:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise UserError(f'{path} is no regular file; {_KINDS}')
        if path.suffix.lower() not in ('.json', '.csv'):
            raise UserError(f'{path} is neither a run record (.json) nor ledger rows (.csv)')
        if found.st_size > _MOST_BYTES:
            raise UserError(f'{path} has {found.st_size:,} bytes, and a submission no more than {_MOST_BYTES:,}')
        with open(path, 'rb'):
            pass
    except FileNotFoundError as error:
        raise UserError(f'there is no file {path}; {_KINDS}') from error
    except OSError as error:
        raise UserError(f'{path} cannot be read: {error.strerror}; {_KINDS}') from error


def _record_problems(
    path: pathlib.Path,
    progress: Callable[[str], None],
    own: ConfigDict | None,
    data_dir: str | os.PathLike | None,
) -> Iterator[str]:
    try:
        record = records.read(path)
    except records.RecordError as error:
        yield str(error).removeprefix(str(path)).strip()
        return
    except OSError as error:
        raise UserError(f'{path} cannot be read: {error.strerror}; {_KINDS}') from error
    if not records.is_finished(record):
        yield f'the run is not finished, its status is {record["status"]}'
    if record['first_crossing'] is None:
        target = record['target']
        yield f'no evaluation meets the target, {of_record(record)[target["metric"]].goal(target["value"])}'
    git = record['git']
    if git is None or git['dirty'] or not _COMMIT.fullmatch(git['commit']):
        yield 'git does not name the code that ran; commit it and run again'
    if reason := _why_not_compared(record):
        yield reason
        return
    # What needs jax, which takes seconds.
    from efficiency.analysis.recount import checked_config, miscounts, opened_data, other_data

    try:
        config = checked_config(record)
    except UserError as error:
        yield f'its config is none that a run can have: {error}'
        return
    if own is not None:
        yield from _not_of(own, config)
    if config.init_from:
        yield f'begins with the weights of {config.init_from}, whose training it does not count'
    opened = forms = None
    try:
        opened, forms = opened_data(record, config, progress, data_dir)
    except UserError as error:
        yield f'its data set cannot be looked at: {error}'
    yield from disagreements({**record, 'config': config.to_dict()}, forms)
    yield from other_data(record, config, progress, opened)
    yield from miscounts(record, config, progress, opened)


def _not_of(own: ConfigDict, config: ConfigDict) -> Iterator[str]:
    """Keys in which a record's config is not that of the submission's config file; the file leaves some to the data."""
    ours, theirs = own.to_dict(), config.to_dict()
    for key, value in ours.items():
        if key != 'seed' and value is not None and theirs.get(key) != value:
            yield f'config.{key} is {shown(theirs.get(key))}, and the config file has {shown(value)}'


def _why_not_compared(record: records.Record) -> str | None:
    """Why the figures of a valid record cannot be held against one another; None if they can."""
    task = records.task_of(record)
    if task not in KINDS:
        return f'task is {shown(task)}, and only records of {", ".join(KINDS)} can be held against what they are of'
    kind, metrics = KINDS[task], task_entry(task).metrics
    if of_record(record) != metrics:
        return f'metrics are other than those of {task}, {" and ".join(metrics)}, in their units and directions'
    for key in ('curve', 'programs'):
        if not record[key]:
            return f'{key} is empty'
    for key in kind.sizes:
        if type(record['dataset'].get(key)) is not int:
            return f'dataset.{key} is missing, or no whole number'
    if kind.setting and any(program.get(kind.setting) is None for program in record['programs']):
        return f'a program lacks its {kind.setting}'
    if (steps := sum(program['steps'] for program in record['programs'])) > _MOST_STEPS:
        return f'takes {steps:,} steps, and no more than {_MOST_STEPS:,} are looked at'
    counts = {f'dataset.{key}': record['dataset'][key] for key in kind.sizes}
    for i, program in enumerate(record['programs']):
        counts |= {f'programs[{i}].{key}': program[key] for key in ('batch_size', 'train_real_macs_per_step')}
    for key, value in counts.items():
        if value == 0:
            return f'{key} is 0'
    if any(abs(value) > _LARGEST for value in _numbers(record)):
        return f'has numbers above {_LARGEST:g}, which no run comes to'
    return None


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _numbers(inner)
    elif isinstance(value, int | float):
        yield value


def _row_problems(path: pathlib.Path, progress: Callable[[str], None]) -> Iterator[str]:
    try:
        points, problems = ledger.examine(path)
    except ledger.PublishedError as error:
        yield str(error)
        return
    yield from map(str, problems)
    if not points and not problems:
        yield f'{path.name} has no rows'
    kept, targets = ledger.points(), ledger.targets()
    ids = {point.id for point in kept}
    usual = {(targets[point.target].dataset, point.examples) for point in kept if point.examples}
    for point in points:
        where, dataset = f'{path.name}, row {point.id}, column', None
        if point.target in targets:
            dataset = targets[point.target].dataset
        if point.id in ids:
            yield f'{where} id: is in the ledger already; take another'
        for column, problem in _point_problems(point):
            yield f'{where} {column}: {problem}'
        epoch = [examples for known, examples in usual if known == dataset]
        if point.examples and epoch and not any(_near(point.examples, examples) for examples in epoch):
            yield f'{where} examples: is {point.examples:.10g}, and an epoch of {dataset} has {max(epoch):.10g}'
        if point.model and dataset:
            for column, problem in _our_network(point, dataset, progress):
                yield f'{where} {column}: {problem}'


def _point_problems(point: ledger.PublishedPoint) -> Iterator[tuple[str, str]]:
    """Columns in which a submission has to have more than the ledger's schema asks for."""
    if point.dense_macs is None:
        yield 'dense_macs', 'is empty; a submission says how much compute it took'
    if point.epochs is None:
        yield 'epochs', 'is empty; a submission says when the target was met'
    for column in ('dense_macs', 'epochs', 'examples', 'macs_per_example', 'printed_compute'):
        if getattr(point, column) == 0:
            yield column, 'is 0, and nothing is learned from nothing'
    if point.basis == 'printed' and point.printed_compute is None:
        yield 'printed_compute', "is empty, and basis says 'printed'"
    if not point.dense_macs:
        return
    for column in ('examples', 'macs_per_example'):
        if point.basis == 'counted' and getattr(point, column) is None:
            yield column, "is empty, and basis says 'counted': 3 x epochs x examples x macs an example"
    if None not in (point.epochs, point.examples, point.macs_per_example):
        product = 3 * point.epochs * point.examples * point.macs_per_example
        # Of points of the ledger a note may say why not; in a submission what is there agrees.
        if not _near(point.dense_macs, product) and 'dense_macs' in f'{point.note} {point.correction}':
            yield 'dense_macs', f'is not 3 x epochs x examples x macs_per_example, {product:.7g}'


def _our_network(
    point: ledger.PublishedPoint, dataset: str, progress: Callable[[str], None]
) -> Iterator[tuple[str, str]]:
    """Whether the macs an example of a network that is said to be ours are ours."""
    if point.model not in {model for model, _ in ledger.networks()}:
        yield 'model', f'{shown(point.model)} is no network of ours; leave it empty'
        return
    if point.macs_per_example is None or point.macs_convention == 'counted':  # which the schema checks
        return
    try:
        sizes = ledger.image_sizes(point.image_size)
    except ValueError:
        yield 'image_size', f'is needed, as the macs are of a network of ours, {point.model}'
        return
    from efficiency.analysis.recount import forward_macs

    total = 0
    for epochs, size in sizes:
        progress(f'counting {point.model} at {size} pixels')
        try:
            macs = forward_macs(point.model, size, dataset)
        except UserError as error:
            yield 'image_size', f'is none of {point.model}: {error}'
            return
        if macs is None:
            return
        total += (epochs or 1) * macs
    ours = total / sum(epochs or 1 for epochs, _ in sizes)
    if not _near(point.macs_per_example, ours):
        yield (
            'macs_per_example',
            f'is {point.macs_per_example:.10g}, and our count of {point.model} is {ours:.10g}; leave the column model '
            'empty where the network is another',
        )


def _near(value: float, wanted: float) -> bool:
    return math.isclose(value, wanted, rel_tol=ledger.TOLERANCE)
