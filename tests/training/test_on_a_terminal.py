"""On a terminal a run says what it is doing from its first moment on: what is loaded, opened, traced and compiled."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

from tests.conftest import ROOT


def test_a_run_says_what_it_is_doing_before_its_first_step(tmp_path):
    leader, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', 40, 120, 0, 0))
    run = subprocess.Popen(
        [sys.executable, '-m', 'efficiency.main', '--config=configs/lenet5.py', '--config.num_epochs=1.0',
         f'--workdir={tmp_path}'],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=terminal,
    )  # fmt: skip
    os.close(terminal)
    said = b''
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:  # Linux's end of a terminal
            break
        if not part:
            break
        said += part
    assert run.wait() == 0
    told = [line.split(b' (')[0].strip().decode() for line in said.replace(b'\n', b'\r').split(b'\r')]
    order = [
        'loading jax', 'opening mnist5k', 'tracing', 'compiling, 0 of 1 train steps are done',
        'compiling, 1 of 1 train steps are done',
        'training: 0 of 125 steps are done',
    ]  # fmt: skip
    assert [line for line in told if line in order] == order
