"""The command that makes a study's runs, on a study file of a test's own."""

import subprocess
import sys

from tests.conftest import ROOT

LENET = {'config': 'configs/lenet5.py:mnist5k'}
TUNE = {'settings': {'learning_rate': [0.1]}, 'seeds': [1], 'rule': 'lowest median compute to target'}


def written(folder, name='small', **content):
    """A study file; returns its path."""
    path = folder / f'{name}.py'
    path.write_text(f'def get_study():\n    return {content!r}\n')
    return path


def start(path, *args):
    """The command on a study file, with its folders beside it."""
    folders = [f'--runs={path.parent / "runs"}', f'--results={path.parent / "results"}']
    return subprocess.Popen(
        [sys.executable, '-m', 'efficiency.study', f'--study={path}', *folders, *args],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def run(path, *args, timeout=300):
    process = start(path, *args)
    output, errors = process.communicate(timeout=timeout)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def listed(path):
    """The state and detail of each run, by its name."""
    lines = run(path, '--list').stdout.split('\n\n')[0].splitlines()[1:]
    return {words[0]: words[2:] for words in (line.split() for line in lines)}
