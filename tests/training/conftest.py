"""What the tests of training have in common."""

import pytest

from efficiency.tasks.images.networks import registry
from tests import small


@pytest.fixture(scope='module', autouse=True)
def _small_is_registered():
    """For what is read of its runs in this process, while these tests are at it: no list of networks is to have it."""
    small.get_config()
    yield
    del registry._registry.entries['small']
