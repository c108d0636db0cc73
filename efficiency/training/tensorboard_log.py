"""TensorBoard's file of a run, written without tensorflow."""

import os
import pathlib
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

# By what is in its middle TensorBoard knows its files.
_NAME = 'events.out.tfevents.'


class TensorBoardLog:
    """Writes the points of a run's curve as scalars: a tag for each of their keys but `step`.

    They are in single precision, as TensorBoard shows no other. A point's wall time is that of a run which had done
    nothing but train. The file begins with the whole curve, and those of earlier processes are left without content:
    where one is gone, a TensorBoard that is reading it does not go on to the next.
    """

    def __init__(self, workdir: pathlib.Path, config: ConfigDict, curve: Sequence[Mapping[str, Any]]):
        """`curve` is as in a run record."""
        for earlier in workdir.glob(f'{_NAME}*'):
            os.truncate(earlier, 0)
        now = time.time()
        self._begun = now - (curve[-1]['train_seconds'] if curve else 0)
        # TensorBoard reads a folder's files in the order of their names.
        path = workdir / f'{_NAME}{now:017.6f}.{socket.gethostname()}.{os.getpid()}'
        self._records = RecordWriter(open(path, 'wb'))  # noqa: SIM115  (`close` closes it)
        self._write(Event(wall_time=now, file_version='brain.Event:2'))
        # Has a TensorBoard drop what it has read of earlier files.
        self._write(Event(wall_time=now, step=0, session_log=SessionLog(status=SessionLog.START)))
        for point in curve:
            self.write(point)

    def write(self, point: Mapping[str, Any]) -> None:
        """Adds a point of the curve."""
        values = [
            Summary.Value(tag=name, simple_value=value)
            for name, value in point.items()
            if name != 'step' and value is not None
        ]
        wall_time = self._begun + point['train_seconds']
        self._write(Event(wall_time=wall_time, step=point['step'], summary=Summary(value=values)))

    def _write(self, event: Event) -> None:
        self._records.write(event.SerializeToString())
        self._records.flush()

    def close(self, failed: bool) -> None:
        self._records.close()
