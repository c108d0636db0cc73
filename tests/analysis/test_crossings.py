"""What counts as reaching a level is what its rule says, and the interpolated crossing is the record's own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efficiency import records
from efficiency.analysis.crossings import AMOUNTS, NEVER, RULES, find_crossing, met_at
from efficiency.analysis.runs import as_run
from efficiency.errors import UserError
from tests.analysis.conftest import TOP1, make_record
from tests.conftest import ROOT


def curve(*accuracies):
    """An evaluation an epoch."""
    epochs = np.arange(1.0, len(accuracies) + 1)
    return dict.fromkeys(AMOUNTS, epochs) | {'top1': np.array(accuracies)}


def test_the_rules_differ_where_a_curve_overshoots_or_falls_back():
    there_and_back = curve(0.4, 0.8, 0.5, 0.7, 0.9)
    found = {rule: find_crossing(there_and_back, TOP1, 0.6, rule) for rule in RULES}
    assert {rule: crossing.epochs for rule, crossing in found.items()} == {
        'first': 2, 'interpolated': pytest.approx(1.5), 'two in a row': 4
    }  # fmt: skip
    assert all(crossing.reached for crossing in found.values())
    assert met_at([0.6, 0.7], TOP1, 0.6, 'interpolated') == (0, 1.0)  # nothing before it to draw a line from
    with pytest.raises(UserError, match='no rule is named'):
        met_at([0.6], TOP1, 0.6, 'third')


def test_a_run_that_was_stopped_takes_what_it_took_or_more_by_the_rule_that_it_did_not_meet():
    stopped = curve(0.4, 0.5, 0.7)
    assert find_crossing(stopped, TOP1, 0.6, stopped=True).reached
    twice = find_crossing(stopped, TOP1, 0.6, 'two in a row', stopped=True)
    assert (twice.epochs, twice.censored, twice.reached) == (3, True, False)
    # Trained to its end, it was there at its last evaluation alone: one more would have told.
    assert find_crossing(stopped, TOP1, 0.6, 'two in a row').censored
    assert find_crossing(curve(0.4, 0.7, 0.5), TOP1, 0.6, 'two in a row') == NEVER
    higher = find_crossing(stopped, TOP1, 0.8, stopped=True)
    assert (higher.epochs, higher.censored) == (3, True)
    assert find_crossing(stopped, TOP1, 0.8) == NEVER


@given(st.lists(st.integers(1, 9).map(lambda x: x / 10), min_size=1, max_size=8), st.integers(1, 9))
def test_first_and_interpolated_crossings_are_those_of_the_record(accuracies, level):
    record = make_record(accuracies=accuracies, target=level / 10)
    run = as_run(record, 'run.json')
    for rule, key in (('first', 'first_crossing'), ('interpolated', 'interpolated_crossing')):
        crossing = run.crossing(TOP1, level / 10, rule)
        assert crossing.reached == (record[key] is not None)
        if record[key]:
            assert {name: getattr(crossing, name) for name in AMOUNTS} == {
                name: pytest.approx(record[key][name]) for name in AMOUNTS
            }


@pytest.mark.parametrize('name', ['alexnet', 'densenet121', 'squeezenet1_1'])
def test_the_committed_records_own_crossings_are_found(name):
    record = records.read(ROOT / 'results' / 'mnist5k' / name / 'seed0.json')
    target, run = record['target'], as_run(record, name)
    for rule, key in (('first', 'first_crossing'), ('interpolated', 'interpolated_crossing')):
        crossing = run.crossing(run.target.metric, target['value'], rule)
        if record[key] is None:
            assert crossing == NEVER
        else:
            assert crossing.train_macs == pytest.approx(record[key]['train_macs'], rel=1e-12)
