"""A checkpoint comes back as it was saved, or not at all."""

import hashlib
import json
import shutil
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efficiency.errors import UserError
from efficiency.training.checkpoint import Checkpoints

PROGRESS = {'curve': [{'step': 1, 'loss': 0.1}], 'seconds': {'train': 1.5}}


def state(step):
    weights = np.random.RandomState(step).randn(3, 40).astype(np.float32)
    return {
        'step': np.int32(step), 'key': np.array([1, 2], np.uint32),
        'params': {'a': {'kernel': weights}, 'b': jnp.ones(3)},
        'batch_stats': {}, 'opt_state': ({'trace': {'a': {'kernel': -weights}}}, ()),
    }  # fmt: skip


def of_step_0(progress):
    return state(0)


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    """A folder with the checkpoints of steps 1 to 5, as far as they are kept."""
    workdir = tmp_path_factory.mktemp('run')
    checkpoints = Checkpoints(workdir)
    for step in range(1, 6):
        checkpoints.save(step, state(step), PROGRESS | {'step': step})
    checkpoints.wait()
    checkpoints.close()
    return workdir


def test_the_newest_three_are_kept_and_come_back_bit_for_bit(saved):
    assert Checkpoints(saved).steps() == [5, 4, 3]
    assert sorted(path.name for path in (saved / 'checkpoints').iterdir()) == ['3', '4', '5']
    restored, progress = Checkpoints(saved).restore(of_step_0)
    assert progress == PROGRESS | {'step': 5}
    expected = state(5)
    assert restored['step'] == expected['step']
    np.testing.assert_array_equal(restored['params']['a']['kernel'], expected['params']['a']['kernel'])
    np.testing.assert_array_equal(restored['opt_state'][0]['trace']['a']['kernel'], -expected['params']['a']['kernel'])
    assert restored['params']['a']['kernel'].dtype == np.float32
    plain, _ = Checkpoints(saved).restore()
    np.testing.assert_array_equal(plain['params']['a']['kernel'], expected['params']['a']['kernel'])


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_whatever_happens_to_the_newest_the_one_before_is_gone_on_from(saved, tmp_path_factory, data):
    workdir = tmp_path_factory.mktemp('damaged')
    shutil.copytree(saved, workdir, dirs_exist_ok=True)
    path = workdir / 'checkpoints' / '5' / data.draw(st.sampled_from(['state.safetensors', 'progress.json']))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    match data.draw(st.sampled_from(['flip', 'cut', 'lost', 'empty'])):
        case 'flip':
            content[place] ^= 1 << data.draw(st.integers(0, 7))
            path.write_bytes(content)
        case 'cut':
            path.write_bytes(content[:place])
        case 'lost':
            path.unlink()
        case 'empty':
            path.write_bytes(b'')
    checkpoints = Checkpoints(workdir)
    restored, progress = checkpoints.restore(of_step_0, set_aside=True)
    # A flip may leave the text of progress.json with the same meaning, as in the case of an escape's digits.
    assert (progress['step'], int(restored['step'])) in {(4, 4), (5, 5)}
    expected = state(int(restored['step']))
    np.testing.assert_array_equal(restored['params']['a']['kernel'], expected['params']['a']['kernel'])
    if progress['step'] == 4:
        assert checkpoints.steps() == [4, 3]
        assert len(list((workdir / 'damaged-checkpoints').iterdir())) == 1
        checkpoints.save(5, state(5), PROGRESS | {'step': 5})
        checkpoints.wait()
        assert checkpoints.restore(of_step_0)[1]['step'] == 5
    shutil.rmtree(workdir)


def test_none_that_is_whole_is_none(saved, tmp_path, capsys):
    shutil.copytree(saved, tmp_path / 'run')
    for path in (tmp_path / 'run').rglob('state.safetensors'):
        path.write_bytes(path.read_bytes()[:-1])
    assert Checkpoints(tmp_path / 'run').restore(of_step_0) is None
    assert capsys.readouterr().err.count('is damaged and is passed over') == 3
    assert Checkpoints(tmp_path / 'nothing').restore() is None


def test_a_checkpoint_of_another_structure_is_not_called_damaged(saved):
    with pytest.raises(UserError, match='arrays of other names or shapes'):
        Checkpoints(saved).restore(lambda _: state(0) | {'batch_stats': {'mean': np.zeros(3, np.float32)}})


def test_a_checkpoint_that_cannot_be_written_leaves_the_others(saved, tmp_path, monkeypatch):
    shutil.copytree(saved, tmp_path / 'run')
    checkpoints = Checkpoints(tmp_path / 'run')

    def full(path, content):
        raise OSError(28, 'No space left on device', str(path))

    monkeypatch.setattr('efficiency.training.checkpoint.write_whole', full)
    checkpoints.save(6, state(6), PROGRESS)
    with pytest.raises(OSError, match='No space left'):
        checkpoints.wait()
    checkpoints.close()
    assert sorted(path.name for path in (tmp_path / 'run' / 'checkpoints').iterdir()) == ['3', '4', '5']


def test_no_pickle_is_loaded_and_nothing_outside_the_folder_is_opened(saved, tmp_path):
    # The audit hook cannot be taken off again, so that this runs in a process of its own.
    import subprocess

    program = f"""
import sys
from efficiency.training.checkpoint import Checkpoints
import pathlib, safetensors.numpy
opened, unpickled = [], []
def hook(event, args):
    if event == 'open' and isinstance(args[0], str): opened.append(args[0])
    if event == 'pickle.find_class': unpickled.append(args)
sys.addaudithook(hook)
Checkpoints(pathlib.Path({str(saved)!r})).restore()
print([path for path in opened if not path.startswith({str(saved)!r})], unpickled)
"""
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[] []'


def test_progress_is_text_that_can_be_read(saved):
    kept = json.loads((saved / 'checkpoints' / '5' / 'progress.json').read_text())
    assert json.loads(kept['progress'])['step'] == 5


def test_a_growing_curve_comes_back_as_it_was_whatever_is_in_its_points(tmp_path):
    points = [{'step': step, 'loss': 1 / (step + 1), 'note': 'a "quoted" \\ line\n, é'} for step in range(40)]
    # Longer each time, as of a run; then shorter, as of another; and one with nothing beside it.
    lengths = [0, 1, 2, 2, 17, 40, 3, 4]
    checkpoints = Checkpoints(tmp_path)
    for number, length in enumerate(lengths, 1):
        progress = PROGRESS | {'curve': points[:length], 'beside': {'é"': [length]}}
        checkpoints.save(number, state(number), progress)
        checkpoints.wait()
        assert checkpoints.restore()[1] == progress
        kept = json.loads((tmp_path / 'checkpoints' / str(number) / 'progress.json').read_text())
        assert hashlib.sha256(kept['progress'].encode()).hexdigest() == kept['progress_sha256']
    checkpoints.save(90, state(1), {'curve': points[:5]})
    checkpoints.wait()
    assert checkpoints.restore()[1] == {'curve': points[:5]}
    checkpoints.close()
