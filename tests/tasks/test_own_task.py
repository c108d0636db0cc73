"""What a task of one's own is told where it does not answer as it must."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from efficiency import records, tasks
from efficiency.costs import counted_stages
from efficiency.errors import RunError, UserError
from efficiency.metrics import OF_CLASSES, Metric
from efficiency.tasks import Arrays, DataTask, register_task, task_entry
from efficiency.tasks.evaluation import Evaluated
from efficiency.tasks.task import Form, Forward
from efficiency.training.loop import train
from efficiency.training.recipe import outlined
from efficiency.training.settings import check_config
from efficiency.values import whole
from tests.training.stopping import train_until, without_times

ERROR = Metric('error', '', rises=False, low=0)


class Line(DataTask):
    """y = a x, learned."""

    def of(self, variables, x):
        return x[:, None] @ variables['params']['a'][:, 0]

    def __init__(self, config, data_dir):
        self.config = config
        x = np.linspace(-1, 1, 64, dtype=np.float32)
        self.train = self.eval = Arrays({'x': x, 'y': 3 * x})

    def init(self, key):
        return {'params': {'a': np.zeros((1, 1), np.float32)}}

    def loss(self, config):
        def loss(params, extra, batch, key):
            return jnp.mean((self.of({'params': params}, batch['x']) - batch['y']) ** 2), extra

        return loss

    def scores(self, variables, batch):
        error = jnp.abs(self.of(variables, batch['x']) - batch['y'])
        return {'loss': error**2, 'error': error}

    def forward(self, config):
        return Forward(self.of, (jax.ShapeDtypeStruct((1,), jnp.float32),))


@pytest.fixture
def register():
    """Registers a task for one test."""
    yield lambda cls, **more: register_task('line', metrics=[ERROR], **more)(cls)
    tasks._entries.pop('line', None)


def config_of(**more):
    return ConfigDict({
        'task': 'line', 'dataset': 'numbers', 'model': {'name': 'line'}, 'target': {'metric': 'error', 'value': 0.01},
        'batch_size': 64, 'num_epochs': 100.0, 'eval_every': 1.0, 'learning_rate': 0.3, 'schedule': 'constant',
        'optimizer': {'name': 'sgd', 'momentum': 0.0}, **more,
    })  # fmt: skip


def test_a_line_is_reached_at_the_closed_forms_step(register, tmp_path):
    register(Line)
    record = train(config_of(), tmp_path)
    # Gradient descent on the mean of (a - 3)^2 x^2 from 0: a goes on by 0.3 x 2 mean(x^2) of what is left each step.
    x = np.linspace(-1, 1, 64)
    left = 1 - 0.6 * np.mean(x**2)
    steps = np.ceil(np.log(0.01 / (3 * np.mean(np.abs(x)))) / np.log(left))
    assert record['first_crossing']['step'] == steps
    assert (record['macs_per_example']['train_dense'], record['task']) == (2, 'line')
    assert record['metrics'] == {'error': ERROR.to_dict()}


def test_what_multiplies_no_matrices_has_no_compute_to_count(register, tmp_path):
    class Elementwise(Line):
        def of(self, variables, x):
            return x * variables['params']['a'][0, 0]

    register(Elementwise)

    class ScoredByProducts(Elementwise):
        def scores(self, variables, batch):
            return Line.scores(Line(self.config, None), variables, batch)

    for cls, what in ((Elementwise, 'the scores multiply'), (ScoredByProducts, 'the train step of line multiplies')):
        register(cls)
        with pytest.raises(UserError, match=f'{what} no matrices'):
            train(config_of(), tmp_path / cls.__name__)
        tasks._entries.pop('line')


@pytest.mark.parametrize(
    ('variables', 'words'),
    [
        ({'weights': np.zeros((1, 1), np.float32)}, r"makes the variables \['weights'\]; .* has params"),
        ({'params': {'a': np.zeros((1, 1), np.float32)}, 'step': {}}, 'makes variables called step'),
        ([1.0], "makes the variables 'list'"),
    ],
)
def test_variables_that_could_not_be_kept_are_told_before_a_run_begins(variables, words, register, tmp_path):
    class Odd(Line):
        def init(self, key):
            return variables

    register(Odd)
    with pytest.raises(UserError, match=words):
        train(config_of(), tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
    'extra', [{}, {'seen': {'count': np.zeros(2, np.float32)}}, {'seen': {'count': np.zeros((), np.int32)}}, None]
)
def test_a_loss_gives_the_variables_that_it_took(extra, register, tmp_path):
    class Other(Line):
        def init(self, key):
            return {**super().init(key), 'seen': {'count': np.zeros((), np.float32)}}

        def loss(self, config):
            return lambda params, _, batch, key: (jnp.sum(params['a'] @ params['a']), extra)

    register(Other)
    with pytest.raises(
        UserError, match=r"takes the variables \{'seen': \{'count': 'float32 \(\)'\}\} .* must give the same"
    ):
        train(config_of(), tmp_path)


def test_a_run_needs_a_level_whatever_its_task(register, tmp_path):
    register(Line)
    with pytest.raises(UserError, match='which target on numbers'):
        train(config_of(target={'metric': 'error', 'value': None}), tmp_path / 'run')


def test_scores_that_are_not_those_of_the_metrics_are_told_before_a_step(register, tmp_path):
    class Wrong(Line):
        def scores(self, variables, batch):
            return {'loss': batch['x'], 'errors': batch['x']}

    class Flat(Line):
        def scores(self, variables, batch):
            return {'loss': batch['x'], 'error': jnp.stack([batch['x'], batch['y']], 1)}

    class Mean(Line):
        def scores(self, variables, batch):
            return {'loss': batch['x'], 'error': jnp.mean(batch['x'])}

    class First(Line):
        def scores(self, variables, batch):
            return {'loss': batch['x'], 'error': batch['x'][:1]}

    class Number(Line):
        def scores(self, variables, batch):
            return {'loss': batch['x'], 'error': 0.5}

    for cls, shapes in (
        (Wrong, r"'errors': \(64,\)"),
        (Flat, r"'error': \(64, 2\)"),
        (Mean, r"'error': \(\)"),
        (First, r"'error': \(1,\)"),
        (Number, r"'error': 'float'"),
    ):
        register(cls)
        with pytest.raises(UserError, match=rf'the scores of 64 examples are .*{shapes}.*they must be error, loss'):
            train(config_of(), tmp_path / cls.__name__)
        tasks._entries.pop('line')


def test_a_config_is_checked_by_its_tasks_own_keys_and_metrics(register):
    register(Line, settings={'points': whole(1, 9)}, defaults={'points': 4}, stage_keys=('points',))
    assert check_config(config_of()).points == 4
    for more, words in (
        ({'points': 12}, 'config.points is 12; it must be a whole number from 1 to 9'),
        ({'image_size': 28}, "the config has the key 'image_size', which means nothing here"),
        ({'target': {'metric': 'top1', 'value': 0.5}}, "config.target.metric is 'top1'; it must be error"),
        ({'target': {'metric': 'error', 'value': -1.0}}, 'config.target.value is -1.0; it must be a number at least 0'),
        ({'task': 'lines'}, "no task is named 'lines'; the nearest are line"),
        ({'task': 5}, 'config.task is 5; it must be a name'),
        ({'stages': ((1, {'image_size': 2}),)}, 'what a stage of line may change is .*points'),
        ({'stages': ((1, {'points': 0}),)}, 'in the stage from epoch 1, config.points is 0'),
        ({'init_from': 'weights'}, 'line begins with no weights'),
    ):
        with pytest.raises(UserError, match=words):
            train(config_of(**more), '/nowhere')


def test_two_tasks_cannot_have_one_name_and_images_are_one(register):
    register(Line)

    class Other(Line):
        def __init__(self, config, data_dir):
            super().__init__(config, data_dir)

    with pytest.raises(ValueError, match="a task named 'line' is registered already"):
        register(Other)
    assert task_entry('images').metrics == OF_CLASSES


class Lengths(Line):
    """Batches of two forms, of which every third is the longer one."""

    class Batches:
        in_memory = True

        def at(self, position):
            length = 4 if position // 64 % 3 == 2 else 2
            x = np.random.RandomState(position).standard_normal((64, length)).astype(np.float32)
            return {'x': x, 'y': 3 * x}

    def of(self, variables, x):
        return (x[..., None] @ variables['params']['a'])[..., 0]

    def batches(self, config, host=None):
        return self.Batches()

    def forms(self, config):
        return [
            Form(
                dict.fromkeys(('x', 'y'), ((64, length), np.float32)),
                Forward(self.of, (jax.ShapeDtypeStruct((1, length), jnp.float32),)), {'length': length}, share,
            )
            for length, share in ((2, 2 / 3), (4, 1 / 3))
        ]  # fmt: skip


def test_batches_of_several_forms_are_each_compiled_counted_and_billed(register, tmp_path):
    register(Lengths)
    config = config_of(num_epochs=8.0, target={'metric': 'error', 'value': 0.0})
    record = train(config, tmp_path / 'whole')
    assert [
        (p['form'], p['length'], p['steps'], p['train_dense_macs_per_step'], p['forward_dense_macs_per_example'])
        for p in record['programs']
    ] == [(0, 2, 6, 64 * 2 * 2, 2), (1, 4, 2, 64 * 4 * 2, 4)]
    # The third and the sixth of eight steps are long: 3 x forward over what each took.
    assert [point['paper_macs'] / (3 * 64) for point in record['curve']] == [2, 4, 8, 10, 12, 16, 18, 20]
    assert record['macs_per_example']['forward_dense'] == 20 / 8
    assert [each.share for each in counted_stages(outlined(config))] == [2 / 3, 1 / 3]

    train_until(5, config, tmp_path / 'again')
    again = train(config, tmp_path / 'again')
    assert (again['programs'], again['resumed_from_steps']) == (record['programs'], [5])
    assert without_times(again['curve']) == without_times(record['curve'])


def test_a_batch_of_no_form_is_told(register, tmp_path):
    class Longer(Lengths):
        def forms(self, config):
            return super().forms(config)[:1]

    register(Longer)
    with pytest.raises(UserError, match=r'made a batch of .*\(64, 4\).*which is none of its forms'):
        train(config_of(num_epochs=8.0), tmp_path)


@pytest.mark.parametrize(
    'arrays',
    [{}, {'x': np.zeros(3), 'y': np.zeros(4)}, {'x': np.zeros(0)}, {'x': np.zeros(2), 'mask': np.ones(2)}, {'x': 1.0}],
)
def test_a_splits_arrays_have_an_example_a_row(arrays):
    with pytest.raises(UserError, match='a split has'):
        Arrays(arrays)


@pytest.mark.parametrize(
    ('found', 'words'),
    [
        (Evaluated({'loss': 1.0}, 64, 9), r"gave \['loss'\]; it must give loss, error"),
        (Evaluated({'loss': 1.0, 'error': 1.0, 'step': 3.0}, 64, 9), 'it must give loss, error'),
        (Evaluated({'loss': 1.0, 'error': np.float32(1)}, 64, 9), 'is of the type float32'),
        (Evaluated({'loss': 1.0, 'error': -1.0}, 64, 9), 'error is -1 at step 1, not a number, at least 0'),
        (Evaluated({'loss': 1.0, 'error': 1.0}, 64, 0), 'gave 0 as dense_macs'),
        (Evaluated({'loss': 1.0, 'error': 1.0}, 6.4, 9), 'gave 6.4 as examples'),
        (None, 'gave nothing'),
    ],
)
def test_an_evaluation_is_held_against_the_tasks_metrics_and_the_run_has_failed(found, words, register, tmp_path):
    class Evaluator:
        def compile(self, variables):
            pass

        def __call__(self, variables, stopped=None):
            return found

    class Own(Line):
        def evaluator(self, devices):
            return Evaluator()

    register(Own)
    with pytest.raises(RunError, match=words):
        train(config_of(), tmp_path)
    record = records.read(tmp_path)
    assert (record['status'], record['curve']) == ('failed', [])


@pytest.mark.parametrize(
    ('facts', 'words'),
    [
        ({'epoch_examples': None}, 'epoch_examples of the task line is None'),
        ({'epoch_examples': 0}, 'it must be a whole number above 0'),
        ({'description': {'name': 'numbers', 'version': 1, 'fingerprint': ''}}, 'has the version 1; it must be text'),
        ({'description': {'name': 'numbers', 'version': '1'}}, 'has the fingerprint None'),
    ],
)
def test_a_task_says_of_its_data_what_a_record_needs(facts, words, register, tmp_path):
    register(type('Odd', (Line,), facts))
    with pytest.raises(UserError, match=words):
        train(config_of(), tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('loss', [lambda x: x, lambda x: (x, {}), lambda x: (jnp.sum(x).astype(int), {}), jnp.sum])
def test_a_loss_is_a_number_and_the_variables_beside(loss, register, tmp_path):
    class Odd(Line):
        def loss(self, config):
            return lambda params, extra, batch, key: loss(params['a'] @ batch['x'][None, :])

    register(Odd)
    with pytest.raises(UserError, match=r'it must give a number, float32 \(\), and the variables beside params'):
        train(config_of(), tmp_path)


def test_what_cannot_be_registered_is_told_at_once():
    for more, words in (
        ({'metrics': []}, 'one or more, once each'),
        ({'metrics': [ERROR, ERROR]}, 'one or more, once each'),
        (
            {'metrics': [ERROR], 'stage_keys': 'points', 'settings': {'points': whole(1, 9)}},
            'must be keys of its settings',
        ),
        ({'metrics': [ERROR], 'defaults': {'points': 3}}, 'must be keys of its settings'),
    ):
        with pytest.raises(ValueError, match=words):
            register_task('line', **more)(Line)
    with pytest.raises(ValueError, match="a task named 'images' is registered already"):
        register_task('images', metrics=[ERROR])(Line)
