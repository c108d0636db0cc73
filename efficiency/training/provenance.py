"""What made a run: versions and devices; `efficiency.source` says of which source."""

import importlib.metadata
import platform
import re

import jax

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


def devices() -> dict:
    """What the run's devices are, over all hosts."""
    return {
        'kind': jax.devices()[0].device_kind,
        'count': jax.device_count(),
        'hosts': hosts.count(),
    }
