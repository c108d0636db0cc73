"""Levels are what the metric can have, in a command line's words and around a target."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efficiency.analysis.levels import levels_around, parse_levels, split_level
from efficiency.errors import UserError
from efficiency.metrics import OF_CLASSES
from tests.analysis.conftest import BITS, BLEU, MSE, RETURN, TOP1

ALL = {metric.name: metric for metric in (BLEU, BITS, RETURN, MSE)} | OF_CLASSES


def test_a_level_is_of_any_metric_that_runs_have():
    texts = ['bleu:27.3', 'return:-150', 'bits_per_byte:1.2', 'top1:0.954', 'mse:0', 'bleu:27.30']
    assert parse_levels(texts, [ALL]) == [
        [(BLEU, 27.3), (RETURN, -150), (BITS, 1.2), (TOP1, 0.954), (MSE, 0)],
    ]
    # Each data set gets what it can have.
    assert parse_levels(['bleu:27.3', 'mse:1e-5'], [{'bleu': BLEU}, {'mse': MSE}]) == [[(BLEU, 27.3)], [(MSE, 1e-5)]]


@pytest.mark.parametrize(
    ('text', 'says'),
    [
        ('top1', 'a level is a metric and its value'),
        ('top1:', 'a level is a metric and its value'),
        (':', 'a level is a metric and its value'),
        ('top1:nan', 'a level is a metric and its value'),
        ('top5:79.1%', '79.1 % is top5:0.791'),
        ('top1:95.4', 'a share above 0 and at most 1, as 0.954 for 95.4 %; 95.4 % is top1:0.954'),
        ('top1:0', 'above 0'),
        ('top2:0.5', 'no metric top2; the metrics are bits_per_byte, bleu, mse, return, top1, top5'),
        ('bleu:0', 'a level of bleu is a number above 0 and at most 100, in BLEU'),
        ('bleu:101', 'at most 100'),
        ('mse:-1', 'at least 0'),
    ],
)
def test_a_level_that_is_none_is_one_sentence(text, says):
    with pytest.raises(UserError, match=says) as error:
        parse_levels([text], [ALL])
    assert '\n' not in str(error.value)


def test_the_name_ends_at_the_last_colon():
    assert split_level('return:-1.5e2') == ('return', -150)


def test_shares_are_asked_for_in_steps_of_their_error_and_others_evenly():
    # By hand: errors of 0.4, 0.2, 0.1, 0.05.
    assert levels_around(TOP1, 0.9, 0.1, 0.95, 4) == [0.6, 0.8, 0.9, 0.95]
    assert levels_around(RETURN, -150, -200, -100, 5) == [-200, -175, -150, -125, -100]
    assert levels_around(BLEU, 30, 0, 40, 5) == [10, 20, 30, 40]  # 0 is no level
    assert levels_around(MSE, 0.01, 1, 0.01, 3) == [0.01, 0.02, 0.04]
    assert levels_around(MSE, 0.01, 1, 0.0, 5) == [0.0025, 0.005, 0.01, 0.02, 0.04]  # 0 is in no such step
    assert levels_around(MSE, 0, 1, 0.0, 3) == [0, 0.5, 1]


@given(st.sampled_from([TOP1, BLEU, BITS, RETURN, MSE]), st.data())
def test_levels_are_always_levels(metric, data):
    low, high = (-1e6 if metric.low is None else metric.low), (1e6 if metric.high is None else metric.high)
    values = st.floats(low, high)
    target = data.draw(values.filter(metric.is_level))
    levels = levels_around(metric, target, data.draw(values), data.draw(values), 12)
    assert target in levels
    assert levels == sorted(set(levels))
    assert all(metric.is_level(level) for level in levels)
