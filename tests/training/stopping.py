"""A run of the test's own process that is asked to stop on its way."""

import os
import pathlib
import signal

import pytest

from efficiency.errors import Stopped
from efficiency.training.loop import train
from efficiency.training.trainer import Trainer


def train_until(step, config, workdir, data_dir=None):
    """Trains, and is asked to stop by SIGTERM once so many steps are taken."""
    take = Trainer._take_step

    def stopped(self, *args):
        state = take(self, *args)
        if self.run.steps == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return state

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Trainer, '_take_step', stopped)
        with pytest.raises(Stopped):
            train(config, workdir, data_dir)


def final_state(workdir):
    """The arrays of a run's newest checkpoint as bytes: weights, optimizer, keys and what steps hand on."""
    newest = max(pathlib.Path(workdir, 'checkpoints').iterdir(), key=lambda folder: int(folder.name))
    return newest.name, (newest / 'state.safetensors').read_bytes()


def without_times(curve):
    return [{key: value for key, value in point.items() if not key.endswith('_seconds')} for point in curve]


def goes_on_bit_for_bit(step, config, whole, folder):
    """Holds a run that is stopped and goes on against one that never was; returns its record.

    Args:
        step: at which it is stopped.
        config: of both.
        whole: the record of the run that was never stopped, in `folder / 'whole'`.
        folder: the other is in `folder / 'stopped'`.
    """
    train_until(step, config, folder / 'stopped')
    record = train(config, folder / 'stopped')
    assert record['resumed_from_steps'] == [step]
    assert without_times(record['curve']) == without_times(whole['curve'])
    assert final_state(folder / 'stopped') == final_state(folder / 'whole')
    return record
