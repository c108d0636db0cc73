"""Which run is which: the name of a config's, and in what another differs from it."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from efficiency import records
from efficiency.errors import UserError
from efficiency.records import LATER_CONFIG_KEYS, later_config_keys

if TYPE_CHECKING:
    from efficiency.tasks.task import Task


def run_name(config: ConfigDict) -> str:
    """'<model>-<dataset>-<hash of the config>-s<seed>': the same for every seed but for its end.

    A key that is younger than the first runs changes nothing at the value that they stand for, and those that configs
    have no more still count as they were.
    """
    later = later_config_keys(config).items()
    settings = dict(item for item in _as_kept(config.to_dict()).items() if item not in later)
    settings |= {'eval_only': False, 'preset': config.dataset, 'tensorboard': False}
    del settings['seed']
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    name = re.sub(r'[^\w.+-]', '_', f'{config.model.name}-{config.dataset}')
    return f'{name}-{digest}-s{config.seed}'


def differing_keys(ours: dict, theirs: dict, prefix: str = '') -> list[str]:
    """Dotted names of the keys in which two configs differ, either lacking one included.

    A value of ours that is None differs from nothing: it stands for what their data set made of it. Of a key that is
    younger than the first runs it is a value as any other.
    """
    names = []
    for key in sorted(ours.keys() | theirs.keys()):
        mine, other = ours.get(key), theirs.get(key)
        if isinstance(mine, dict) and isinstance(other, dict):
            names += differing_keys(mine, other, f'{prefix}{key}.')
        elif _as_kept(mine) != _as_kept(other) and not (
            key in ours and key in theirs and mine is None and key not in LATER_CONFIG_KEYS
        ):
            names.append(prefix + key)
    return names


def _as_kept(value: Any) -> Any:
    """A config's value as a record's JSON gives it back, which has lists for tuples."""
    if isinstance(value, Mapping):
        return {key: _as_kept(each) for key, each in value.items()}
    return [_as_kept(each) for each in value] if isinstance(value, list | tuple) else value


def identity(task: 'Task') -> dict[str, Any]:
    """What a checkpoint must share with the run that goes on from it."""
    return {'config': task.config.to_dict(), 'fingerprint': task.description['fingerprint']}


def check_identity(progress: dict[str, Any], task: 'Task') -> None:
    """Checks that a checkpoint's progress is of this run.

    Raises:
        UserError: if it is of another config, or of other data.
    """
    ours = identity(task)
    theirs = {key: progress[key] for key in ours}
    theirs['config'] = records.completed_config(theirs['config'])
    if task.is_of(progress):
        theirs['fingerprint'] = ours['fingerprint']
    keys = differing_keys(ours, theirs)
    if keys:
        raise UserError(
            f'the checkpoints in the workdir are of another run, which differs in {", ".join(keys)}; '
            'take another --workdir'
        )
