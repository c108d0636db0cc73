"""What the tests share: how a command is run, and where the prepared data sets are."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
# How the reason begins with which a test may be skipped in CI too.
NO_ACCELERATOR = 'no accelerator'


def _failed_if_skipped(report):
    """In CI, where CI=true, what is skipped has failed: it was not tested. An accelerator alone may be missing."""
    if report.skipped and not hasattr(report, 'wasxfail') and os.environ.get('CI') == 'true':
        reason = report.longrepr[-1].removeprefix('Skipped: ')
        if not reason.startswith(NO_ACCELERATOR):
            report.outcome, report.longrepr = 'failed', f'skipped in CI: {reason}'
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    return _failed_if_skipped((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    return _failed_if_skipped((yield))


@pytest.fixture(scope='session')
def tfds_dir():
    """Where TensorFlow Datasets has its prepared data, from TFDS_DATA_DIR."""
    path = os.environ.get('TFDS_DATA_DIR')
    if not path or not pathlib.Path(path, 'cifar10').is_dir():
        pytest.skip('TFDS_DATA_DIR names no folder with a prepared cifar10')
    return path


@pytest.fixture
def run_main():
    """Runs the command line as a user does, `run_main('--config=...', env={...})`, and returns the finished process."""

    def run(*args, env=None, cwd=ROOT, timeout=300):
        return subprocess.run(
            [sys.executable, '-m', 'efficiency.main', *args],
            cwd=cwd, env=os.environ | (env or {}), capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    return run


@pytest.fixture
def short_run(tmp_path):
    """Arguments of a ShuffleNet run of 20 steps and 4 evaluations, too short to reach its target."""
    return [
        '--config=configs/shufflenet.py', f'--workdir={tmp_path / "run"}', '--config.num_epochs=0.16',
        '--config.eval_every=0.04', '--config.target.value=1.0',
    ]  # fmt: skip
