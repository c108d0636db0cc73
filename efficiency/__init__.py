"""How much compute it takes to reach a known capability, and how fast that number is falling."""

import os
from typing import Any, NamedTuple

from efficiency import records


class LoadedRun(NamedTuple):
    """A finished or interrupted run, ready to use: `model.apply(variables, images, train=False)`.

    Attributes:
        model: the linen module.
        variables: {'params': ..., 'batch_stats': ...}, numpy arrays, of the newest checkpoint.
        record: the run record.
    """

    model: Any
    variables: dict
    record: records.Record


def load_run(workdir: str | os.PathLike, data_dir: str | os.PathLike | None = None) -> LoadedRun:
    """The model, parameters and record that a run has left in its workdir.

    Args:
        workdir: the run's folder.
        data_dir: where the data are of a task of your own that asks them for its shapes.

    Raises:
        FileNotFoundError: if there is no run record, or no whole checkpoint.
        efficiency.records.RecordError: if the record is not valid.
    """
    from efficiency.training.restore import load_run

    return LoadedRun(*load_run(workdir, data_dir))
