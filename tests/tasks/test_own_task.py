"""What a task of one's own is told where it does not answer as it must."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from efficiency import tasks
from efficiency.errors import UserError
from efficiency.metrics import OF_CLASSES, Metric
from efficiency.tasks import Arrays, DataTask, register_task, task_entry
from efficiency.tasks.task import Forward
from efficiency.training.loop import train
from efficiency.training.settings import check_config
from efficiency.values import whole

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

    for cls, shapes in ((Wrong, r"'errors': \('n',\)"), (Flat, r"'error': \('n', 2\)")):
        register(cls)
        with pytest.raises(UserError, match=rf'the scores of an example are .*{shapes}.*they must be error, loss'):
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
