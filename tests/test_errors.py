"""What is said of errors that are a user's to undo."""

import pytest

from efficiency.errors import out_of_memory


@pytest.mark.parametrize('said', ['Out of memory allocating 5 bytes.', 'XLA:TPU compile permanent error.\nmore lines'])
def test_memory_that_is_exhausted_is_one_sentence(said):
    found = out_of_memory(RuntimeError(f'RESOURCE_EXHAUSTED: {said}'))
    first = said.splitlines()[0].rstrip('.')
    assert (
        found == f'it does not fit into memory: RESOURCE_EXHAUSTED: {first}; take a smaller batch, or smaller examples'
    )


def test_another_error_is_none_of_memory():
    assert out_of_memory(RuntimeError('INVALID_ARGUMENT: shapes differ')) is None
