"""A schema's quick answer is that of its search for problems, whatever is wrong."""

import json
import math

import pytest

from efficiency.record_schema import SCHEMA
from efficiency.schema import Number, Optional, compiled, problems
from tests.conftest import ROOT
from tests.test_records import broken

RECORD = ROOT / 'results' / 'mnist5k' / 'lenet5' / 'seed0.json'
WRONG = (None, True, -1, 1.5, math.nan, math.inf, 10**400, '', 'reached', [], [None], {}, {'step': 1})


def places(value, path=()):
    """Where values are, at every depth; of a list its first item alone."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*path, 0))


def test_every_value_of_a_record_replaced_or_left_out_is_told_alike():
    record, fits, wrong = json.loads(RECORD.read_text()), compiled(SCHEMA), 0
    record['curve'] = record['curve'][:2]
    assert fits(record)
    for path in places(record):
        for value in (*WRONG, KeyError) if path else ():
            found = broken(record, path, value)
            assert fits(found) == (not list(problems(found, SCHEMA, ''))), (path, value)
            wrong += not fits(found)
    assert wrong > 500


@pytest.mark.parametrize('value', [*WRONG, 0, 1, 'a', ('a',)])
@pytest.mark.parametrize('schema', [Number(int, low=1), Number(), Optional(str), ('a', 'b'), [str], bool, 1, 'a', {}])
def test_each_kind_of_schema_answers_alike(schema, value):
    assert compiled(schema)(value) == (not list(problems(value, schema, 'it')))


@pytest.mark.parametrize('value', [*WRONG, 0, 1, 2.5])
@pytest.mark.parametrize('at', range(3))
def test_a_value_among_others_of_its_key_is_told_as_alone(at, value):
    items = [{'whole': 1 + i, 'any': 0.5 - i, 'perhaps': None if i else 1} for i in range(3)]
    schema = [{'whole': Number(int, low=1), 'any': Number(low=-9), 'perhaps': Optional(Number())}]
    assert compiled(schema)(items)
    for key in items[at]:
        found = [item | {key: value} if i == at else item for i, item in enumerate(items)]
        assert compiled(schema)(found) == (not list(problems(found, schema, 'it'))), key
