"""Large pages for the memory that a step works in, none for what nobody works in, and few looks for garbage."""

import ctypes
import gc
import os
import pathlib
import platform
import sys

_TUNABLE = 'glibc.malloc.hugetlb=1'
_MODE = pathlib.Path('/sys/kernel/mm/transparent_hugepage/enabled')


def tunables_for_large_pages() -> str | None:
    """What GLIBC_TUNABLES must be for malloc to ask for large pages; None where that changes nothing.

    XLA on a CPU allocates all that a step works in as one block at its beginning, often of hundreds of megabytes, and
    frees it at its end. glibc maps and unmaps a block of that size each time, and the system makes its pages one by
    one as they are touched. That was an eighth to a quarter of a step in pages of 4 KiB, and is less in 2 MiB
    (`python -m benchmarks.train_step --against=small_pages`). On most systems a process must ask for those (mode
    'madvise'), which glibc does from 2.35 on, if it is told so before the process starts.
    """
    tunables = os.environ.get('GLIBC_TUNABLES', '')
    if 'glibc.malloc.hugetlb' in tunables or platform.libc_ver()[0] != 'glibc':
        return None
    try:
        if '[madvise]' not in _MODE.read_text():
            return None
    except OSError:
        return None
    return f'{tunables}:{_TUNABLE}' if tunables else _TUNABLE


def restart_with_large_pages() -> None:
    """Begins this process anew, with the same command line and number, where large pages must be asked for."""
    tunables = tunables_for_large_pages()
    if tunables:
        os.environ['GLIBC_TUNABLES'] = tunables
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def give_back_free_memory() -> None:
    """Returns to the system what was freed: hundreds of megabytes after compiling, which glibc keeps for later."""
    if platform.libc_ver()[0] == 'glibc':
        ctypes.CDLL(None).malloc_trim(0)


def collect_rarely() -> None:
    """Has Python look less often for garbage in cycles: a sixth of a trace, whose many objects make little of it."""
    gc.set_threshold(100_000, 50, 50)
