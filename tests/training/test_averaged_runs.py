"""Runs that are evaluated by an average of their weights."""

import os
import signal

import numpy as np
import pytest

from configs import lenet5
from efficiency import load_run
from efficiency.errors import Stopped, UserError
from efficiency.tasks.images.task import Images
from efficiency.training.loop import train
from efficiency.training.recipe import opened
from efficiency.training.trainer import Trainer
from tests.training.test_run import assert_same_run

EMA, LAST = {'name': 'ema', 'decay': 0.9}, {'name': 'last', 'count': 3, 'every': 0.05}


def config_of(averaging):
    config = lenet5.get_config()
    config.num_epochs, config.eval_every, config.target.value = 0.2, 0.1, 1.0
    config.averaging = averaging
    return config


@pytest.mark.parametrize('averaging', [EMA, LAST], ids=['ema', 'last'])
def test_the_average_is_of_the_very_weights_that_training_passed_through(averaging, tmp_path, monkeypatch):
    take, passed = Trainer._take_step, []

    def noted(self, state, batch):
        state = take(self, state, batch)
        passed.append(np.asarray(state.params['conv1']['kernel'], np.float64))
        return state

    monkeypatch.setattr(Trainer, '_take_step', noted)
    plain = train(config_of({'name': 'none'}), tmp_path / 'plain')
    weights, passed = passed, []
    record = train(config_of(averaging), tmp_path / 'averaged')
    np.testing.assert_array_equal(passed, weights)  # it changes nothing of training
    assert [p['train_macs'] for p in record['curve']] == [p['train_macs'] for p in plain['curve']]
    assert record['evaluation'] == plain['evaluation']
    assert [p['loss'] for p in record['curve']] != [p['loss'] for p in plain['curve']]
    if averaging is EMA:
        share = 0.9 ** np.arange(len(weights))[::-1]
        expected = np.tensordot(share / share.sum(), weights, 1)
    else:  # 25 steps of 32 are an epoch's fifth: the average is of the weights after 200, 400, 600 and 800 examples
        times = [-(-200 * i // 32) - 1 for i in (2, 3, 4)]
        expected = np.mean([weights[i] for i in times], axis=0)
    loaded = load_run(tmp_path / 'averaged')
    np.testing.assert_allclose(loaded.variables['params']['conv1']['kernel'], expected, rtol=1e-5, atol=1e-7)
    # The record's figure is of these weights.
    task = opened(config_of(averaging), None).task
    logits = Images.scores(task, loaded.variables, {k: v[:1000] for k, v in task.eval.arrays.items()})
    assert np.mean(np.asarray(logits['top1'])) == record['final']['top1']


@pytest.mark.parametrize('averaging', [EMA, LAST], ids=['ema', 'last'])
def test_a_stopped_run_goes_on_with_its_average(averaging, tmp_path, monkeypatch):
    config = config_of(averaging)
    train(config, tmp_path / 'whole')
    take = Trainer._take_step

    def stopped(self, state, batch):
        if self.run.steps == 10:
            os.kill(os.getpid(), signal.SIGTERM)
        return take(self, state, batch)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, '_take_step', stopped)
        with pytest.raises(Stopped):
            train(config, tmp_path / 'stopped')
    assert train(config, tmp_path / 'stopped')['resumed_from_steps'] == [11]
    assert_same_run(tmp_path / 'whole', tmp_path / 'stopped')


@pytest.mark.parametrize(
    ('averaging', 'words'),
    [
        ({'name': 'emma'}, "no averaging is named 'emma'"),
        ({'name': 'ema', 'decay': 1.5}, 'averaging.decay is 1.5; it must be a number above 0 and below 1'),
        ({'name': 'ema', 'count': 3}, "averaging has the key 'count', which ema does not take"),
        ({'name': 'last', 'count': 0}, 'averaging.count is 0; it must be a whole number from 1'),
        ({}, 'the config has no averaging.name'),
        (3, 'config.averaging is 3; it must be a section'),
    ],
)
def test_what_is_no_averaging_is_one_sentence_before_data_are_read(averaging, words):
    config = config_of(EMA).to_dict() | {'averaging': averaging}
    with pytest.raises(UserError, match=words):
        opened(type(config_of(EMA))(config), None)
