"""A step's memory comes in large pages, which the system makes in a fraction of the time; free memory goes back."""

import os
import platform
import subprocess
import sys

import pytest

from efficiency.training import memory

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


# 64 MiB are 16,384 small pages.
SMALL_PAGES = 16_000

only_glibc = pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='only glibc can be asked')


@pytest.fixture(autouse=True)
def no_tunables(monkeypatch):
    monkeypatch.delenv('GLIBC_TUNABLES', raising=False)


@pytest.fixture
def mode(tmp_path, monkeypatch):
    """Sets how large pages are had, as the system's file has it."""
    path = tmp_path / 'enabled'
    monkeypatch.setattr(memory, '_MODE', path)
    return path.write_text


def faults_a_step(tunables):
    environment = os.environ | ({'GLIBC_TUNABLES': tunables} if tunables else {})
    done = subprocess.run([sys.executable, '-c', PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@only_glibc
def test_a_step_works_in_large_pages():
    if '[never]' in memory._MODE.read_text():
        pytest.skip('this system has no large pages')
    tunables = memory.tunables_for_large_pages()
    assert faults_a_step(tunables) < SMALL_PAGES / 10
    if tunables:
        assert faults_a_step(None) > SMALL_PAGES


@only_glibc
def test_they_are_asked_for_where_they_must_be(mode):
    mode('always [madvise] never\n')
    assert memory.tunables_for_large_pages() == 'glibc.malloc.hugetlb=1'
    for needless in ('[always] madvise never\n', 'always madvise [never]\n'):
        mode(needless)
        assert memory.tunables_for_large_pages() is None


@only_glibc
def test_the_command_asks_for_them_once_and_keeps_its_arguments(mode):
    mode('always [madvise] never\n')
    program = (
        'import os, pathlib, sys; from efficiency.training import memory; '
        f'memory._MODE = pathlib.Path({str(memory._MODE)!r}); '
        'memory.restart_with_large_pages(); print(os.environ["GLIBC_TUNABLES"], sys.argv[1:], sys.flags.optimize)'
    )
    done = subprocess.run(
        [sys.executable, '-O', '-c', program, '--config=a b', ''], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ['glibc.malloc.hugetlb=1', "['--config=a", "b',", "'']", '1']


@only_glibc
def test_tunables_of_the_users_own_are_kept(mode, monkeypatch):
    mode('always [madvise] never\n')
    monkeypatch.setenv('GLIBC_TUNABLES', 'glibc.malloc.tcache_count=3')
    assert memory.tunables_for_large_pages() == 'glibc.malloc.tcache_count=3:glibc.malloc.hugetlb=1'
    monkeypatch.setenv('GLIBC_TUNABLES', 'glibc.malloc.hugetlb=0')
    assert memory.tunables_for_large_pages() is None


@only_glibc
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
