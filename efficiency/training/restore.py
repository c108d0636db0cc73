"""A run's model and parameters, back from its workdir."""

import os
import pathlib

import jax
import numpy as np
from flax import linen as nn
from flax import traverse_util
from ml_collections import ConfigDict

from efficiency import records
from efficiency.errors import UserError
from efficiency.tasks import outline_task
from efficiency.training.checkpoint import Checkpoints, filled
from efficiency.training.plan import averaging_of
from efficiency.training.settings import check_config
from efficiency.training.step import NAMES


def load_run(
    workdir: str | os.PathLike, data_dir: str | os.PathLike | None = None
) -> tuple[nn.Module, dict, records.Record]:
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
        # Its optimizer and schedule, which may be of one's own, need not be there.
        task = outline_task(check_config(ConfigDict(record['config'])), data_dir, record['dataset'])
    except (AttributeError, KeyError, TypeError, ValueError, UserError) as error:
        raise records.RecordError(f'the config in {workdir} makes no network: {error}') from error
    variables = {name: found for name, found in state.items() if name == 'params' or name not in NAMES}
    averaging = averaging_of(task.config, 1)
    like = {'average': jax.eval_shape(averaging.init, variables)}
    # By names, as what has no average has none.
    average = filled(like, traverse_util.flatten_dict(state, sep='/'))['average']
    return task.network, jax.tree.map(np.asarray, averaging.weights(average, variables)), record
