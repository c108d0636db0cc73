"""The evaluations of a run as they come: JSON lines in the workdir, and other logs beside them where asked for.

A log is for looking on: what a run has found is in its record and its checkpoints, from which every log begins anew.
"""

import contextlib
import importlib
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from efficiency.errors import UserError, named
from efficiency.files import write_atomically

if TYPE_CHECKING:
    from ml_collections import ConfigDict

FILE_NAME = 'metrics.jsonl'
# The class of each log beside it, imported only where it is asked for, and what installs its packages.
LOGS = {
    'tensorboard': ('efficiency.training.tensorboard_log.TensorBoardLog', 'pip install ".[tensorboard]"'),
    'wandb': ('efficiency.training.wandb_log.WandbLog', 'pip install ".[wandb]"'),
}


def check_names(names: Sequence[str]) -> None:
    """Raises UserError if one of them is no log's."""
    for name in names:
        named(LOGS, 'log', name)


def check_logs(names: Sequence[str]) -> None:
    """Checks that there are logs of these names, and that their packages can be used.

    Raises:
        UserError: if not.
    """
    for name in names:
        _class_of(name)


def _class_of(name: str) -> type:
    place, install = named(LOGS, 'log', name)
    module, _, class_name = place.rpartition('.')
    try:
        return getattr(importlib.import_module(module), class_name)
    except Exception as error:  # whatever a package raises that does not go with another
        raise UserError(f'--log={name} cannot be kept: {error}; {install}') from error


class EvaluationLog:
    """Writes one line an evaluation, and the same to each of the other logs: one that fails is said and left out."""

    def __init__(
        self,
        workdir: pathlib.Path,
        config: 'ConfigDict',
        curve: Sequence[Mapping[str, Any]],
        logs: Sequence[str],
        say: Callable[[str], None],
    ):
        """Begins with the points of `curve`, whatever an earlier process wrote of those that come again.

        Args:
            workdir, config: the run's.
            curve: as in a run record.
            logs: names of `LOGS`.
            say: is told in a sentence of one that fails.

        Raises:
            UserError: if one of them cannot begin.
        """
        self._path, self._say = workdir / FILE_NAME, say
        write_atomically(self._path, ''.join(f'{json.dumps(point)}\n' for point in curve).encode())
        self._others = {name: _class_of(name)(workdir, config, curve) for name in logs}

    def write(self, point: Mapping[str, Any]) -> None:
        """Adds a point of the curve."""
        with open(self._path, 'a', encoding='utf-8') as file:
            file.write(json.dumps(point) + '\n')
        for name in list(self._others):
            self._try(name, lambda log: log.write(point))

    def _try(self, name: str, act: Callable[[Any], None]) -> None:
        try:
            act(self._others[name])
        except Exception as error:  # whatever a library raises: the run is worth more than a log of it
            log = self._others.pop(name)
            with contextlib.suppress(Exception):
                log.close(failed=True)
            self._say(f'the run goes on without its log {name}, which failed: {type(error).__name__}: {error}')

    def close(self, failed: bool) -> None:
        """The end of the run in this process; `failed` is whether it cannot go on."""
        for name in list(self._others):
            self._try(name, lambda log: log.close(failed))
