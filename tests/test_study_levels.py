"""A study's levels follow from its runs by the rule that it states."""

import re

import pytest

from efficiency.errors import UserError
from efficiency.studies.definition import System, read_study
from efficiency.studies.levels import Level, found_levels
from efficiency.studies.state import State
from tests.analysis.conftest import BITS, BLEU, RETURN, make_record


def states_of(name, finals, metric='top1'):
    system = System(name, 'net.py', {}, range(len(finals)), 'compared', {})
    more = {} if metric == 'top1' else {'metric': metric}
    records_of = [make_record(accuracies=(finals[0] / 2, final), target=finals[0], **more) for final in finals]
    return [State(run, 'done', '', record) for run, record in zip(system.runs(), records_of, strict=True)]


@pytest.mark.parametrize(
    ('finals', 'metric', 'less', 'step', 'value'),
    [
        ((24.9, 25.3, 25.4), BLEU, 0.5, 0.5, 24.5),  # 25.2 less 0.5 is 24.7
        ((25.0, 25.0), BLEU, 0.5, 0.5, 24.5),  # a multiple as it is
        ((25.0, 24.98), BLEU, 0.5, 0.5, 24.0),
        ((0.95, 0.957), 'top1', 0.0, 0.001, 0.953),
        ((1.23, 1.25), BITS, 0.02, 0.01, 1.26),  # what falls: 1.24 and 0.02 more
        ((1.231, 1.25), BITS, 0.0, 0.05, 1.25),
        ((-150.5, -149.0), RETURN, 10.0, 5.0, -160.0),
    ],
)
def test_a_level_is_the_mean_of_finals_less_and_rounded_to_the_easier_side(finals, metric, less, step, value):
    states = states_of('first', finals, metric) + states_of('other', finals, metric)
    ((target, why),) = found_levels([Level('first', less, step)], states)
    assert target.value == pytest.approx(value, abs=1e-12)
    assert f'{sum(finals) / len(finals):.4g} (standard error ' in why
    # Of a system that is not there yet there is no level, and two that come to the same are one.
    assert found_levels([Level('third', less, step)], states) == []
    assert len(found_levels([Level('first', less, step), Level('other', less, step)], states)) == 1
    assert found_levels([Level('first', less, step)], [states[0]._replace(status='running'), *states[1:]]) == []


@pytest.mark.parametrize(
    ('levels', 'says'),
    [
        ({'of': 'a'}, "levels is {'of': 'a'}; it must be a list of levels"),
        ([{'of': 'a', 'less': 1}], 'it must be a dict of less, of, step, as'),
        ([{'of': 'b', 'less': 1, 'step': 1}], "no system is named 'b'"),
        ([{'of': 'a', 'less': -1, 'step': 1}], 'less must be a number from 0 to 1e+09'),
        ([{'of': 'a', 'less': 0, 'step': 0}], 'step must be a number from 1e-06 to 1e+09'),
        ([{'of': 'a', 'less': 0, 'step': 1e-320}], 'step must be a number from 1e-06'),
        ([{'of': ['a'], 'less': 0, 'step': 1}], "no system is named ['a']; there are a"),
        ([{'of': 'a', 'less': 0, 'step': 1}], "a level is of a, which stops at its target; override 'stop_at_target'"),
    ],
)
def test_a_mistake_in_a_level_is_one_sentence(tmp_path, levels, says):
    path = tmp_path / 'wrong.py'
    system = {'config': 'configs/lenet5.py:mnist5k', 'seeds': [0]}
    path.write_text(f'def get_study():\n    return { ({"systems": {"a": system}, "levels": levels})!r}\n')
    with pytest.raises(UserError, match=re.escape(says)):
        read_study(str(path))
