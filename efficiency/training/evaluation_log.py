"""The evaluations of a run as they come: JSON lines in the workdir, and TensorBoard where asked for."""

import importlib.util
import json
import pathlib
from typing import Any

from efficiency.errors import UserError
from efficiency.records import write_atomically

FILE_NAME = 'metrics.jsonl'


class EvaluationLog:
    """Writes one line an evaluation."""

    def __init__(self, workdir: pathlib.Path, curve: list[dict[str, Any]], tensorboard: bool):
        """Begins with the points of `curve`, whatever an earlier process wrote of those that come again.

        `tensorboard` needs tensorflow, see `check_tensorboard`.
        """
        self._path = workdir / FILE_NAME
        write_atomically(self._path, ''.join(f'{json.dumps(point)}\n' for point in curve).encode())
        self._tensorboard = None
        if tensorboard:
            from clu import metric_writers

            self._tensorboard = metric_writers.SummaryWriter(str(workdir))

    def write(self, point: dict[str, Any]) -> None:
        """Adds a point of the curve."""
        with open(self._path, 'a', encoding='utf-8') as file:
            file.write(json.dumps(point) + '\n')
        if self._tensorboard:
            scalars = {name: value for name, value in point.items() if name != 'step'}
            self._tensorboard.write_scalars(point['step'], scalars)

    def close(self) -> None:
        if self._tensorboard:
            self._tensorboard.close()


def check_tensorboard() -> None:
    """Raises UserError where TensorBoard's files cannot be written, because the packages are not installed."""
    if not all(map(importlib.util.find_spec, ('tensorflow', 'tensorboard'))):
        raise UserError('config.tensorboard needs tensorflow and tensorboard: pip install ".[prepare]"')
