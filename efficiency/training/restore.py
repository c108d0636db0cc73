"""A run's model and parameters, back from its workdir."""

import os
import pathlib

import jax
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict

from efficiency import records
from efficiency.errors import UserError
from efficiency.training.checkpoint import Checkpoints
from efficiency.training.recipe import outlined


def load_run(workdir: str | os.PathLike) -> tuple[nn.Module, dict, records.Record]:
    """See `efficiency.load_run`."""
    workdir = pathlib.Path(workdir)
    record = records.read(workdir)
    checkpoints = Checkpoints(workdir)
    try:
        restored = checkpoints.restore()
        if restored is None:
            raise FileNotFoundError(f'{workdir} holds no whole checkpoint')
        state, _ = restored
    finally:
        checkpoints.close()
    try:
        task = outlined(ConfigDict(record['config']), known=record['dataset'])
    except (AttributeError, KeyError, TypeError, ValueError, UserError) as error:
        raise records.RecordError(f'the config in {workdir} makes no network: {error}') from error
    variables = {name: found for name, found in state.items() if name not in ('step', 'key', 'opt_state')}
    return task.network, jax.tree.map(np.asarray, variables), record
