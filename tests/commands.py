"""Runs the command line many times a second, one process that imports it and forks for each run; or its flags alone."""

import json
import os
import subprocess
import sys
from typing import NamedTuple

from tests.conftest import ROOT

# What follows the checks, the network's initial values and all that is compiled, is left out.
_SERVER = """
import json, os, sys, tempfile, traceback
import efficiency.main
import efficiency.training.recipe as recipe

def begin(*args):
    raise SystemExit(0)

recipe.init_state = begin
print('ready', flush=True)
for line in sys.stdin:
    out = tempfile.TemporaryFile()
    child = os.fork()
    if child == 0:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
        sys.argv = json.loads(line)
        code = 1
        try:
            efficiency.main.run()
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    _, status = os.waitpid(child, 0)
    out.seek(0)
    print(json.dumps([os.waitstatus_to_exitcode(status), out.read().decode(errors='replace')]), flush=True)
"""


class Done(NamedTuple):
    """A finished command."""

    code: int
    output: str


class Commands:
    """Runs `python -m efficiency.main` up to where training would begin."""

    def __init__(self):
        self._server = subprocess.Popen(
            [sys.executable, '-c', _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env=os.environ | {'JAX_PLATFORMS': 'cpu'},
        )  # fmt: skip
        assert self._server.stdout.readline() == 'ready\n'

    def run(self, *args: str) -> Done:
        self._server.stdin.write(json.dumps(['efficiency.main', *args]) + '\n')
        self._server.stdin.flush()
        return Done(*json.loads(self._server.stdout.readline()))

    def close(self):
        self._server.stdin.close()
        self._server.stdout.close()
        self._server.wait()


_PARSE = """
import sys
from absl import flags
import efficiency.main
from efficiency.config_file import parse_flags
from efficiency.training.settings import check_config
assert parse_flags(flags.FLAGS, sys.argv) == sys.argv[:1]
check_config(flags.FLAGS.config)
"""


def is_taken_by_the_main_command(flags):
    """Asserts that every flag is one of efficiency.main's, and the config one that it trains."""
    done = subprocess.run(
        [sys.executable, '-c', _PARSE, *flags], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
