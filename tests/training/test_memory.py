"""A step's memory comes in large pages, which the system makes in a fraction of the time; free memory goes back."""

import os
import platform
import subprocess
import sys

import pytest

from efficiency.training.memory import tunables_for_large_pages

PROGRAM = """
import resource, statistics
import jax, jax.numpy as jnp

# What lies between the two convolutions is 64 MiB, neither given to the step nor given back by it.
def step(x, kernel):
    for _ in range(2):
        x = jax.lax.conv_general_dilated(x, kernel, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC'))
    return jnp.sum(x)

step = jax.jit(step)
x, kernel = jnp.ones((16, 256, 256, 16)), jnp.ones((3, 3, 16, 16))
faults = []
for _ in range(8):
    step(x, kernel).block_until_ready()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(statistics.median(after - before for before, after in zip(faults, faults[1:])))
"""


@pytest.fixture
def tunables(monkeypatch):
    monkeypatch.delenv('GLIBC_TUNABLES', raising=False)
    needed = tunables_for_large_pages()
    if not needed:
        pytest.skip('large pages need not be asked for here, or cannot be')
    return needed


def test_a_step_works_in_large_pages(tunables):
    faults = []
    for extra in ({}, {'GLIBC_TUNABLES': tunables}):
        done = subprocess.run(
            [sys.executable, '-c', PROGRAM], env=os.environ | extra, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        faults.append(float(done.stdout))
    small, large = faults
    # 64 MiB are 16,384 small pages.
    assert small > 16_000
    assert large < small / 10


def test_the_command_asks_for_them_once_and_keeps_its_arguments(tunables):
    program = (
        'import os, sys; from efficiency.training.memory import restart_with_large_pages as restart; '
        'restart(); print(os.environ["GLIBC_TUNABLES"], sys.argv[1:], sys.flags.optimize)'
    )
    done = subprocess.run(
        [sys.executable, '-O', '-c', program, '--config=a b', ''], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [tunables, "['--config=a", "b',", "'']", '1']


def test_tunables_of_the_users_own_are_kept(tunables, monkeypatch):
    monkeypatch.setenv('GLIBC_TUNABLES', 'glibc.malloc.tcache_count=3')
    assert tunables_for_large_pages() == f'glibc.malloc.tcache_count=3:{tunables}'
    monkeypatch.setenv('GLIBC_TUNABLES', 'glibc.malloc.hugetlb=0')
    assert tunables_for_large_pages() is None


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='only glibc can be asked')
def test_freed_memory_goes_back_to_the_system():
    program = """
import ctypes, pathlib
from efficiency.training.memory import give_back_free_memory

def resident():
    return int(pathlib.Path('/proc/self/statm').read_text().split()[1]) * 4096

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
ctypes.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
blocks = [libc.malloc(65536) for _ in range(1600)]
for block in blocks:
    ctypes.memset(block, 1, 65536)
for block in blocks[:-1]:  # the last lies above all others, and so keeps them
    libc.free(block)
before = resident()
give_back_free_memory()
print(before - resident())
"""
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 90 * 2**20
