"""A run is known by its config and its code: what goes on, or is given back, under other code is found."""

import ast
import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from efficiency import records
from efficiency.errors import UserError
from efficiency.training import code
from efficiency.training.step_hash import step_hash
from tests.conftest import ROOT

NETWORK = """
import flax.linen as nn
import jax.numpy as jnp
from configs import common
from efficiency.models import register
import own_layers


@register('own', paper='none', published='2026-01-01', image_size=28)
class Own(nn.Module):
    num_classes: int
    image_size: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x, train):
        return nn.Dense(self.num_classes)(own_layers.hidden(x.reshape(len(x), -1)))


def get_config(dataset=None):
    config = common.paper_recipe('own', dataset, learning_rate=0.01)
    config.num_epochs, config.eval_every, config.target.value = 0.016, 0.008, 1.0
    return config
"""
LAYERS = """
import flax.linen as nn


def hidden(x):
    return nn.relu(nn.Dense(8)(x))
"""


def hashed(function, *args):
    return step_hash(jax.make_jaxpr(function)(*args))


X = np.ones(3, np.float32)


def test_names_and_positions_change_nothing():
    @jax.jit
    def one(x):
        return jnp.sin(x) * 2

    def other(z):
        y = jnp.sin(z)
        return y * 2

    assert hashed(one, X) == hashed(jax.jit(other), X)


TABLE = np.arange(5000, dtype=np.float32).reshape(1, -1)
LIKE = jax.ShapeDtypeStruct((3,), np.float32)


def turns(step):
    return lambda x: jax.lax.fori_loop(0, 3, lambda _, y: y + step, x)


def drawn(seed):
    return lambda x: jax.random.normal(jax.random.key(seed), (3,)) + x


def twice(x):
    return x * 2


def thrice(x):
    return x * 3


def called(function):
    return lambda x: jax.pure_callback(function, LIKE, x)


@pytest.mark.parametrize(
    ('one', 'other'),
    [
        (lambda x: x * 0.1, lambda x: x * np.nextafter(np.float32(0.1), np.float32(1))),
        (lambda x: jnp.sin(jnp.cos(x)), lambda x: jnp.cos(jnp.sin(x))),
        (lambda x: x - x[::-1], lambda x: x[::-1] - x),
        (lambda x: x[:, None] @ TABLE, lambda x: x[:, None] @ np.where(TABLE == 2500, -1, TABLE)),
        (jax.jit(lambda x: x * TABLE[0, :3]), jax.jit(lambda x: x * TABLE[0, 1:4])),
        (turns(1), turns(2)),
        (lambda x: jax.lax.cond(x[0] > 0, jnp.sin, jnp.cos, x), lambda x: jax.lax.cond(x[0] > 0, jnp.cos, jnp.sin, x)),
        (called(twice), called(thrice)),
        (jax.nn.relu, jax.nn.gelu),
        (lambda x: x.astype(jnp.bfloat16) * 1.0, lambda x: x.astype(jnp.float16) * 1.0),
        (drawn(0), drawn(1)),
    ],
)
def test_what_is_computed_otherwise_has_another_hash(one, other):
    assert hashed(one, X) != hashed(other, X)


_OF_A_RECIPE = """
from efficiency.config_file import read_config
from efficiency.training.code import begin
print(*begin(read_config('configs/shufflenet.py', ['--config.model.name=lenet5']), None).step)
"""


def test_a_step_is_the_same_in_other_processes_and_on_other_numbers_of_devices():
    flags = {'1': '', '8': '--xla_force_host_platform_device_count=8'}
    found = {
        subprocess.run(
            [sys.executable, '-c', _OF_A_RECIPE], cwd=ROOT, capture_output=True, text=True, check=True,
            env=os.environ | {'PYTHONHASHSEED': seed, 'XLA_FLAGS': value},
        ).stdout
        for seed, value in flags.items()
    }  # fmt: skip
    assert len(found) == 1


def test_only_what_the_same_versions_traced_is_compared(capsys):
    now = code.Step('b' * 64, 'b' * 64, 'jax 2, flax 1, optax 1 on cpu')
    code.check_step({}, now, 'the run')  # older than what is kept
    code.check_step(now._asdict(), now, 'the run')
    with pytest.raises(UserError, match=r'the run trained another step than the code .* --changed_code'):
        code.check_step(now._asdict() | {'step_sha256': 'a' * 64}, now, 'the run')
    with pytest.raises(UserError, match=r'the run evaluated another network than the code .* --changed_code'):
        code.check_step(now._asdict() | {'forward_sha256': 'a' * 64}, now, 'the run')
    assert capsys.readouterr().err == ''
    older = code.Step('a' * 64, 'a' * 64, 'jax 1, flax 1, optax 1 on cpu')
    code.check_step(older._asdict(), now, 'the run')
    error = capsys.readouterr().err
    for words in ('jax 1, flax 1', 'jax 2, flax 1', 'cannot be told'):
        assert words in error


def test_a_run_that_began_with_other_weights_is_found(tmp_path):
    path = tmp_path / 'weights.safetensors'
    path.write_bytes(b'one')
    kept = {'init_from_sha256': code.weights_digest(str(path))}
    code.check_weights(kept, {'init_from': str(path)}, 'the run')
    code.check_weights({}, {'init_from': str(path)}, 'the run')
    path.write_bytes(b'two')
    with pytest.raises(UserError, match=r'began with other weights than .*weights.safetensors holds now'):
        code.check_weights(kept, {'init_from': str(path)}, 'the run')
    path.unlink()  # a finished run needs it no more
    code.check_weights(kept, {'init_from': str(path)}, 'the run')


@pytest.fixture(scope='module')
def own(tmp_path_factory):
    """The folder of a network of the user's own, of which a run was trained to its end."""
    folder = tmp_path_factory.mktemp('own')
    (folder / 'own.py').write_text(NETWORK)
    (folder / 'own_layers.py').write_text(LAYERS)
    done = command(folder)
    assert done.returncode == 0, done.stderr
    return folder


def command(folder, *args):
    return subprocess.run(
        [sys.executable, '-m', 'efficiency.main', f'--config={folder}/own.py', f'--workdir={folder}/run', *args],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


@pytest.fixture
def layers(own):
    """The file that the network's own file imports, as it was again afterwards."""
    yield own / 'own_layers.py'
    (own / 'own_layers.py').write_text(LAYERS)


def test_the_record_says_which_code_it_is_of(own):
    record = records.read(own / 'run')
    # Those of the network's own package are added, where it uses any.
    assert list(record['own_files']) == ['config_config', 'configs.common', 'efficiency.models.registry', 'own_layers']
    (program,) = record['programs']
    assert program['traced_by'].startswith(f'jax {jax.__version__}, flax ')
    assert len(program['step_sha256']) == len(program['forward_sha256']) == len(record['initial_sha256']) == 64
    assert record['init_from_sha256'] is None


def test_a_finished_run_is_given_back_under_the_same_code_alone(own, layers):
    before = (own / 'run' / 'run.json').read_bytes()
    layers.write_text(LAYERS + '# a comment changes nothing\n')
    assert 'finished before' in command(own).stderr
    layers.write_text(LAYERS.replace('nn.relu', 'nn.tanh'))
    done = command(own)
    assert (done.returncode, done.stdout) == (2, '')
    assert done.stderr.splitlines()[-1].startswith(f'efficiency: {own}/run trained another step than the code')
    layers.write_text(LAYERS.replace('nn.Dense(8)', 'nn.Dense(8, kernel_init=nn.initializers.ones)'))
    done = command(own)
    assert done.returncode == 2
    assert 'began with other values' in done.stderr
    layers.write_text(LAYERS.replace('def hidden(x):', 'def hidden(x, train):\n    x = x if train else x / 2'))
    (own / 'own.py').write_text(NETWORK.replace('.reshape(len(x), -1)', '.reshape(len(x), -1), train'))
    done = command(own)
    assert done.returncode == 2
    assert 'evaluated another network' in done.stderr
    done = command(own, '--changed_code')
    assert done.returncode == 0
    assert 'finished before' in done.stderr
    (own / 'own.py').write_text(NETWORK)
    assert (own / 'run' / 'run.json').read_bytes() == before


LAZY = """
def factor():
    import own_factor
    return own_factor.VALUE
"""


def test_a_file_that_is_imported_late_counts_too(own, layers):
    """Whether it did so from the beginning, or is found behind one that has changed."""
    layers.write_text(LAYERS.replace('(x))', '(x)) * factor()') + LAZY)
    (own / 'own_factor.py').write_text('VALUE = 1\n')
    assert 'trained another step' in command(own).stderr  # a product with one is a step of its own
    layers.write_text(LAYERS.replace('(x))', '(x)) if factor() else x') + LAZY)
    for _ in range(2):  # what was found to be the same is remembered of these files alone
        (own / 'own_factor.py').write_text('VALUE = 2\n')
        assert 'finished before' in command(own).stderr
        (own / 'own_factor.py').write_text('VALUE = 0\n')
        assert 'trained another step' in command(own).stderr


def test_files_are_found_wherever_they_are_imported():
    from efficiency.models.shufflenet import ShuffleNetV1

    found = code.own_files(network=ShuffleNetV1)
    networks = {name for name in found if name.startswith('efficiency.')}
    assert {'efficiency.models.shufflenet', 'efficiency.models.layers', 'efficiency.models.registry'} <= networks
    assert 'efficiency.models.resnet' not in networks
    later = subprocess.run(
        [sys.executable, '-c', f'from efficiency.training import code; print(code.own_files(more={sorted(networks)}))'],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ast.literal_eval(later.stdout).items() >= {name: found[name] for name in networks}.items()
    assert code.own_files(more=['not_there', 'not_there.below', 'sys']).keys() == code.own_files().keys()


def test_a_run_goes_on_under_the_same_code_or_deliberately(own, layers):
    path = own / 'run' / 'run.json'
    finished = path.read_bytes()
    path.unlink()  # its checkpoints are what it goes on from
    layers.write_text(LAYERS.replace('nn.relu', 'nn.tanh'))
    done = command(own)
    assert done.returncode == 2
    assert f'{own}/run trained another step than the code' in done.stderr
    assert not path.exists()
    assert command(own, '--changed_code').returncode == 0
    old, new = json.loads(path.read_text())['programs']
    assert (old['steps'], new['steps']) == (2, 0)
    assert old['step_sha256'] != new['step_sha256']
    path.write_bytes(finished)


def test_a_study_keeps_no_record_of_other_code(own, layers, tmp_path):
    kept = tmp_path / 'results' / 'small' / 'a' / 'seed0.json'
    kept.parent.mkdir(parents=True)
    kept.write_bytes((own / 'run' / 'run.json').read_bytes())
    study = pathlib.Path(tmp_path, 'small.py')
    system = {'config': f'{own}/own.py', 'seeds': [0]}
    study.write_text(f'def get_study():\n    return {{"systems": {{"a": {system}}}}}\n')

    def listed():
        return subprocess.run(
            [sys.executable, '-m', 'efficiency.study', f'--study={study}', f'--runs={tmp_path}/runs',
             f'--results={tmp_path}/results', '--list'],
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip

    assert 'done' in listed().stdout
    layers.write_text(LAYERS.replace('nn.relu', 'nn.tanh'))
    done = listed()
    assert done.returncode == 2
    assert done.stderr.startswith(f'efficiency: {kept} trained another step than the code that is here now')
    assert 'move that file away' in done.stderr
