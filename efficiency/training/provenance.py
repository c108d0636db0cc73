"""What made a run: versions, source, devices."""

import importlib.metadata
import pathlib
import platform
import re
import subprocess

import jax

import efficiency
from efficiency.training import hosts


def versions() -> dict[str, str]:
    """Versions of Python and of this package with everything that it depends on, directly or not, and is installed."""
    found, open_ = {'python': platform.python_version()}, ['efficiency', 'jax']
    while open_:
        name = open_.pop()
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # a checkout that is not installed, or an optional dependency
        if name not in found:
            found[name] = distribution.version
            required = distribution.requires or []
            # Of the extras only what is here counts, and only our own: those of others pull in half the index.
            wanted = [r for r in required if name == 'efficiency' or 'extra ==' not in r]
            open_ += [_canonical(re.match(r'[\w.-]+', requirement)[0]) for requirement in wanted]
    return dict(sorted(found.items()))


def _canonical(name: str) -> str:
    return re.sub(r'[-_.]+', '-', name).lower()


def git_state() -> dict | None:
    """Commit of this package's own source, and whether it was changed since; None where it is not in a checkout."""
    folder = pathlib.Path(efficiency.__file__).parent

    def git(*command):
        done = subprocess.run(['git', *command], cwd=folder, capture_output=True, check=True)
        return done.stdout.decode(errors='replace').strip()

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
        'hosts': hosts.count(),
    }
