"""Checkpoints: everything a run needs to go on as if it had never stopped."""

import copy
import pathlib
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

_KEPT = 3


class Checkpoints:
    """The newest few checkpoints of a run, written in the background, each whole or not there.

    A checkpoint holds the training state and the run's progress: config, curve, clock, steps of each program.
    """

    def __init__(self, workdir: pathlib.Path):
        self._manager = ocp.CheckpointManager(
            (workdir / 'checkpoints').absolute(),
            options=ocp.CheckpointManagerOptions(max_to_keep=_KEPT, enable_async_checkpointing=True),
            item_names=('state', 'progress'),
        )

    @property
    def latest_step(self) -> int | None:
        """The step of the newest whole checkpoint."""
        return self._manager.latest_step()

    def save(self, step: int, state: Any, progress: dict) -> None:
        """Starts writing a checkpoint; waits for the one before it, if that is still being written."""
        # Copied, because the run goes on while this is written, and its buffers on the device are given away.
        on_host = jax.tree.map(lambda leaf: np.array(leaf, copy=True), state)
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(on_host), progress=ocp.args.JsonSave(copy.deepcopy(progress))
            ),
        )

    def restore(self, like: Any = None) -> tuple[Any, dict]:
        """The newest checkpoint's state, in the structure of `like` or in plain dicts, and its progress."""
        template = None if like is None else jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), like)
        restored = self._manager.restore(
            self.latest_step,
            args=ocp.args.Composite(state=ocp.args.StandardRestore(template), progress=ocp.args.JsonRestore()),
        )
        return restored.state, restored.progress

    def wait(self) -> None:
        """Until everything is on disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, and ends the threads that write."""
        self._manager.close()
