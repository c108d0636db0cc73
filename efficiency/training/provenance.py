"""What made a run: versions, source, devices."""

import importlib.metadata
import pathlib
import platform
import re
import subprocess

import jax

import efficiency


def versions() -> dict[str, str]:
    """Installed versions of Python, of this package and of everything it depends on."""
    found = {'python': platform.python_version()}
    try:
        found['efficiency'] = importlib.metadata.version('efficiency')
        requirements = importlib.metadata.requires('efficiency') or []
    except importlib.metadata.PackageNotFoundError:
        requirements = []
    for requirement in [*requirements, 'jaxlib']:
        name = re.match(r'[\w.-]+', requirement)[0]
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # of an extra that is not installed
    return dict(sorted(found.items()))


def git_state() -> dict | None:
    """Commit of this package's own source, and whether it was changed since; None where it is not in a checkout."""
    folder = pathlib.Path(efficiency.__file__).parent

    def git(*command):
        return subprocess.run(['git', *command], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git('ls-files', '--error-unmatch', '__init__.py')
        return {'commit': git('rev-parse', 'HEAD'), 'dirty': bool(git('status', '--porcelain', '--', '.'))}
    except (OSError, subprocess.CalledProcessError):
        return None


def devices() -> dict:
    """What the run's devices are, over all hosts."""
    return {
        'kind': jax.devices()[0].device_kind,
        'count': jax.device_count(),
        'hosts': jax.process_count(),
    }
