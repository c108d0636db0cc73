"""What the tests share: how a command is run, and where the prepared data sets are."""

import collections
import contextlib
import itertools
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parent.parent
# How the reason begins with which a test may be skipped in CI too.
NO_ACCELERATOR = 'no accelerator'
_TRIALS = 'trials of '
_NOBODY = 65534
# Folders whose files take long, which are begun with: at the end, when others wait for the last one, files are short.
_FIRST = ('training', 'launch', 'docs', 'tasks')


def _failed_if_skipped(report):
    """In CI, where CI=true, what is skipped has failed: it was not tested. An accelerator alone may be missing."""
    if report.skipped and not hasattr(report, 'wasxfail') and os.environ.get('CI') == 'true':
        reason = report.longrepr[-1].removeprefix('Skipped: ')
        if not reason.startswith(NO_ACCELERATOR):
            report.outcome, report.longrepr = 'failed', f'skipped in CI: {reason}'
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = _failed_if_skipped((yield))
    kind = item.get_closest_marker('kind')
    if kind and report.when == 'call' and not report.skipped:
        item.user_properties.append((f'{_TRIALS}{kind.args[0]}', f'1 {int(report.passed)}'))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    return _failed_if_skipped((yield))


def pytest_configure(config):
    """Files are handed out in the order in which they are collected, not by how many tests they have."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    def place(item):
        folders = item.nodeid.partition('::')[0].split('/')
        return next((i for i, folder in enumerate(_FIRST) if folder in folders), len(_FIRST))

    items.sort(key=place)


@contextlib.contextmanager
def not_root():
    """As a user whom permissions bind."""
    if os.geteuid():
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def trials(record_property):
    """Counts a test's trials by kind, for the table at the suite's end: `with trials('GIF'): ...`.

    A test that is one trial is marked by its kind instead.

    One that is wrong does not keep the others from being tried; at its end the test fails with the first's reason.
    """
    counts, wrong = collections.defaultdict(lambda: [0, 0]), []

    @contextlib.contextmanager
    def trial(kind):
        counts[kind][0] += 1
        try:
            yield
            counts[kind][1] += 1
        except (Exception, pytest.fail.Exception) as error:
            wrong.append(error)

    yield trial
    for kind, (tried, right) in counts.items():
        record_property(f'{_TRIALS}{kind}', f'{tried} {right}')
    if wrong:
        raise wrong[0]


def pytest_terminal_summary(terminalreporter):
    """The table of trials, by kind."""
    table = collections.defaultdict(lambda: [0, 0])
    for report in itertools.chain(*terminalreporter.stats.values()):
        if getattr(report, 'when', None) == 'teardown':
            for name, value in report.user_properties:
                if name.startswith(_TRIALS):
                    row = table[name.removeprefix(_TRIALS)]
                    row[:] = (sum(pair) for pair in zip(row, map(int, value.split()), strict=True))
    if table:
        terminalreporter.section('trials')
        terminalreporter.write_line('trials  right  kind')
        for kind, (tried, right) in table.items():
            terminalreporter.write_line(f'{tried:6}  {right:5}  {kind}')


@pytest.fixture(scope='session')
def tfds_dir():
    """Where TensorFlow Datasets has its prepared data, from TFDS_DATA_DIR."""
    path = os.environ.get('TFDS_DATA_DIR')
    if not path or not pathlib.Path(path, 'cifar10').is_dir():
        pytest.skip('TFDS_DATA_DIR names no folder with a prepared cifar10')
    return path


@pytest.fixture(scope='session')
def run_main():
    """Runs the command line as a user does, `run_main('--config=...', env={...})`, and returns the finished process."""
    from tests.main_process import start_main

    def run(*args, env=None, cwd=ROOT, timeout=300):
        process = start_main(args, env, cwd)
        try:
            said = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return subprocess.CompletedProcess(args, process.returncode, *(text.decode() for text in said))

    return run


@pytest.fixture
def short_run(tmp_path):
    """Arguments of a run of 20 steps and 4 evaluations, too short to reach its target."""
    return [
        '--config=tests/small.py', f'--workdir={tmp_path / "run"}', '--config.num_epochs=0.16',
        '--config.eval_every=0.04', '--config.target.value=1.0',
    ]  # fmt: skip
