"""Steps of several programs: what they cost, in which order they are called, and that they go on when stopped."""

import json
import os
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from efficiency import records, tasks
from efficiency.costs import counted_stages
from efficiency.metrics import Metric
from efficiency.records import spent_by_part
from efficiency.summary import summary
from efficiency.tasks import Task, register_task
from efficiency.tasks.evaluation import Evaluated
from efficiency.tasks.task import Form, Forward, Part
from efficiency.training.checkpoint import Checkpoints
from efficiency.training.loop import train
from efficiency.training.recipe import opened, outlined
from efficiency.training.settings import check_config
from tests.conftest import ROOT
from tests.training.stopping import train_until, without_times

_SIZE, _UPDATES, _GATE_EVERY = 4, 3, 2


class _ByNumber:
    in_memory = True

    def at(self, position):
        gated = (position // 8 + 1) % _GATE_EVERY == 0
        return {'gate' if gated else 'plain': np.zeros((), np.int32)}


class Game(Task):
    """A weight w (4, 4): a step collects rows, learns from them thrice, and every other step gates."""

    unit, epoch_examples, updates = 'moves', 80, _UPDATES

    def __init__(self, config, data_dir):
        self.config = config

    @property
    def description(self):
        return {'name': 'toy', 'version': '1', 'fingerprint': 'toy'}

    def init(self, key):
        return {'params': {'w': np.eye(_SIZE, dtype=np.float32)}}

    def carried(self, variables, key):
        # A digit for each call, how many there were, and eight rows to learn from.
        return {'calls': jnp.zeros(64, jnp.int8), 'number': jnp.zeros((), jnp.int32), 'rows': jnp.zeros((8, _SIZE))}

    def batches(self, config, host):
        return _ByNumber()

    def forms(self, config):
        forward = Forward(lambda v, x: x @ v['params']['w'], (jax.ShapeDtypeStruct((1, _SIZE), jnp.float32),))
        parts = [Part('collect', 1, self._collect), Part('update', _UPDATES, self._update, trains=True)]
        gated = [*parts, Part('gate', 1, self._gate)]
        return [
            Form({'plain': ((), np.int32)}, forward, parts=parts), Form({'gate': ((), np.int32)}, forward, parts=gated)
        ]  # fmt: skip

    def _noted(self, carried, digit, **more):
        return {
            **carried, 'calls': carried['calls'].at[carried['number'] % 64].set(digit), 'number': carried['number'] + 1,
            **more,
        }  # fmt: skip

    def _collect(self, params, carried, key):
        return self._noted(carried, 1, rows=jax.random.normal(key, (8, _SIZE)) @ params['w'])

    def _update(self, params, carried, key):
        error = jnp.mean((carried['rows'] @ params['w']) ** 2)
        return error, self._noted(carried, 2)

    def _gate(self, params, carried, key):
        return self._noted(carried, 3, rows=carried['rows'] @ params['w'] @ params['w'])

    def evaluator(self, devices):
        class Evaluator:
            def compile(self, variables):
                pass

            def __call__(self, variables, stopped=lambda: False):
                size = float(np.abs(np.asarray(variables['params']['w'])).sum())
                return Evaluated({'loss': size, 'size': size}, 1, 1)

        return Evaluator()


@pytest.fixture(autouse=True)
def registered():
    register_task('toy', metrics=[Metric('size', '', rises=False, low=0)])(Game)
    yield
    tasks._entries.pop('toy')


def config_of(**more):
    return ConfigDict({
        'task': 'toy', 'dataset': 'toy', 'model': {'name': 'w'}, 'target': {'metric': 'size', 'value': 1e-6},
        'batch_size': 8, 'num_epochs': 1.0, 'eval_every': 0.4, 'learning_rate': 0.1, 'schedule': 'linear',
        'optimizer': {'name': 'sgd', 'momentum': 0.0}, **more,
    })  # fmt: skip


def test_compute_is_that_of_the_parts_times_their_calls(tmp_path):
    record = train(config_of(), tmp_path)
    square = _SIZE**2
    # By hand: rows (8, 4) @ w forward; and with the gradient of w as much again; two products of the gate.
    collect, update, gate = 8 * square, 2 * 8 * square, 2 * 8 * square
    plain, gated = record['programs']
    assert (plain['steps'], gated['steps']) == (5, 5)
    assert [(p['name'], p['calls_per_step'], p['dense_macs_per_call']) for p in gated['parts']] == [
        ('collect', 1, collect), ('update', 3, update), ('gate', 1, gate),
    ]  # fmt: skip
    assert plain['train_dense_macs_per_step'] == collect + 3 * update
    assert record['curve'][-1]['train_macs'] == 10 * (collect + 3 * update) + 5 * gate == records.spent(record)[0]
    assert spent_by_part(record) == {'collect': 10 * collect, 'update': 30 * update, 'gate': 5 * gate}
    assert (record['unit'], record['curve'][-1]['examples']) == ('moves', 80)
    assert {(point['epochs'], point['paper_macs']) for point in record['curve']} == {(None, None)}
    records.validate(record)
    text = summary(record, tmp_path)
    assert 'moves  80\n' in text
    assert 'collect 12.5 %, update 75.0 %, gate 12.5 %' in text
    assert 'epochs' not in text
    assert 'paper compute' not in text


def test_a_count_without_training_is_that_of_the_run():
    counted = counted_stages(outlined(config_of()))
    square = 8 * _SIZE**2
    assert [each.train.dense_macs for each in counted] == [
        square + 3 * 2 * square,
        square + 3 * 2 * square + 2 * square,
    ]


def test_parts_are_called_in_their_order(tmp_path):
    train(config_of(), tmp_path)
    state = _state(tmp_path)
    assert list(state['carried/calls'][: int(state['carried/number'])]) == [1, 2, 2, 2, 1, 2, 2, 2, 3] * 5
    # Each call draws from a key of its own.
    assert state['step'] == 45


def _state(workdir):
    from safetensors import numpy as safetensors

    newest = max((workdir / 'checkpoints').iterdir(), key=lambda folder: int(folder.name))
    return safetensors.load_file(newest / 'state.safetensors')


def test_schedules_go_on_with_each_update(tmp_path):
    config = check_config(config_of())
    plan = opened(config, None).plan
    params = {'w': jnp.ones(())}
    optimizer = plan.stages[0].optimizer
    state, rates = optimizer.init(params), []
    for _ in range(30):
        updates, state = optimizer.update({'w': jnp.ones(())}, state, params)
        rates.append(-float(updates['w']))
    np.testing.assert_allclose(rates, 0.1 * (1 - np.arange(30) / 30), rtol=1e-4)


def test_what_forms_have_in_common_is_traced_once():
    plain, gated = opened(config_of(), None).trace().values()
    assert [a.traced is b.traced for a, b in zip(plain.parts, gated.parts[:2], strict=True)] == [True, True]


def test_a_stopped_run_goes_on_bit_for_bit(tmp_path):
    whole = train(config_of(), tmp_path / 'whole')
    train_until(5, config_of(), tmp_path / 'stopped')
    record = train(config_of(), tmp_path / 'stopped')
    assert record['resumed_from_steps'] == [5]
    assert without_times(record['curve']) == without_times(whole['curve'])
    ours, theirs = _state(tmp_path / 'stopped'), _state(tmp_path / 'whole')
    assert ours.keys() == theirs.keys()
    assert 'carried/rows' in ours
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_a_record_whose_parts_do_not_add_up_is_none(tmp_path):
    record = json.loads(json.dumps(train(config_of(), tmp_path)))
    record['programs'][0]['parts'][0]['calls_per_step'] = 2
    with pytest.raises(records.RecordError, match=r'programs\[0\].parts are'):
        records.validate(record)
    del record['programs'][0]['parts'], record['unit']
    with pytest.raises(records.RecordError, match=r'curve\[0\].epochs is None'):
        records.validate(record)


_ON_TWO_DEVICES = """
from tests.training.test_step_parts import Game, Metric, config_of, register_task
from efficiency.training.checkpoint import Checkpoints
from efficiency.training.loop import train
from efficiency.training.recipe import opened
from efficiency.training.settings import check_config
import sys
import time

register_task('toy', metrics=[Metric('size', '', rises=False, low=0)])(Game)
state = opened(check_config(config_of()), None)
state = state.put(state.start)
print([tuple(leaf.sharding.spec) for leaf in (state.carried['rows'], state.carried['number'], state.params['w'])])
print([point['size'] for point in train(config_of(), sys.argv[1])['curve']])
"""


def test_what_is_carried_is_split_over_devices_where_that_divides(tmp_path):
    environment = {**os.environ, 'XLA_FLAGS': '--xla_force_host_platform_device_count=2'}
    command = [sys.executable, '-c', _ON_TWO_DEVICES, str(tmp_path / 'two')]
    out = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    split, curve = out.splitlines()
    assert split == "[('data',), (), ()]"
    alone = [point['size'] for point in train(config_of(), tmp_path / 'one')['curve']]
    np.testing.assert_allclose(json.loads(curve), alone, rtol=1e-5)


def test_what_is_carried_is_saved_no_more_often_than_it_pays(tmp_path, monkeypatch):
    save, saved = Checkpoints.save, []

    def slowly(self, step, state, progress):
        saved.append(step)
        time.sleep(0.5)
        save(self, step, state, progress)

    monkeypatch.setattr(Checkpoints, 'save', slowly)
    record = train(config_of(eval_every=0.1), tmp_path)
    # Ten evaluations in much less than twenty times half a second: the first is saved, and the end.
    assert len(record['curve']) == 10
    assert saved == [1, 10]
