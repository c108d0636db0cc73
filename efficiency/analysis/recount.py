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
from efficiency.errors import UserError, shown
from efficiency.tasks import open_task
from efficiency.tasks.images.data import datasets, sources
from efficiency.tasks.images.data.augment import ON_HOST
from efficiency.tasks.images.data.parts import split_of
from efficiency.tasks.images.data.sources import Examples, Source
from efficiency.tasks.networks import list_networks
from efficiency.training.settings import check_config

if TYPE_CHECKING:
    from efficiency.costs import Counted

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


def miscounts(record: records.Record, config: ConfigDict, progress: Callable[[str], None]) -> Iterator[str]:
    """The macs that are not those of the config's network and train step, a clause each.

    Args:
        config: of the record, checked.
        progress: told what is being counted, which takes from a tenth of a second to ten.
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
        task = outlined(config, known={size: record['dataset'][size] for size in kind.sizes})
        stages = counted_stages(task)
        counted = []
        for stage in stages:
            size = f'{kind.setting} {stage.sizes[kind.setting]}'
            progress(f'counting {name}, {size}, {stage.batch_size} examples a step')
            counted.append(_counted(stage))
    except UserError as error:
        yield f'cannot be recounted: {error}'
        return
    for i, program in enumerate(record['programs']):
        for key, value in counted[program.get('stage', 0)].items():
            if key in program and program[key] != value:
                yield f'programs[{i}].{key} is {shown(program[key])}, and {name} under this config takes {shown(value)}'
    costs = [
        (program['steps'], stage.batch_size, stage.forward, stage.train)
        for program in record['programs']
        for stage in [stages[program.get('stage', 0)]]
    ]
    for key, value in macs_per_example(costs).items():
        if record['macs_per_example'][key] != value:
            yield f'macs_per_example.{key} is {record["macs_per_example"][key]}, and {name} takes {value}'
    found, first = records.first_macs(record), 0
    if config.task == 'images':
        first = init_dense_macs(config, record['dataset']['num_train'])
    if found != first:
        yield f'initialisation.dense_macs is {found}, and the first values of {name} take {first}'
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
    record: records.Record,
    config: ConfigDict,
    progress: Callable[[str], None],
    data_dir: str | os.PathLike | None = None,
) -> Iterator[str]:
    """What says that the data set is not the one that it is named after, a clause each.

    Of a data set that comes with this package the images are fingerprinted anew, of others that all know the numbers of
    classes and examples are held against what they have; any other is a problem, as nobody knows more of it than the
    record says. Texts are read and fingerprinted, wherever they are on this machine.
    """
    name, splits = config.dataset.partition(':')[0], (config.train_split, config.eval_split)
    if _overlap(name, *splits):
        yield f'trains on examples of the split {splits[1]!r}, which it is evaluated on'
    try:
        if records.task_of(record) != 'images':
            progress(f'reading {name}')
            wanted = _description_of_texts(config, data_dir)
        elif name in sources.registered():
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
    for key, value in wanted.items():
        if record['dataset'].get(key) != value:
            yield f'dataset.{key} is {shown(record["dataset"].get(key))}, and {name} has {shown(value)}'


def _description(config: ConfigDict) -> dict[str, Any]:
    """What a record has to say of a data set that is here; its version is that of the package, and no matter."""
    found = datasets.load(
        config.dataset, (config.train_split, config.eval_split), config.image_size,
        as_stored=config.augmentation in ON_HOST,
    ).description  # fmt: skip
    return {key: found[key] for key in ('fingerprint', 'num_train', 'num_eval', 'num_classes')}


def _description_of_texts(config: ConfigDict, data_dir: str | os.PathLike | None) -> dict[str, Any]:
    """As `_description`; the fingerprint is of the texts, and of how they are cut and asked for."""
    description = dict(open_task(config, data_dir).description)
    del description['version']
    return description


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
