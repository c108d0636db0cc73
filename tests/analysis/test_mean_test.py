"""Whether the mean over seeds meets a level: Student's t of one side, by hand."""

import math

import pytest

from efficiency.analysis.mean_test import mean_test
from efficiency.metrics import OF_CLASSES, Metric

TOP1 = OF_CLASSES['top1']


def test_the_mean_of_five_seeds_by_hand():
    # Mean 0.96, deviation sqrt(4e-5 / 4) = sqrt(1e-5), t = 0.006 / sqrt(1e-5 / 5) = 3 sqrt(2), 4 degrees of freedom.
    found = mean_test([0.956, 0.958, 0.960, 0.962, 0.964], TOP1, 0.954)
    assert (found.n, found.reached) == (5, 5)
    assert found.mean == pytest.approx(0.96)
    # With 4 degrees the upper tail is 1/2 - s (3 - s^2) / 4, of s = t / sqrt(4 + t^2).
    sine = 3 * math.sqrt(2) / math.sqrt(4 + 18)
    assert found.p == pytest.approx(0.5 - sine * (3 - sine**2) / 4)
    assert 0.0066 < found.p < 0.0067


def test_a_mean_on_the_wrong_side_is_no_evidence_and_at_the_level_is_even():
    # t = -0.003 / 0.001 with one degree of freedom, which is Cauchy's.
    assert mean_test([0.950, 0.952], TOP1, 0.954).p == pytest.approx(0.5 + math.atan(3) / math.pi)
    assert mean_test([0.953, 0.955], TOP1, 0.954).p == pytest.approx(0.5)


def test_a_metric_that_falls_has_to_be_below():
    loss = Metric('perplexity', '', False, 1)
    # t = -1 / (sqrt(2) / sqrt(2)) = -1 with one degree of freedom, which is Cauchy's: a quarter.
    found = mean_test([8.0, 10.0], loss, 10.0)
    assert (found.reached, found.p) == (2, pytest.approx(0.25))


@pytest.mark.parametrize('finals', [[0.96], [0.96, 0.96, 0.96]])
def test_without_any_spread_there_is_no_test(finals):
    found = mean_test(finals, TOP1, 0.954)
    assert (found.reached, found.p) == (len(finals), None)
