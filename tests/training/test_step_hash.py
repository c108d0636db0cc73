"""The hash of a traced step: the same in every process and under every name, another for what is computed otherwise."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from efficiency.training.step_hash import step_hash
from tests.conftest import ROOT

pytestmark = pytest.mark.kind('changed code')


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
print(*begin(read_config('configs/shufflenet.py', ['--config.model.name=lenet5']), None).steps[0, 0])
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
