"""The code that a run is of, beside its config: whether it is still the same when the run goes on, or is asked for.

A run that goes on is traced anyway: its train step must be the one it trained so far. One that is finished is not: the
files of the user's own are read, and only if one of them is another than it was, the run is begun again as far as its
data set, its initial values, and what is traced of its step and its evaluation, which are compared.
"""

import contextlib
import hashlib
import json
import logging
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from efficiency import backend, console, records
from efficiency.data.sample import are_but_mended
from efficiency.errors import RunError, UserError
from efficiency.records import Place
from efficiency.training import hosts
from efficiency.training.cache import cache_dir
from efficiency.training.own_files import NO_FILE, PACKAGE, UNREADABLE, digest_of, own_files

_log = logging.getLogger('efficiency')
_HASHES = ('step_sha256', 'forward_sha256')
# What the main command's user can do where the code is another.
GO_ON = 'take another --workdir, or go on with it all the same by --changed_code'


class Step(NamedTuple):
    """A train step, and the network's forward pass as in evaluation, by what they compute.

    Attributes:
        step_sha256, forward_sha256: see `efficiency.training.step_hash`.
        traced_by: what else decides how they are traced: 'jax 0.10.2, flax 0.12.7, optax 0.2.8 on cpu'.
    """

    step_sha256: str
    forward_sha256: str
    traced_by: str


class Code(NamedTuple):
    """What a run keeps of its code.

    Attributes:
        steps: the train step of each of its programs, by stage and form.
        initial_sha256: of the values that it drew to begin with; None where that is not known.
        init_from_sha256: of the file of weights that it began with instead; None where there is none.
        own_files: see `own_files`.
    """

    steps: Mapping[Place, Step]
    initial_sha256: str | None
    init_from_sha256: str | None
    own_files: dict[str, str]

    @property
    def kept(self) -> dict[str, Any]:
        """What record and checkpoints say of it, beside the steps, which `programs` has."""
        kept = self._asdict()
        del kept['steps']
        return kept


def step_of(parts: Sequence[Any], forward: Any) -> Step:
    """Of the programs of a train step, and a forward pass, that were traced.

    Args:
        parts: see `efficiency.training.programs.TracedPart`.
        forward: of one example.
    """
    import jax

    from efficiency.training.step_hash import step_hash

    versions = ', '.join(f'{name} {metadata.version(name)}' for name in ('jax', 'flax', 'optax'))
    hashes = [step_hash(part.traced.jaxpr) for part in parts]
    step = hashes[0]
    if parts[0].name:
        named = ''.join(f'{part.name} {part.calls} {each}\n' for part, each in zip(parts, hashes, strict=True))
        step = hashlib.sha256(named.encode()).hexdigest()
    return Step(step, step_hash(forward.jaxpr), f'{versions} on {jax.default_backend()}')


def code_of(recipe: Any, traced: Mapping[Place, Any]) -> Code:
    """Of a run whose programs were traced, and all of whose own files are loaded by now.

    Args:
        recipe: its `efficiency.training.recipe.Recipe`.
        traced: what that traced.
    """
    steps = _steps_of(traced)
    files = own_files(defined_by=[type(recipe.task), type(recipe.task.network)])
    return Code(steps, initial_digest(recipe), weights_digest(recipe.config.init_from), files)


def _steps_of(traced: Mapping[Place, Any]) -> dict[Place, Step]:
    return {place: step_of(each.parts, each.forward) for place, each in traced.items()}


class Beginning(NamedTuple):
    """How a run would begin now.

    Attributes:
        steps: the train step of each of its programs.
        initial_sha256: of the values that it would draw; None where they are not asked for.
        data: the description of its data, as a record has it.
    """

    steps: Mapping[Place, Step]
    initial_sha256: str | None
    data: Mapping[str, Any]


def initial_digest(recipe: Any) -> str:
    """sha256 of the values that a recipe draws."""
    from efficiency.training.checkpoint import digest

    return digest(recipe.drawn.variables)


def begin(config: ConfigDict, data_dir: str | os.PathLike | None) -> Beginning:
    """How a run of this config would begin now.

    Raises:
        UserError: for a mistake in the config, or if its data or the devices are not there.
        DataError: if an example that must be read for it is damaged.
    """
    backend.check_devices()
    from efficiency.training.recipe import opened

    return begin_on(opened(config, data_dir))


def begin_on(recipe: Any) -> Beginning:
    """How a run of this recipe would begin now."""
    return Beginning(_steps_of(recipe.trace()), initial_digest(recipe), recipe.task.description)


def check_step(kept: Mapping[str, Any] | None, now: Step, whose: str, advice: str = GO_ON) -> None:
    """Checks that a run trained the step that it would train now.

    Steps that other versions of jax, flax or optax traced, or another platform, may differ though the code does not:
    that is said, and is no mistake.

    Args:
        kept: what the run kept of its step; None, if it is older than that.
        now: as it is traced now.
        whose: the run, in a message.
        advice: what can be done.

    Raises:
        UserError: if it is another.
    """
    if kept is None or all(kept[name] == getattr(now, name) for name in _HASHES):
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
    _say(
        f'{whose} traced its train step by {kept["traced_by"]}, and it is another by {now.traced_by}: whether the code '
        'has changed, too, cannot be told'
    )


def _say(message: str) -> None:
    _log.info(message)
    if hosts.leads():
        console.say(message)


def check_weights(kept: Mapping[str, Any], config: Mapping[str, Any], whose: str, advice: str = GO_ON) -> None:
    """Checks that a run began with the weights that its config's file holds now, where both are there.

    Raises:
        UserError: if it began with others.
    """
    path, began = config['init_from'], kept['init_from_sha256']
    if began and path and weights_digest(path) not in (began, UNREADABLE):
        raise UserError(f'{whose} began with other weights than {path} holds now; {advice}')


def check_steps(
    programs: Sequence[Mapping[str, Any]], now: Mapping[Place, Step], whose: str, advice: str = GO_ON
) -> None:
    """Checks of each program that a run has come to what `check_step` does; `programs` are as its record has them."""
    for place, kept in _traced(programs).items():
        if place in now:
            check_step(kept, now[place], whose, advice)


def check_goes_on(
    progress: Mapping[str, Any], config: Mapping[str, Any], now: Mapping[Place, Step], whose: str
) -> None:  # fmt: skip
    """Checks that a run whose progress a checkpoint keeps is of the code, and began with the weights, of now.

    Raises:
        UserError: if not.
    """
    if progress.get('code'):
        check_weights(progress['code'], config, whose)
    check_steps(progress['programs'], now, whose)


def weights_digest(path: str) -> str | None:
    """sha256 of the file of `config.init_from`; None where it names none."""
    return digest_of(pathlib.Path(path).expanduser()) if path else None


def changed_files(record: Mapping[str, Any], config_file: str | None = None) -> list[str]:
    """The names of the files of a finished run's code that are others by now; of a run older than them none.

    Args:
        record: its record.
        config_file: that its config is of, if that is not the file of this process's command line.
    """
    kept = _own_files_of(record)
    return _changed(kept, own_files(config_file, kept))


def _changed(kept: Mapping[str, str], files: Mapping[str, str]) -> list[str]:
    return [name for name, found in kept.items() if files.get(name) != found or found == NO_FILE]


def check_finished(
    record: Mapping[str, Any],
    config: Mapping[str, Any],
    whose: str,
    begun: Callable[[], Beginning],
    config_file: str | None = None,
    advice: str = GO_ON,
) -> None:
    """Checks that a finished run is of the code that is here now; for most, by the files of the user's own alone.

    Args:
        record, config_file: as in `changed_files`.
        config: its config.
        whose: the run, in a message.
        begun: says how it would begin now; called where the files are others than they were.
        advice: what can be done if it is not.

    Raises:
        UserError: if it is of other code, or that cannot be told.
    """
    kept, traced = record.get('code'), _traced(record['programs'])
    if kept:
        check_weights(kept, config, whose, advice)
    own = _own_files_of(record)
    files = own_files(config_file, own)
    changed = _changed(own, files)
    if not changed:
        return
    facts = [[*traced.values()], kept['initial_sha256'], files, config]
    same = json.dumps(facts, sort_keys=True, default=ConfigDict.to_dict)
    remembered = cache_dir() / 'same_code' / hashlib.sha256(same.encode()).hexdigest()
    is_known = own.keys() <= files.keys() and NO_FILE not in files.values()
    if is_known and remembered.exists():
        return
    try:
        now = begun()
    except (UserError, RunError) as error:
        if all(
            name.startswith(PACKAGE) for name in changed
        ):  # where there is no data set, another version of this package may be
            _say(
                f'{whose} was trained before {", ".join(changed)} changed, and whether that makes another run of it '
                f'cannot be told: {error}'
            )
            return
        raise UserError(
            f'{whose} is of other code ({", ".join(changed)} changed), and whether that makes another run of it cannot '
            f'be told: {error}'
        ) from error
    data = record['dataset']
    if now.data['fingerprint'] != data['fingerprint'] and not are_but_mended(
        data.get('sample'), now.data.get('sample')
    ):
        raise UserError(
            f'{whose} is of another data set than the code that is here now makes of {data["name"]}; {advice}'
        )
    check_steps(record['programs'], now.steps, whose, advice)
    if any(each['traced_by'] != now.steps[0, 0].traced_by for each in traced.values()):
        return
    drawn = kept['initial_sha256'] is not None and not config['init_from']
    if drawn and now.initial_sha256 not in (None, kept['initial_sha256']):
        raise UserError(
            f'{whose} began with other values than the code that is here now draws: its network has changed since; '
            f'{advice}'
        )
    # Where its initial values were looked at, and nothing came on the way that may change before the next time.
    if is_known and (now.initial_sha256 or not drawn) and own_files(config_file, own) == files:
        with contextlib.suppress(OSError):
            remembered.parent.mkdir(parents=True, exist_ok=True)
            remembered.touch()


def _traced(programs: Sequence[Mapping[str, Any]]) -> dict[Place, Mapping[str, Any]]:
    """What a run kept of its steps, by stage and form: of the executable that it used last of each."""
    return {records.place_of(program): program['traced'] for program in programs if program.get('traced')}


def _own_files_of(record: Mapping[str, Any]) -> Mapping[str, str]:
    return record['code']['own_files'] if record.get('code') and _traced(record['programs']) else {}
