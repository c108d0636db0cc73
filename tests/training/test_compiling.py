"""How a run's programs are compiled, and what is remembered of them."""

import jax
import jax.numpy as jnp
import pytest

from efficiency.errors import UserError
from efficiency.training import programs
from efficiency.training.cache import remembered
from efficiency.training.programs import Traced, TracedPart, compile_train_steps, trace_train_step


def traced_step():
    """A step of one product, 2 x 3 x 4 multiply-adds, on the first device."""
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    state, batch = (
        jax.ShapeDtypeStruct(shape, jnp.float32, sharding=sharding) for shape in ((3, 4), (2, 3))
    )  # fmt: skip
    step = trace_train_step(lambda w, x: (w, (x @ w).sum()), state, batch, 'float32')
    return Traced([TracedPart('', 1, True, step)], step)


def test_what_xla_said_is_asked_once_for_each_program(tmp_path, monkeypatch):
    ask, asked = programs.flops_when_lowered, []
    monkeypatch.setattr(programs, 'flops_when_lowered', lambda traced: asked.append(traced) or ask(traced))
    found = [compile_train_steps({0: traced_step()}, tmp_path)[0][1] for _ in range(2)]
    assert len(asked) == 1
    assert found[0].lowered_flops == found[1].lowered_flops >= 2 * 24
    assert found[0].step.dense_macs == found[1].step.dense_macs == 24


def test_what_is_done_beside_ends_the_wait_where_it_raises(tmp_path):
    done = []
    compile_train_steps({0: traced_step()}, tmp_path, beside=lambda: done.append(1))
    assert done == [1]

    def mistake():
        raise UserError('a mistake')

    with pytest.raises(UserError, match='a mistake'):
        compile_train_steps({0: traced_step()}, tmp_path, beside=mistake)


def test_a_number_is_remembered_by_all_that_decides_it(tmp_path):
    answers = iter([0.1, 2.0, None, 3.0, 4.0])
    ask = lambda key: remembered(tmp_path / 'folder', key, lambda: next(answers))  # noqa: E731
    assert [ask('a'), ask('a'), ask('b'), ask('b'), ask('a')] == [0.1, 0.1, 2.0, 2.0, 0.1]
    assert [ask('c'), ask('c'), ask('c')] == [None, 3.0, 3.0]  # what was not found is asked again
    for path in (tmp_path / 'folder').iterdir():
        path.write_text('')  # as a loss of power leaves it
    assert ask('a') == 4.0


def test_a_cache_that_cannot_be_written_to_is_none(tmp_path):
    (tmp_path / 'file').touch()
    assert remembered(tmp_path / 'file', 'a', lambda: 1.5) == 1.5
