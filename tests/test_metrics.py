"""What a metric is decides what meets a target, what can be one, and what is better."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efficiency.errors import UserError
from efficiency.metrics import NOISE, OF_CLASSES, POINT_KEYS, Metric, of_record
from efficiency.record_schema import POINT
from tests.analysis.conftest import BITS, BLEU, MSE, RETURN, TOP1, make_record

KINDS = (TOP1, BLEU, BITS, RETURN, MSE)
NUMBERS = st.floats(-1e6, 1e6)


@given(st.sampled_from(KINDS), st.lists(NUMBERS, min_size=1), NUMBERS)
def test_what_is_better_meets_what_the_worse_meets(metric, values, target):
    best = metric.best_of(values)
    assert best == (max(values) if metric.rises else min(values))
    assert metric.meets(best, target) == any(metric.meets(value, target) for value in values)
    assert all(metric.meets(value, value) for value in values)
    assert [metric.gain(metric.gain(value)) for value in values] == values
    assert metric.meets(np.array(values), target).tolist() == [metric.meets(value, target) for value in values]
    assert not metric.meets(math.nan, target)


@pytest.mark.parametrize(
    ('metric', 'levels', 'no_levels'),
    [
        (TOP1, (1e-9, 0.954, 1), (0, 1.001, -0.1)),
        (BLEU, (27.3, 100, 1), (0, 100.1, -1)),
        (BITS, (1.2, 0, 1e6), (-0.1,)),
        (RETURN, (-150, 0, 1e9), ()),
        (Metric('top1_error', 'share', False, 0, 1), (0, 0.046), (1, -0.1)),
    ],
    ids=lambda value: getattr(value, 'name', None),
)
def test_a_level_is_in_range_and_not_met_by_every_value(metric, levels, no_levels):
    assert all(metric.is_level(level) for level in levels)
    never = math.nan, math.inf, -math.inf, True, '0.5', None, 10**400
    assert not any(metric.is_level(level) for level in (*no_levels, *never))


def test_a_rule_is_said_in_words():
    assert TOP1.wanted == 'a share above 0 and at most 1, as 0.954 for 95.4 %'
    assert BLEU.wanted == 'a number above 0 and at most 100, in BLEU'
    assert BITS.wanted == 'a number at least 0, in bits per byte'
    assert RETURN.wanted == 'a finite number'
    assert [metric.goal(2) for metric in (BLEU, BITS)] == ['bleu >= 2', 'bits_per_byte <= 2']
    assert [metric.text(-0.123456) for metric in (TOP1, RETURN)] == ['-0.1235', '-0.12346']


def test_a_value_may_be_past_a_bound_by_a_rounding_alone():
    assert BLEU.holds(100.00000000000004)  # what sacrebleu makes of a translation that is its own reference
    assert not BLEU.holds(100.001)
    assert MSE.holds(0)
    assert not MSE.holds(-1e-6)
    assert RETURN.holds(-1e299)
    assert not any(RETURN.holds(value) for value in (math.inf, -math.inf, math.nan, 10**400, '1', True, None))


@pytest.mark.parametrize(
    ('changes', 'says'),
    [
        ({'name': ''}, "named ''"),
        ({'name': 5}, 'named 5'),
        ({'name': 'a:b'}, 'letters, digits'),
        ({'name': 'x' * 41}, 'up to 40'),
        ({'name': 'loss'}, 'named loss, which every point of a curve has already; name it otherwise, as eval_loss'),
        ({'name': 'train_seconds'}, 'which every point'),
        ({'unit': None}, 'unit of bleu is None'),
        ({'unit': 'a\nb'}, 'a line of text'),
        ({'rises': 1}, 'rises of bleu is 1; it must be true or false'),
        ({'low': math.nan}, 'low of bleu is nan'),
        ({'high': math.inf}, 'high of bleu is inf'),
        ({'high': '100'}, "high of bleu is '100'"),
        ({'high': True}, 'high of bleu is True'),
        ({'low': 100, 'high': 0}, 'low of bleu is 100 and high 0; low must be below high'),
        ({'low': 1, 'high': 1}, 'low must be below high'),
    ],
)
def test_what_cannot_be_a_metric_says_why(changes, says):
    with pytest.raises(UserError, match=says) as error:
        Metric(**{'name': 'bleu', 'unit': 'BLEU', 'rises': True, 'low': 0, 'high': 100} | changes)
    assert '\n' not in str(error.value)


def test_a_point_of_a_curve_has_no_keys_that_a_metric_could_be_named_by():
    point = make_record()['curve'][0]
    assert set(POINT_KEYS) == (point.keys() - OF_CLASSES.keys()) | set(NOISE)
    assert set(POINT) == set(POINT_KEYS)


def test_a_record_says_its_metrics_or_is_of_classification():
    assert of_record({}) is OF_CLASSES
    for metric in KINDS:
        assert of_record({'metrics': {metric.name: metric.to_dict()}}) == {metric.name: metric}
