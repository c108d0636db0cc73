"""Whether a record's macs and data set are those of its config: counted and looked up anew, nothing trained.

Macs depend on the config and what the record says of its data, as the number of classes, so that any network of ours
is recounted without its data. `efficiency.analysis.agreement` holds a record's figures against one another.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from ml_collections import ConfigDict

from efficiency import records
from efficiency.analysis.kinds import KINDS
from efficiency.data.batches import ONLY_HOST
from efficiency.errors import UserError, shown
from efficiency.record_schema import UNPADDED
from efficiency.stages import Timetable, stages_of
from efficiency.tasks import open_task
from efficiency.tasks.images.data import datasets, sources
from efficiency.tasks.images.data.augment import ON_HOST
from efficiency.tasks.images.data.parts import split_of
from efficiency.tasks.images.data.sources import Examples, Source
from efficiency.tasks.networks import list_networks
from efficiency.tasks.task import plain, shapes_of
from efficiency.training.settings import check_config

if TYPE_CHECKING:
    from efficiency.costs import Counted
    from efficiency.tasks.task import Form, Task

# Classes and sizes of splits, by the names of TensorFlow Datasets; 'val' is what trees of ImageNet's files call it.
_IN_PUBLIC = {
    'cifar10': (10, {'train': 50_000, 'test': 10_000}),
    'imagenet2012': (1000, {'train': 1_281_167, 'validation': 50_000, 'val': 50_000}),
}
# Examples of a split whose size is not known, of which parts are taken to see whether they have any in common.
_SOME = 100_000


def checked_config(record: records.Record) -> ConfigDict:
    """The config of a record, of which earlier ones lack keys.

    Raises:
        UserError: if it is none that a run can have.
    """
    try:
        config = ConfigDict(record['config'])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f'its keys are not those of a config: {error}') from error
    config = check_config(config)
    filled = KINDS[config.task].filled
    if missing := next((key for key in filled if config[key] is None), None):
        raise UserError(f'config.{missing} is empty, and a run writes down what it took from its data')
    return config


def opened_data(
    record: records.Record, config: ConfigDict, progress: Callable[[str], None], data_dir: str | os.PathLike | None
) -> tuple['Task | None', list[int] | None]:
    """The task of a record with its data, and the form of the batch of each of its steps.

    Neither of images, of which a record says enough; no forms where none has several.

    Raises:
        UserError: if the data are not here.
    """
    if records.task_of(record) == 'images':
        return None, None
    progress(f'reading {config.dataset}')
    task = open_task(config, data_dir)
    forms = [task.forms(stage) for _, stage in stages_of(task.config)]
    if max(map(len, forms)) == 1:
        return task, None
    taken: list[int] = []
    # Of a curve that ends elsewhere than its programs `agreement.disagreements` tells.
    last = min(record['curve'][-1]['step'], sum(program['steps'] for program in record['programs']))
    for span, of_stage in zip(Timetable(task.config, task.epoch_examples).spans, forms, strict=True):
        batches, shapes = task.batches(span.config, ONLY_HOST), [plain(form.batch) for form in of_stage]
        for step in range(min(span.steps, last - len(taken))):
            batch = batches.at(span.first_example + step * span.config.batch_size)
            taken.append(shapes.index(plain(shapes_of(batch))))
    return task, taken


def _places(task: 'Task') -> list[tuple[records.Place, 'Form']]:
    """The stage and the number of each form, in the order of `efficiency.costs.counted_stages`."""
    return [
        ((number, i), form)
        for number, (_, stage) in enumerate(stages_of(task.config))
        for i, form in enumerate(task.forms(stage))
    ]


def miscounts(
    record: records.Record, config: ConfigDict, progress: Callable[[str], None], opened: 'Task | None' = None
) -> Iterator[str]:
    """The macs that are not those of the config's network and train step, a clause each.

    Args:
        config: of the record, checked.
        progress: told what is being counted, which takes from a tenth of a second to ten.
        opened: the task with its data, where these were opened; otherwise what the record says of them is taken.
    """
    name, kind = config.model.name, KINDS[config.task]
    if name not in list_networks(task=config.task):
        yield (
            f'cannot be recounted, as {shown(name)} is no network of ours: its macs were held against each other and '
            "XLA's count only, which vouches for nothing; pass the config file that registers it by --config, or "
            'submit a row (.csv) whose macs are published'
        )
        return
    # jax takes seconds, which a record that is refused for another reason need not wait for.
    from efficiency.costs import counted_evaluation, counted_stages
    from efficiency.tasks.images.task import init_dense_macs
    from efficiency.training.programs import macs_per_example
    from efficiency.training.recipe import outlined

    try:
        task = opened or outlined(config, known={size: record['dataset'][size] for size in kind.sizes})
        stages, places = counted_stages(task), _places(task)
        counted = []
        for stage, (_, form) in zip(stages, places, strict=True):
            size = ''.join(f', {key} {value}' for key, value in stage.sizes.items())
            progress(f'counting {name}{size}, {stage.batch_size} examples a step')
            counted.append({**stage.sizes, **_counted(stage), **_padding(stage, form)})
    except UserError as error:
        yield f'cannot be recounted: {error}'
        return
    found = dict(zip([place for place, _ in places], zip(stages, counted, strict=True), strict=True))
    if other := next((each for each in map(records.place_of, record['programs']) if each not in found), None):
        yield f'a program is of stage {other[0]} and form {other[1]}, and the config has none such'
        return
    for i, program in enumerate(record['programs']):
        for key, value in found[records.place_of(program)][1].items():
            if key in program and program[key] != value:
                yield f'programs[{i}].{key} is {shown(program[key])}, and {name} under this config takes {shown(value)}'
    forms = dict(places)
    for i, program in enumerate(record['programs']):
        parts = [(part['name'], part['calls_per_step']) for part in program.get('parts') or ()]
        made_of = [(part.name, part.calls) for part in forms[records.place_of(program)].parts if part.name]
        if parts != made_of:
            yield f'programs[{i}].parts are {shown(parts)}, and a step of this config calls {shown(made_of)}'
    costs = [
        (program['steps'], stage.batch_size, stage.forward, stage.train)
        for program in record['programs']
        for stage, _ in [found[records.place_of(program)]]
    ]
    for key, value in macs_per_example(costs).items():
        if record['macs_per_example'][key] != value:
            yield f'macs_per_example.{key} is {record["macs_per_example"][key]}, and {name} takes {value}'
    found, first = records.first_macs(record), 0
    if config.task == 'images':
        first = init_dense_macs(config, record['dataset']['num_train'])
    if found != first:
        yield f'initialisation.dense_macs is {found}, and the first values of {name} take {first}'
    published = task.published and task.published.isoformat()
    # The first records, which are of images, do not say it.
    if record.get('published') != published and not (config.task == 'images' and record.get('published') is None):
        yield f'published is {record.get("published")}, and {name} under this config is of {published}'
    if record.get('unit') != task.unit:
        yield f'unit is {shown(record.get("unit"))}, and that of {config.task} is {shown(task.unit)}'
    if kind.passes is None:
        return
    found, each = record['evaluation']['dense_macs'], counted_evaluation(task).dense_macs
    passes = len(record['curve']) * kind.passes(record)
    if found != passes * each:
        yield f'evaluation.dense_macs is {found}, not {passes} forward passes x {each} macs'


def _counted(stage: 'Counted') -> dict[str, Any]:
    """What a record says of a program."""
    from efficiency.training.programs import without_optimizer

    forward, step, network = stage.forward, stage.train, without_optimizer(stage.train)
    return {
        'forward_dense_macs_per_example': forward.dense_macs,
        'forward_real_macs_per_example': forward.real_macs,
        'train_dense_macs_per_step': step.dense_macs,
        'train_real_macs_per_step': step.real_macs,
        'optimizer_dense_macs_per_step': step.dense_macs - network.dense_macs,
        'train_dense_macs_per_step_by_operation': {kind: part.dense_macs for kind, part in step.by_kind().items()},
    }


def _padding(stage: 'Counted', form: 'Form') -> dict[str, Any]:
    """What a record says of padding, where the data that were opened tell it."""
    if form.padding_share is None:
        return {}
    return {
        'padding_share': form.padding_share,
        UNPADDED: round(stage.train.dense_macs * (1 - form.padding_share)),
    }


def forward_macs(name: str, image_size: int, dataset: str) -> int | None:
    """Forward dense macs of one of our networks on an image of a data set; None where its classes are not known.

    Raises:
        UserError: if there is no such network, or not at that size.
    """
    from efficiency.costs import counted_network

    if dataset in sources.registered():
        num_classes = sources.registered()[dataset](None).num_classes
    elif dataset in _IN_PUBLIC:
        num_classes, _ = _IN_PUBLIC[dataset]
    else:
        return None
    return counted_network(name, image_size=image_size, num_classes=num_classes).forward.dense_macs


def other_data(
    record: records.Record, config: ConfigDict, progress: Callable[[str], None], opened: 'Task | None' = None
) -> Iterator[str]:
    """What says that the data set is not the one that it is named after, a clause each.

    Of a data set that comes with this package the images are fingerprinted anew, of others that all know the numbers of
    classes and examples are held against what they have; any other is a problem, as nobody knows more of it than the
    record says. Texts and games are as they were opened on this machine, and nothing is said where they were not.

    Args:
        opened: the task with its data, of a task other than images.
    """
    if records.task_of(record) != 'images':
        yield from _unlike(record, dict(opened.description), config.dataset) if opened else ()
        return
    name, splits = config.dataset.partition(':')[0], (config.train_split, config.eval_split)
    if _overlap(name, *splits):
        yield f'trains on examples of the split {splits[1]!r}, which it is evaluated on'
    try:
        if name in sources.registered():
            progress(f'reading {name}')
            wanted = _description(config)
        elif name in _IN_PUBLIC:
            wanted = _sizes(name, *splits)
        else:
            yield f'its data set is {shown(name)}, which is not known here, so that nothing vouches for it; submit rows'
            return
    except UserError as error:
        yield f'its data set cannot be looked at: {error}'
        return
    yield from _unlike(record, wanted, name)


def _unlike(record: records.Record, wanted: Mapping[str, Any], name: str) -> Iterator[str]:
    """Where what a record says of its data is not what they are; a version is that of a package, and no matter."""
    for key, value in wanted.items():
        if key != 'version' and record['dataset'].get(key) != value:
            yield f'dataset.{key} is {shown(record["dataset"].get(key))}, and {name} has {shown(value)}'


def _description(config: ConfigDict) -> dict[str, Any]:
    """What a record has to say of a data set that is here."""
    found = datasets.load(
        config.dataset, (config.train_split, config.eval_split), config.image_size,
        as_stored=config.augmentation in ON_HOST,
    ).description  # fmt: skip
    return {key: found[key] for key in ('fingerprint', 'num_train', 'num_eval', 'num_classes')}


def _sizes(name: str, train: str, evaluation: str) -> dict[str, Any]:
    """Numbers of classes and of examples, of splits that are known or parts of them."""
    classes, sizes = _IN_PUBLIC[name]
    return {
        'num_classes': classes,
        'num_train': len(_indices(sizes, train, name)),
        'num_eval': len(_indices(sizes, evaluation, name)),
    }


def _overlap(name: str, train: str, evaluation: str) -> bool:
    """Whether two splits, or parts and sums of them as 'train[:90%]+test', have examples in common."""
    bases = {part.partition('[')[0].strip() for split in (train, evaluation) for part in split.split('+')}
    if 'all' in bases:
        return True
    known = _IN_PUBLIC.get(name, (0, {}))[1]
    sizes = {base: known.get(base, _SOME) for base in sorted(bases)}
    try:
        return bool(np.intersect1d(_indices(sizes, train, name), _indices(sizes, evaluation, name)).size)
    except UserError:  # no such part, which is said where the data are looked at
        return train == evaluation


def _indices(sizes: Mapping[str, int], split: str, name: str) -> np.ndarray:
    """The numbers of a split's examples among those of all the whole ones."""
    nothing = np.zeros((1, 1, 1, 1), np.uint8)
    whole, first = {}, 0
    for base, size in sizes.items():
        whole[base] = Examples(np.broadcast_to(nothing, (size, 1, 1, 1)), np.arange(first, first + size))
        first += size
    return np.asarray(split_of(Source(1, whole), split, name).labels)
