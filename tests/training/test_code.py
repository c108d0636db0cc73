"""A run is known by its config and its code: what goes on, or is given back, under other code is found."""

import ast
import json
import os
import re
import subprocess
import sys

import jax
import pytest

from efficiency import records
from efficiency.errors import UserError
from efficiency.training import code
from efficiency.training.own_files import own_files
from tests.conftest import ROOT, not_root
from tests.study_command import run, written

pytestmark = pytest.mark.kind('changed code')

NETWORK = """
import flax.linen as nn
import jax.numpy as jnp
from configs import common
from efficiency.tasks.images.networks import register
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


def test_only_what_the_same_versions_traced_is_compared(capsys):
    now = code.Step('b' * 64, 'b' * 64, 'jax 2, flax 1, optax 1 on cpu')
    code.check_step(None, now, 'the run')  # older than what is kept
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
    code.check_weights({'init_from_sha256': None}, {'init_from': str(path)}, 'the run')
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


def command(folder, *args, env=None):
    return subprocess.run(
        [sys.executable, '-m', 'efficiency.main', f'--config={folder}/own.py', f'--workdir={folder}/run', *args],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300, env=os.environ | (env or {}),
    )  # fmt: skip


def assert_refused(folder, says, *args):
    done = command(folder, *args)
    assert done.returncode == 2
    assert says in done.stderr


@pytest.fixture
def layers(own):
    """The file that the network's own file imports, as it was again afterwards."""
    yield own / 'own_layers.py'
    (own / 'own_layers.py').write_text(LAYERS)


def test_the_record_says_which_code_it_is_of(own):
    record = records.read(own / 'run')
    # Those of the network's own package are added, where it uses any.
    kept = record['code']
    assert list(kept['own_files']) == [
        'config_config',
        'configs.common',
        'efficiency.tasks.images.networks.registry',
        'own_layers',
    ]
    traced = record['programs'][0]['traced']
    assert traced['traced_by'].startswith(f'jax {jax.__version__}, flax ')
    assert len(traced['step_sha256']) == len(traced['forward_sha256']) == len(kept['initial_sha256']) == 64
    assert kept['init_from_sha256'] is None


def test_a_finished_run_is_given_back_under_the_same_code_alone(own, layers):
    before = (own / 'run' / 'run.json').read_bytes()
    layers.write_text(LAYERS + '# a comment changes nothing\n')
    assert 'finished before' in command(own).stderr
    layers.write_text(LAYERS.replace('nn.relu', 'nn.tanh'))
    done = command(own)
    assert (done.returncode, done.stdout) == (2, '')
    assert done.stderr.splitlines()[-1].startswith(f'efficiency: {own}/run trained another step than the code')
    layers.write_text(LAYERS.replace('nn.Dense(8)', 'nn.Dense(8, kernel_init=nn.initializers.ones)'))
    assert_refused(own, 'began with other values')
    layers.write_text(LAYERS.replace('def hidden(x):', 'def hidden(x, train):\n    x = x if train else x / 2'))
    (own / 'own.py').write_text(NETWORK.replace('.reshape(len(x), -1)', '.reshape(len(x), -1), train'))
    assert_refused(own, 'evaluated another network')
    # With a --data_dir the data set is opened first, and the run begun again on that.
    assert_refused(own, 'evaluated another network', f'--data_dir={own}')
    done = command(own, '--changed_code')
    assert done.returncode == 0
    assert 'finished before' in done.stderr
    (own / 'own.py').write_text(NETWORK)
    assert (own / 'run' / 'run.json').read_bytes() == before


DATA = """
import numpy as np
from efficiency.tasks.images.data import Examples, Source, register_dataset


def split(count):
    labels = np.arange(count) % 10
    return Examples(np.full((count, 28, 28, 1), 25 * labels[:, None, None, None], np.uint8), labels)


@register_dataset('squares')
def squares(data_dir):
    return Source(10, {'train': split(64), 'test': split(32)})


"""


def test_a_data_set_of_ones_own_that_changes_is_found(tmp_path):
    text = NETWORK.replace('import own_layers', '').replace('own_layers.hidden', 'nn.Dense(4)') + DATA
    text = text.replace("paper_recipe('own', dataset", "paper_recipe('own', 'squares'")
    text = text.replace(
        'config.num_epochs, config.eval_every', 'config.image_size, config.num_epochs, config.eval_every'
    )
    (tmp_path / 'own.py').write_text(text.replace(' = 0.016, 0.008, 1.0', ' = 28, 1.0, 0.5, 1.0'))
    assert command(tmp_path).returncode == 0
    for part in ("'test': split(32)", "'test': split(31)"), ('np.arange(count) % 10', 'np.arange(count) % 9'):
        before = (tmp_path / 'own.py').read_text()
        (tmp_path / 'own.py').write_text(before.replace(*part))
        assert_refused(tmp_path, 'is of another data set than the code')
        (tmp_path / 'own.py').write_text(before)


def test_a_file_of_its_code_that_may_not_be_read_is_no_trace(own, tmp_path):
    path = tmp_path / 'weights'
    path.write_bytes(b'one')
    kept = {'init_from_sha256': code.weights_digest(str(path))}
    path.chmod(0)
    with not_root():
        code.check_weights(kept, {'init_from': str(path)}, 'the run')  # it needs them no more


def test_a_state_of_other_code_is_said_to_be_so(own, layers):
    path = own / 'run' / 'run.json'
    finished = path.read_bytes()
    path.unlink()
    layers.write_text(LAYERS.replace('nn.Dense(8)', 'nn.Dense(9)'))
    assert_refused(own, 'trained another step than the code')
    assert_refused(own, 'arrays of other names or shapes', '--changed_code')
    path.write_bytes(finished)


def test_what_jax_is_told_is_said_before_the_code_is_looked_at(own, layers):
    layers.write_text(LAYERS + '# another file\n')
    for env in ({'JAX_PLATFORMS': 'cdua'}, {'JAX_DISABLE_JIT': '1'}):
        done = command(own, env=env)
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].startswith(f'efficiency: {next(iter(env))}')
        assert 'Traceback' not in done.stderr


def test_what_was_found_to_be_the_same_is_remembered_of_that_run_alone(own, layers, monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    path = own / 'run' / 'run.json'
    finished = path.read_text()
    layers.write_text(LAYERS + '# another file\n')
    assert 'finished before' in command(own).stderr
    record = json.loads(finished)
    record['code']['initial_sha256'] = '0' * 64  # as of a run that drew other values
    path.write_text(json.dumps(record))
    assert 'began with other values' in command(own).stderr
    path.write_text(finished)


def test_a_network_that_a_config_loads_by_itself_counts_too(own, tmp_path):
    """By a path, so that Python knows of no module of that name."""
    (tmp_path / 'net.py').write_text(
        NETWORK.replace('own_layers.hidden', 'nn.Dense(4)').replace('import own_layers', '')
    )
    (tmp_path / 'own.py').write_text(f"""
import importlib.util
spec = importlib.util.spec_from_file_location('net', {str(tmp_path / 'net.py')!r})
net = importlib.util.module_from_spec(spec)
spec.loader.exec_module(net)
get_config = net.get_config
""")
    assert command(tmp_path).returncode == 0
    assert 'net' in records.read(tmp_path / 'run')['code']['own_files']
    (tmp_path / 'net.py').write_text((tmp_path / 'net.py').read_text().replace('nn.Dense(4)', 'nn.Dense(5)'))
    assert 'trained another step' in command(tmp_path).stderr
    (tmp_path / 'net.py').write_text((tmp_path / 'net.py').read_text().replace('nn.Dense(5)', 'nn.Dense(4)'))
    assert 'finished before' in command(tmp_path).stderr
    (tmp_path / 'net.py').write_text((tmp_path / 'net.py').read_text().replace('nn.Dense(4)', 'nn.Dense(5)'))
    assert 'trained another step' in command(tmp_path).stderr


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


_IMPORTED = 'from efficiency.training.own_files import own_files'


def test_files_are_found_wherever_they_are_imported():
    from efficiency.tasks.images.networks.shufflenet import ShuffleNetV1

    found = own_files(defined_by=[ShuffleNetV1])
    networks = {name for name in found if name.startswith('efficiency.')}
    assert {
        'efficiency.tasks.images.networks.shufflenet',
        'efficiency.layers.modules',
        'efficiency.tasks.images.networks.registry',
    } <= networks
    assert 'efficiency.tasks.images.networks.resnet' not in networks
    later = subprocess.run(
        [sys.executable, '-c', f'{_IMPORTED}; print(own_files(more={sorted(networks)}))'],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ast.literal_eval(later.stdout).items() >= {name: found[name] for name in networks}.items()
    assert own_files(more=['not_there', 'not_there.below', 'sys']).keys() == own_files().keys()


def test_a_run_goes_on_under_the_same_code_or_deliberately(own, layers):
    path = own / 'run' / 'run.json'
    finished = path.read_bytes()
    path.unlink()  # its checkpoints are what it goes on from
    layers.write_text(LAYERS.replace('nn.relu', 'nn.tanh'))
    assert_refused(own, f'{own}/run trained another step than the code')
    assert not path.exists()
    assert command(own, '--changed_code').returncode == 0
    old, new = json.loads(path.read_text())['programs']
    assert (old['steps'], new['steps']) == (2, 0)
    assert old['traced']['step_sha256'] != new['traced']['step_sha256']
    path.write_bytes(finished)


def test_a_study_keeps_no_record_of_other_code(own, layers, tmp_path):
    kept = tmp_path / 'results' / 'small' / 'a' / 'seed0.json'
    kept.parent.mkdir(parents=True)
    kept.write_bytes((own / 'run' / 'run.json').read_bytes())
    system = {'config': f'{own}/own.py', 'seeds': [0]}
    # Two of one file, which registers the network again for each.
    study = written(tmp_path, systems={'a': system, 'b': {**system, 'overrides': {'learning_rate': 0.02}}})
    assert 'done' in run(study, '--list').stdout
    layers.write_text(LAYERS.replace('nn.relu', 'nn.tanh'))
    done = run(study, '--list')
    assert done.returncode == 0
    assert f'of other code  {kept} trained another step than the code that is here now' in done.stdout
    done = run(study, '--jobs=1')
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f'efficiency: {kept} trained another step')
    assert f'move {kept} away' in done.stderr
    assert '--changed_code' in done.stderr
    assert re.search('^a/seed0 .* done ', run(study, '--list', '--changed_code').stdout, re.MULTILINE)
    # What is not asked for is not looked at, which takes the trace of a step, and so not kept.
    workdir = tmp_path / 'runs' / 'small' / 'a' / 'seed0'
    workdir.mkdir(parents=True)
    kept.rename(workdir / 'run.json')
    done = run(study, '--only=b')
    assert done.returncode == 0
    assert 'traced anew' not in done.stderr
    other = kept.parent.parent / 'b' / 'seed0.json'
    assert other.exists()
    assert not kept.exists()
    # One that was stopped, whose checkpoints are there, goes on under other code if that is meant.
    other.unlink()
    (tmp_path / 'runs' / 'small' / 'b' / 'seed0' / 'run.json').unlink()
    layers.write_text(LAYERS)
    done = run(study, '--only=b')
    assert done.returncode == 1
    assert 'or go on with it all the same by --changed_code' in run(study, '--list', '--only=b').stdout
    assert run(study, '--only=b', '--changed_code').returncode == 0
    assert other.exists()
