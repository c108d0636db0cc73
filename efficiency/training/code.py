"""The code that a run is of, beside its config: whether it is still the same when the run goes on, or is asked for.

A run that goes on is traced anyway: its train step must be the one it trained so far. One that is finished is not: the
files of the user's own are read, and only if one of them is another than it was, the run is begun again as far as its
traced step and its initial values, which are compared.
"""

import contextlib
import functools
import hashlib
import importlib.util
import inspect
import json
import logging
import os
import pathlib
import sys
import sysconfig
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from efficiency.errors import UserError
from efficiency.training import hosts
from efficiency.training.workdir import cache_dir

_log = logging.getLogger('efficiency')
# What ml_collections names the module of the file that --config names.
_CONFIG_FILE = 'config_config'
_NETWORKS = 'efficiency.models.'
_PACKAGE = str(pathlib.Path(__file__).parents[1])
_NOT_OWN = tuple(f'{folder}{os.sep}' for folder in (_PACKAGE, sysconfig.get_path('stdlib')))
_INSTALLED = {'site-packages', 'dist-packages'}
_NO_FILE = 'has no file'
_HASHES = ('step_sha256', 'forward_sha256')
_GO_ON = 'take another --workdir, or go on with it all the same by --changed_code'


class Step(NamedTuple):
    """A train step, and the network's forward pass as in evaluation, by what they compute.

    Attributes:
        step_sha256, forward_sha256: see `efficiency.training.step_hash`.
        traced_by: what else decides how it is traced: 'jax 0.10.2, flax 0.12.7, optax 0.2.8 on cpu'.
    """

    step_sha256: str
    forward_sha256: str
    traced_by: str


class Code(NamedTuple):
    """What a run keeps of its code.

    Attributes:
        step: its train step.
        initial_sha256: of the values that it drew to begin with.
        init_from_sha256: of the file of weights that it began with instead; None where there is none.
        own_files: see `own_files`.
    """

    step: Step
    initial_sha256: str
    init_from_sha256: str | None
    own_files: dict[str, str]


def step_of(train_step: Any, forward: Any) -> Step:
    """Of a train step and a forward pass that were traced."""
    import jax

    from efficiency.training.step_hash import step_hash

    versions = ', '.join(f'{name} {metadata.version(name)}' for name in ('jax', 'flax', 'optax'))
    return Step(step_hash(train_step.jaxpr), step_hash(forward.jaxpr), f'{versions} on {jax.default_backend()}')


class Beginning(NamedTuple):
    """How a run would begin now.

    Attributes:
        step: its train step.
        initial_sha256: of the values that it would draw; None where they are not asked for.
    """

    step: Step
    initial_sha256: str | None


def initial_digest(state: Any) -> str:
    """sha256 of the values of a network in a state."""
    from efficiency.training.checkpoint import digest

    return digest({'params': state.params, 'batch_stats': state.batch_stats})


def begin(config: ConfigDict, data_dir: str | os.PathLike | None) -> Beginning:
    """How a run of this config would begin now.

    Raises:
        UserError: for a mistake in the config, or if its data set is not there.
    """
    import jax

    from efficiency.training.mesh import DataParallel
    from efficiency.training.programs import trace_forward, trace_train_step
    from efficiency.training.recipe import opened, train_step_of
    from efficiency.training.step import init_state

    config, dataset, total_steps = opened(config, data_dir)
    devices = DataParallel(config.batch_size)
    model, optimizer, train_step = train_step_of(config, dataset, total_steps)
    state = init_state(model, optimizer, config.seed, config.image_size)
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=devices.replicated), state
    )  # fmt: skip
    batch = devices.batch_shapes(config.batch_size, dataset.train.image_shape)
    traced = trace_train_step(train_step, shapes, batch, config.precision)
    forward = trace_forward(model, state, config.image_size, config.precision)
    return Beginning(step_of(traced, forward), initial_digest(state))


def check_step(kept: Mapping[str, Any], now: Step, whose: str, advice: str = _GO_ON) -> None:
    """Checks that a run trained the step that it would train now.

    Steps that other versions of jax, flax or optax traced, or another platform, may differ though the code does not:
    that is said, and is no mistake.

    Args:
        kept: what the run kept of its step; nothing, if it is older than that.
        now: as it is traced now.
        whose: the run, in a message.
        advice: what can be done.

    Raises:
        UserError: if it is another.
    """
    if kept.get('step_sha256') is None or all(kept[name] == getattr(now, name) for name in _HASHES):
        return
    if kept['traced_by'] == now.traced_by:
        if kept['step_sha256'] != now.step_sha256:
            raise UserError(
                f'{whose} trained another step than the code that is here now: its network, optimizer, augmentation or '
                f'data set, or this package, has changed since; {advice}'
            )
        raise UserError(
            f'{whose} evaluated another network than the code that is here now: what it does in evaluation has changed '
            f'since; {advice}'
        )
    message = (
        f'{whose} traced its train step by {kept["traced_by"]}, and it is another by {now.traced_by}: whether the code '
        'has changed, too, cannot be told'
    )
    _log.info(message)
    if hosts.leads():
        print(f'efficiency: {message}', file=sys.stderr)


def check_weights(kept: Mapping[str, Any], config: Mapping[str, Any], whose: str, advice: str = _GO_ON) -> None:
    """Checks that a run began with the weights that its config's file holds now, where both are there.

    Raises:
        UserError: if it began with others.
    """
    path, began = config['init_from'], kept.get('init_from_sha256')
    if began and path and os.path.isfile(os.path.expanduser(path)) and weights_digest(path) != began:
        raise UserError(f'{whose} began with other weights than {path} holds now; {advice}')


def check_goes_on(progress: Mapping[str, Any], config: Mapping[str, Any], now: Step, whose: str) -> None:
    """Checks that a run whose progress a checkpoint keeps is of the code, and began with the weights, of now.

    Raises:
        UserError: if not.
    """
    check_weights(progress, config, whose)
    check_step(progress['programs'][-1], now, whose)


def weights_digest(path: str) -> str | None:
    """sha256 of the file of `config.init_from`; None where it names none."""
    return _digest_of(pathlib.Path(path).expanduser()) if path else None


def check_finished(
    record: Mapping[str, Any],
    config: Mapping[str, Any],
    whose: str,
    begun: Callable[[], Beginning],
    config_file: str | None = None,
    advice: str = _GO_ON,
) -> None:
    """Checks that a finished run is of the code that is here now; for most, by the files of the user's own alone.

    Args:
        record: its record.
        config: its config.
        whose: the run, in a message.
        begun: says how it would begin now; called where the files are others than they were.
        config_file: that its config is of, if that is not the file of this process's command line.
        advice: what can be done if it is not.

    Raises:
        UserError: if it is of other code, or that cannot be told.
    """
    check_weights(record, config, whose, advice)
    kept, program = record.get('own_files'), (record['programs'] or [{}])[-1]
    if kept is None or 'step_sha256' not in program:
        return
    files = own_files(config_file, kept)
    changed = [name for name, found in kept.items() if files.get(name) != found or found == _NO_FILE]
    if not changed:
        return
    facts = [program[name] for name in _HASHES] + [files, config]
    same = json.dumps(facts, sort_keys=True, default=ConfigDict.to_dict)
    remembered = cache_dir() / 'same_step' / hashlib.sha256(same.encode()).hexdigest()
    if remembered.exists() and _NO_FILE not in kept.values():
        return
    try:
        now = begun()
    except UserError as error:
        if all(map(_is_of_networks, changed)):  # where there is no data set, another version of this package may be
            return
        raise UserError(
            f'{whose} is of other code ({", ".join(changed)} changed), and whether that makes another run of it cannot '
            f'be told: {error}'
        ) from error
    check_step(program, now.step, whose, advice)
    if program['traced_by'] != now.step.traced_by:
        return
    if now.initial_sha256 not in (None, record['initial_sha256']) and not config['init_from']:
        raise UserError(
            f'{whose} began with other values than the code that is here now draws: its network has changed since; '
            f'{advice}'
        )
    if own_files(config_file, kept) == files:  # nothing was found on the way that a change could be in the next time
        with contextlib.suppress(OSError):
            remembered.parent.mkdir(parents=True, exist_ok=True)
            remembered.touch()


def own_files(config_file: str | None = None, more: Iterable[str] = (), network: type | None = None) -> dict[str, str]:
    """sha256 of the files of all modules that are loaded and are the user's own, by the modules' names.

    Those are what is neither Python's, nor installed, nor of this package, but for a network's.

    Args:
        config_file: taken for the config's.
        more: names of modules that are asked for though they may not be loaded; those with no file are left out.
        network: a network, whose own modules of `efficiency.models` are added.
    """
    found = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, '__file__', None)
        if file is not None:
            path = pathlib.Path(file).absolute()
            if not str(path).startswith(_NOT_OWN) and _INSTALLED.isdisjoint(path.parts) and path.is_file():
                found[name] = _digest_of(path)
        elif name == '__main__':  # as of a notebook
            found[name] = _NO_FILE
    more = {*more, *(_of_networks(network.__module__) if network else ())}
    for name in more - found.keys():
        if path := _file_of(name):
            found[name] = _digest_of(path)
    if config_file is not None:
        found[_CONFIG_FILE] = _digest_of(pathlib.Path(config_file).expanduser().absolute())
    return dict(sorted(found.items()))


def _is_of_networks(module: str) -> bool:
    return module.startswith(_NETWORKS)


def _of_networks(module: str) -> set[str]:
    """The modules of `efficiency.models` that a module is one of, or uses what is defined in."""
    found, left = set(), [module]
    while left:
        name = left.pop()
        found.add(name)
        for value in vars(sys.modules[name]).values():
            used = value.__name__ if inspect.ismodule(value) else getattr(value, '__module__', None)
            if isinstance(used, str) and _is_of_networks(used) and used in sys.modules and used not in found:
                left.append(used)
    return set(filter(_is_of_networks, found))


def _file_of(module: str) -> pathlib.Path | None:
    """Where a module would be loaded from; None if it has no file."""
    if _is_of_networks(module):  # found without the whole of flax
        path = pathlib.Path(_PACKAGE).parent.joinpath(*module.split('.')).with_suffix('.py')
        return path if path.is_file() else None
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # of a package that is not there, of a module without a place
        return None
    return pathlib.Path(spec.origin) if spec and spec.has_location else None


def _digest_of(path: pathlib.Path) -> str:
    state = path.stat()
    return _digest(path, state.st_mtime_ns, state.st_size)


@functools.cache
def _digest(path: pathlib.Path, changed: int, size: int) -> str:
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()
