"""A run's evaluations in Weights & Biases: online where somebody is logged in, and else in files to be synced."""

import contextlib
import logging
import os
import pathlib
import secrets
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import wandb
from ml_collections import ConfigDict

from efficiency.errors import UserError
from efficiency.files import write_atomically
from efficiency.training.identity import run_name

_log = logging.getLogger('efficiency')
# For its server, at the run's beginning and at its end: other hosts wait meanwhile, or a machine is being taken away.
_PATIENCE_SECONDS = 20
_SETTINGS = {'silent': True, 'console': 'off', 'init_timeout': _PATIENCE_SECONDS, 'finish_timeout': _PATIENCE_SECONDS}


class WandbLog:
    """Writes the points of a run's curve, over train macs, to one run of W&B, whose id the workdir keeps.

    Online, a run that goes on adds the points that are not there yet. Offline nobody knows which those are: it begins
    with the whole curve, in place of what earlier processes kept.
    """

    def __init__(self, workdir: pathlib.Path, config: ConfigDict, curve: Sequence[Mapping[str, Any]]):
        """`curve` is as in a run record.

        Raises:
            UserError: if W&B does not begin.
        """
        folder = workdir / 'wandb'
        folder.mkdir(exist_ok=True)
        identity = _identity(folder / 'id')
        earlier = list(folder.glob(f'offline-run-*-{identity}'))
        self._run = _begin(workdir, config, identity)
        _log.info('Weights & Biases: %s', self._run.url or self._run.dir)
        self._run.define_metric('*', step_metric='train_macs')
        for point in curve:
            self.write(point)
        if not self._run.disabled:
            for each in earlier:
                shutil.rmtree(each, ignore_errors=True)

    def write(self, point: Mapping[str, Any]) -> None:
        """Adds a point of the curve."""
        if point['step'] >= self._run.step:
            values = {name: value for name, value in point.items() if value is not None}
            self._run.log(values, step=point['step'], commit=True)

    def close(self, failed: bool) -> None:
        """Waits a while for what is still to be uploaded; what is left is in the workdir, for `wandb sync`."""
        try:
            self._run.finish(exit_code=int(failed))
        except Exception:
            with contextlib.suppress(Exception):  # or it would try again at the end of the process
                wandb.teardown()
            raise


def _identity(path: pathlib.Path) -> str:
    """The id of a workdir's run, made where there is none yet."""
    if not path.exists():
        write_atomically(path, secrets.token_hex(4).encode())
    return path.read_text()


def _begin(workdir: pathlib.Path, config: ConfigDict, identity: str) -> wandb.Run:
    name = run_name(config)
    os.environ.setdefault('WANDB_ERROR_REPORTING', 'false')  # which asks for the network offline, too
    try:
        wandb.setup(wandb.Settings(**_SETTINGS))
        mode = _mode()
        return wandb.init(
            project=os.environ.get('WANDB_PROJECT') or 'efficiency',
            name=name,
            group=name.removesuffix(f'-s{config.seed}'),
            id=identity,
            # Offline, what is synced replaces a run of that id.
            resume='allow' if mode == 'online' else None,
            config=config.to_dict(),
            dir=str(workdir.absolute()),
            mode=mode,
            settings=wandb.Settings(**_SETTINGS),
        )
    except UserError:
        raise
    except Exception as error:
        with contextlib.suppress(Exception):
            wandb.teardown()
        raise UserError(
            f'Weights & Biases does not begin: {type(error).__name__}: {error}; mend that, set WANDB_MODE=offline, or '
            'leave wandb out of --log'
        ) from error


def _mode() -> str:
    """As WANDB_MODE or `wandb offline` say; where nothing is said, offline if nobody is logged in."""
    mode = wandb.setup().settings.mode
    if mode == 'online' and not wandb.login(prompt=False, verify=False):
        if os.environ.get('WANDB_MODE'):
            raise UserError(
                'WANDB_MODE is online, and nobody is logged in to Weights & Biases: run wandb login, or set it to '
                'offline'
            )
        return 'offline'
    return mode
