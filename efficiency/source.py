"""Which source of this package it is that runs."""

import importlib.metadata
import pathlib
import subprocess


def version() -> str | None:
    """The installed version; None for a checkout that is not installed."""
    try:
        return importlib.metadata.version('efficiency')
    except importlib.metadata.PackageNotFoundError:
        return None


def git_state() -> dict | None:
    """Commit of this package's own source, and whether it was changed since; None where it is not in a checkout."""
    folder = pathlib.Path(__file__).parent

    def git(*command):
        done = subprocess.run(['git', *command], cwd=folder, capture_output=True, check=True)
        return done.stdout.decode(errors='replace').strip()

    try:
        git('ls-files', '--error-unmatch', '__init__.py')
        return {'commit': git('rev-parse', 'HEAD'), 'dirty': bool(git('status', '--porcelain', '--', '.'))}
    except (OSError, subprocess.CalledProcessError):
        return None
