"""A run outlives its terminal: what cannot be shown is lost; the run, its log, its record and its exit code are not.

The trials are by kind, which their names begin with: of streams that are closed, full, left or halted, on a small
command of `efficiency.console`, and on whole runs.
"""

import errno
import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time

import pytest

from efficiency import records
from tests.conftest import ROOT
from tests.training.several import image_tree

pytestmark = pytest.mark.kind('terminals, streams and names')

# Says more than any pipe holds on both streams, makes a file, and ends by an exit code of its own.
_TALKS = """
import pathlib, sys
from efficiency import console
console._PATIENCE = 0.5
console.start(outlives=True)
for _ in range(4000):
    print('a line on stdout, as long as lines are that a command prints at its end')
    print('a line on stderr, as long as lines are that a command prints on its way', file=sys.stderr)
with open(sys.argv[1], 'w') as file:
    print('all of it', file=file)
sys.exit(7)
"""
_REDIRECTIONS = {
    'closed stdout': '>&-',
    'closed stderr': '2>&-',
    'closed both': '>&- 2>&-',
    'closed all': '<&- >&- 2>&-',
    'full stdout': '>/dev/full',
    'full stderr': '2>/dev/full',
    'full both': '>/dev/full 2>&1',
    'full and closed': '>/dev/full 2>&-',
    'left by head': '| head -n 1',
    'left by head, both': '2>&1 | head -c 10',
    'left at once': '2>&1 | true',
    'left later': '2>&1 | sleep 0.5',
    'halted reader': '2>&1 | sleep 3',
}


def shell(redirection, command, **options):
    """A command in bash, redirected; the exit code is the command's own, of a pipe too."""
    script = f'"$@" {redirection}; exit ${{PIPESTATUS[0]}}'
    return subprocess.run(
        ['bash', '-c', script, 'bash', *command], cwd=ROOT, capture_output=True, text=True, check=False, **options
    )


def python(code, *args):
    return [sys.executable, '-c', code, *map(str, args)]


@pytest.mark.parametrize('redirection', _REDIRECTIONS.values(), ids=_REDIRECTIONS)
def test_a_command_does_its_work_wherever_it_speaks(redirection, tmp_path):
    done = shell(redirection, python(_TALKS, tmp_path / 'made'), timeout=60)
    assert done.returncode == 7, done.stderr
    # By itself: a file that takes the number of a closed stream gets what is said there.
    assert (tmp_path / 'made').read_text() == 'all of it\n'


def test_what_can_be_written_is_written_whole(tmp_path):
    done = shell('', python(_TALKS, tmp_path / 'made'))
    assert done.returncode == 7
    assert [text.count('\n') for text in (done.stdout, done.stderr)] == [4000, 4000]


def on_terminal(command, **options):
    """Starts a command on a terminal of its own; returns it and the terminal's other end."""
    ours, theirs = pty.openpty()

    def take_it():
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        command, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs,
        preexec_fn=take_it, **options,  # noqa: PLW1509  (it takes no lock)
    )  # fmt: skip
    os.close(theirs)
    return process, ours


@pytest.mark.parametrize('kind', ['closed', 'never read', 'halted'])
def test_a_command_does_its_work_on_a_terminal_that_is(kind, tmp_path):
    process, terminal = on_terminal(python(_TALKS, tmp_path / 'made'))
    os.read(terminal, 100)
    if kind == 'closed':
        os.close(terminal)
    elif kind == 'halted':
        os.write(terminal, b'\x13')  # Ctrl-S
    assert process.wait(60) == 7
    assert (tmp_path / 'made').read_text() == 'all of it\n'
    if kind != 'closed':
        os.close(terminal)


@pytest.mark.parametrize(('outlives', 'code'), [(True, 0), (False, -signal.SIGHUP)])
def test_only_a_command_that_is_to_outlive_its_terminal_ignores_its_end(outlives, code):
    # Begun as a shell begins commands, however these tests were.
    hang_up = 'import os, signal; signal.signal(signal.SIGHUP, signal.SIG_DFL); from efficiency import console'
    hang_up += f'; console.start({outlives})'
    done = subprocess.run(python(f'{hang_up}; os.kill(os.getpid(), signal.SIGHUP)'), cwd=ROOT, check=False)
    assert done.returncode == code


@pytest.mark.parametrize(
    ('redirection', 'lost'),
    [('', None), ('| true', None), ('>/dev/full', errno.ENOSPC), ('>&-', errno.EBADF)],
    ids=['read', 'left', 'full', 'closed'],
)
def test_a_result_that_is_kept_nowhere_else_is_not_lost_in_silence(redirection, lost):
    done = shell(redirection, [sys.executable, '-m', 'efficiency.count', '--models=lenet5'])
    assert done.returncode == (1 if lost else 0)
    sentence = f'efficiency: the result cannot be written to stdout: {os.strerror(lost)}\n' if lost else ''
    assert done.stderr == sentence


def test_a_result_waits_for_a_reader_that_takes_its_time():
    code = 'console._PATIENCE = 0.1; console.start(True); console.deliver("a" * 300_000)'
    code = f'from efficiency import console; {code}'
    assert shell('| (sleep 2; wc -c)', python(code)).stdout.strip() == '300001'


def test_a_forked_process_speaks_too():
    code = """import os, sys
from efficiency import console
console.start(True)
print('before', file=sys.stderr)
if os.fork() == 0:
    print('child', file=sys.stderr)
    os._exit(0)
os.wait()
print('after', file=sys.stderr)
"""
    assert shell('', python(code), timeout=4).stderr.split() == ['before', 'child', 'after']


_LOCALES = {
    'utf-8': {'LANG': 'C.UTF-8'},
    'ascii stream': {'LANG': 'C.UTF-8', 'PYTHONIOENCODING': 'ascii'},
    'ascii locale': {'LC_ALL': 'C', 'PYTHONUTF8': '0', 'PYTHONCOERCECLOCALE': '0'},
}


@pytest.mark.parametrize('env', _LOCALES.values(), ids=_LOCALES)
@pytest.mark.parametrize('name', ['für'.encode(), b'f\xfcr'], ids=['umlaut', 'not utf-8'])
def test_any_name_can_be_said(name, env):
    code = 'import sys; from efficiency import console; console.start(); print(sys.argv[1])'
    done = subprocess.run(
        [*python(code), name], cwd=ROOT, env=_without_locale() | env, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout[:1] + done.stdout[-2:] == b'fr\n'


def _without_locale():
    return {key: value for key, value in os.environ.items() if not key.startswith(('LC_', 'LANG', 'PYTHON'))}


def test_libraries_are_heard_in_the_log_or_not_at_all(tmp_path):
    code = """
import os, sys
from efficiency import console
console.start()
os.write(2, b'before\\n')
with open(sys.argv[1], 'ab') as log, console.libraries_to(log):
    os.write(1, b'a library\\n')
    print('ours')
    with console.hushed(), console.hushed():
        os.write(2, b'nobody hears this\\n')
        print('ours too', file=sys.stderr)
    os.write(2, b'a library again\\n')
os.write(2, b'after\\n')
"""
    done = subprocess.run(python(code, tmp_path / 'log'), cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ('ours\n', 'before\nours too\nafter\n')
    assert (tmp_path / 'log').read_text() == 'a library\na library again\n'


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    return image_tree(tmp_path_factory.mktemp('images') / 'tree', 24)


def run_of(tree, workdir):
    """The command of a run of twelve steps and two evaluations, on images that a worker decodes."""
    return [
        sys.executable, '-m', 'efficiency.main', '--config=configs/lenet5.py:two_classes', f'--data_dir={tree}',
        '--config.image_size=32', '--config.batch_size=8', '--config.num_epochs=2.0', '--config.target.value=1.0',
        '--config.stop_at_target=False', '--data_workers=1', f'--workdir={workdir}',
    ]  # fmt: skip


def assert_whole(workdir):
    record = records.read(workdir)
    assert record['status'] in ('reached', 'exhausted')
    assert len(record['curve']) == 2
    log = (workdir / 'run.log').read_text()
    for line in (
        'training: 0 of 12 steps',
        'step 6 of 12, epoch 1.00: top1',
        'step 12 of 12, epoch 2.00',
        'throughput',
    ):
        assert line in log
    assert [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()] == record['curve']


@pytest.mark.parametrize('kind', ['closed all', 'full both', 'left by head, both'])
def test_a_run_trains_on_wherever_it_speaks(kind, tree, tmp_path):
    done = shell(_REDIRECTIONS[kind], run_of(tree, tmp_path / 'run'), timeout=300)
    assert done.returncode == 0, done.stderr
    assert_whole(tmp_path / 'run')


def test_a_run_trains_on_when_its_window_is_closed(tree, tmp_path):
    process, terminal = on_terminal(run_of(tree, tmp_path / 'run'))
    said = b''
    while b'training:' not in said:
        said += os.read(terminal, 1000)
    os.close(terminal)  # upon which the kernel sends SIGHUP
    assert process.wait(300) == 0
    assert_whole(tmp_path / 'run')


def test_a_run_trains_on_when_its_window_is_closed_at_once(tree, tmp_path):
    process, terminal = on_terminal(run_of(tree, tmp_path / 'run'))
    time.sleep(0.2)  # as what it imports takes longer
    os.close(terminal)
    assert process.wait(300) == 0
    assert_whole(tmp_path / 'run')


def test_a_run_that_fails_without_a_terminal_says_why_in_its_log(tree, tmp_path):
    command = [*run_of(tree, tmp_path / 'run'), '--config.learning_rate=1e30']
    assert shell('>&- 2>/dev/full', command, timeout=300).returncode == 1
    record = records.read(tmp_path / 'run')
    assert record['status'] == 'failed'
    assert (tmp_path / 'run' / 'run.log').read_text().splitlines()[-1].endswith(record['failure'])


@pytest.mark.parametrize('kind', ['closed all', 'full both', 'left at once'])
def test_a_mistake_keeps_its_exit_code(kind):
    command = [sys.executable, '-m', 'efficiency.main', '--config=configs/none.py']
    assert shell(_REDIRECTIONS[kind], command).returncode == 2


def test_a_log_that_cannot_be_written_is_one_sentence(tree, tmp_path):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'run.log').symlink_to('/dev/full')
    done = shell('', run_of(tree, tmp_path / 'run'))
    assert done.returncode == 1
    assert f'cannot write {tmp_path / "run" / "run.log"}: No space left' in done.stderr.splitlines()[-1]
    assert 'Traceback' not in done.stderr


@pytest.mark.parametrize(
    ('name', 'locale'), [(b'f\xfcr', 'utf-8'), ('für'.encode(), 'ascii locale')], ids=['not utf-8', 'umlaut']
)
def test_names_are_any_bytes(name, locale, tmp_path):
    """Of the data set, its folder, a class and an image, and the run's folder."""
    env = _without_locale() | _LOCALES[locale]
    folder = os.path.join(os.fsencode(tmp_path), name)
    tree = os.path.join(folder, b'tree')
    os.mkdir(folder)
    os.rename(image_tree(tmp_path / 'tree', 24), tree)  # OpenCV writes to no such path
    for split in (b'train', b'val'):
        os.rename(os.path.join(tree, split, b'class0'), os.path.join(tree, split, name))
    os.rename(os.path.join(tree, b'train', name, b'03.jpg'), os.path.join(tree, b'train', name, name + b'.jpg'))
    command = [
        sys.executable, '-m', 'efficiency.main', b'--config=configs/lenet5.py:' + name, b'--data_dir=' + tree,
        '--config.image_size=32', '--config.batch_size=8', '--config.num_epochs=1.0', '--config.target.value=1.0',
        '--data_workers=1', b'--workdir=' + os.path.join(folder, b'run'),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert records.read(os.path.join(os.fsdecode(folder), 'run'))['status'] in ('reached', 'exhausted')
