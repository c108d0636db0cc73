"""What the tests of networks have in common."""

import jax
import pytest


@pytest.fixture(autouse=True)
def _forget_programs():
    """Each test compiles programs of its own, which would fill the memory."""
    yield
    jax.clear_caches()
