"""A test that is skipped in CI has failed there, unless it is an accelerator that is missing."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT

_SKIPPED = """
import pytest

@pytest.fixture
def data():
    pytest.skip('no data')

@pytest.mark.skipif(True, reason='no root')
def test_by_a_mark(): pass

def test_by_a_fixture(data): pass

def test_in_its_body(): pytest.skip('no browser')

@pytest.mark.parametrize('case', [])
def test_of_nothing(case): pass
"""
_NO_TPU = "import pytest\npytest.skip('no accelerator: a TPU is needed', allow_module_level=True)\n"
_ALLOWED = """
import pytest

def test_on_a_gpu(): pytest.skip('no accelerator: a GPU is needed')

@pytest.mark.xfail
def test_known_to_fail(): assert False

def test_that_passes(): pass
"""


@pytest.fixture
def run_pytest(tmp_path):
    """Runs files of tests, with this project's conftest.py beside them; exit status and what is printed."""
    shutil.copy(ROOT / 'tests' / 'conftest.py', tmp_path)

    def run(files, ci, *args):
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(('CI', 'PYTEST_'))}
        done = subprocess.run(
            [sys.executable, '-m', 'pytest', '-ra', *args],
            cwd=tmp_path, env=environment | ({'CI': 'true'} if ci else {}), capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    return run


def test_each_skip_is_a_failure_with_its_reason(run_pytest):
    module = "import pytest\npytest.importorskip('not_there', reason='no library')\n"
    files = {'test_skipped.py': _SKIPPED, 'test_module.py': module, 'test_allowed.py': _ALLOWED}
    status, printed = run_pytest(files, True, '-n', '2')
    assert status == 1
    said = dict(re.findall(r'^(?:FAILED|ERROR) (\S+) - skipped in CI: (.*)', printed, re.MULTILINE))
    assert said.pop('test_skipped.py::test_of_nothing[NOTSET]').startswith('got empty parameter set')
    assert said == {
        'test_module.py': 'no library',
        'test_skipped.py::test_by_a_mark': 'no root',
        'test_skipped.py::test_by_a_fixture': 'no data',
        'test_skipped.py::test_in_its_body': 'no browser',
    }
    assert '1 failed, 1 passed, 1 skipped, 1 xfailed, 4 errors' in printed


def test_a_missing_accelerator_is_none(run_pytest):
    status, printed = run_pytest({'test_allowed.py': _ALLOWED, 'test_module.py': _NO_TPU}, True)
    assert status == 0, printed
    assert '1 passed, 2 skipped, 1 xfailed' in printed


def test_elsewhere_what_is_skipped_is_skipped(run_pytest):
    status, printed = run_pytest({'test_skipped.py': _SKIPPED, 'test_allowed.py': _ALLOWED}, False)
    assert status == 0, printed
    assert '1 passed, 5 skipped, 1 xfailed' in printed
