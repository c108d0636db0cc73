"""Medians are Kaplan and Meier's, and where stopped seeds leave no estimate, the most that is certain."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from efficiency.analysis.survival import Seeds, resampled_medians, summary_over_seeds
from efficiency.errors import UserError

REACHED = st.tuples(st.integers(1, 9).map(float), st.booleans())
SEEDS = st.lists(REACHED | st.just((math.inf, False)), min_size=1, max_size=12)


def seeds(*each):
    """Of numbers, those that are texts being stopped."""
    return Seeds(tuple(map(float, each)), tuple(isinstance(value, str) for value in each))


def test_the_median_of_seeds_that_were_not_stopped_is_the_plain_one():
    for values in ([3, 1, 2], [1, 2], [1, math.inf], [1, 2, math.inf], [math.inf] * 2, [5], [1, 2, 2, 7]):
        summary = summary_over_seeds(values)
        assert (summary.median, summary.is_bound) == (np.median(values), False)
        assert (summary.low, summary.high, summary.n) == (min(values), max(values), len(values))
        assert (summary.n_reached, summary.n_censored) == (np.isfinite(values).sum(), 0)


def test_the_published_median_of_remission_is_found():
    # Freireich et al. (1963), as in Klein & Moeschberger (2003), table 1.1: weeks of remission under 6-MP and placebo.
    drug = seeds(
        6, 6, 6, '6', 7, '9', 10, '10', '11', 13, 16, '17', '19', '20', 22, 23, '25', '32', '32', '34', '35'
    )  # fmt: skip
    placebo = seeds(1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23)
    assert summary_over_seeds(drug).median == 23
    assert summary_over_seeds(placebo).median == 8
    assert (summary_over_seeds(drug).n_reached, summary_over_seeds(drug).n_censored) == (9, 12)


@given(SEEDS)
def test_an_estimated_median_is_where_scipys_estimate_comes_down_through_a_half(each):
    found = Seeds(*zip(*each, strict=True))
    summary = summary_over_seeds(found)
    # scipy takes no infinity; what is stopped after everything else has no part in the estimate before.
    reached = [value for value, censored in each if not censored and math.isfinite(value)]
    stopped = [1000.0 if math.isinf(value) else value for value, censored in each if censored or math.isinf(value)]
    survival = stats.ecdf(stats.CensoredData(uncensored=reached, right=stopped)).sf
    falls = [value for value in sorted(reached) if survival.evaluate(value) < 0.5 - 1e-9]
    if not falls:
        assert summary.is_bound or math.isinf(summary.median)
        return
    to_a_half = min(value for value in reached if survival.evaluate(value) <= 0.5 + 1e-9)
    assert (summary.median, summary.is_bound) == ((to_a_half + falls[0]) / 2, False)


@given(SEEDS, st.lists(st.integers(0, 20).map(float) | st.just(math.inf), min_size=12, max_size=12))
def test_whatever_stopped_seeds_would_have_taken_the_median_is_at_least_the_bound(each, more):
    summary = summary_over_seeds(Seeds(*zip(*each, strict=True)))
    gone_on = [value + later if censored else value for (value, censored), later in zip(each, more, strict=False)]
    at_once = np.median([value for value, _ in each])
    assert np.median(gone_on) >= at_once
    if summary.is_bound:
        assert summary.median == at_once < math.inf
    else:
        # An estimate takes them to go on like the others, and so is never below what is certain.
        assert summary.median >= at_once


def test_what_is_said_where_seeds_were_stopped():
    def said(*each):
        summary = summary_over_seeds(seeds(*each))
        return summary.median, summary.is_bound

    assert said('3', '5', '4') == (4, True)
    # One that stopped where another got there counts as still on its way: 1/2 is left at 2, and nothing after 4.
    assert said('2', 2, 4) == (4, False)
    # Two of four are there, and the third takes 3 or more: the middle of 2 and that.
    assert said(1, 2, '3', '4') == (2.5, True)
    assert said(1, 2, '3', math.inf) == (2.5, True)
    assert said(1, 2, 3, '9') == (2.5, False)
    # "Never" is said only where half of the seeds never did, whatever the others would have done.
    assert said('1', '1', math.inf) == (1, True)
    assert said('1', math.inf, math.inf) == (math.inf, False)
    ends = summary_over_seeds(seeds('1', 2, 5))
    assert (ends.low, ends.low_is_bound, ends.high, ends.high_is_bound) == (1, True, 5, True)
    assert not summary_over_seeds(seeds('1', math.inf)).high_is_bound


def test_leaving_stopped_seeds_out_makes_a_level_look_cheap_and_the_estimate_does_not():
    generator = np.random.default_rng(0)
    takes = np.exp(generator.normal(0, 0.5, 4000))  # the true median is 1
    stops = np.exp(generator.normal(0, 0.5, 4000))
    found = Seeds(tuple(np.minimum(takes, stops)), tuple(takes > stops))
    assert summary_over_seeds(found).median == pytest.approx(1, rel=0.05)
    assert np.median(takes[takes <= stops]) < 0.8


def test_resamples_have_the_medians_of_what_was_drawn():
    found = seeds(1, '2', 3, math.inf, '3')
    medians, bounds = resampled_medians(found, 50, np.random.default_rng(3))
    drawn = np.random.default_rng(3).multinomial(5, [0.2] * 5, size=50)
    for counts, median, bound in zip(drawn, medians, bounds, strict=True):
        at = np.repeat(np.arange(5), counts)
        summary = summary_over_seeds(
            Seeds(*(tuple(column[i] for i in at) for column in (found.values, found.censored)))
        )
        assert (median, bound) == (summary.median, summary.is_bound)


def test_the_median_of_many_seeds_is_drawn_as_often_as_the_binomial_law_says():
    # At most the j-th smallest of 101, wherever 51 or more of the draws are: a binomial number of them, with j / 101.
    medians, bounds = resampled_medians(range(1, 102), 40_000, np.random.default_rng(0))
    shares = [(medians <= rank).mean() for rank in range(1, 102)]
    exact = [stats.binom.sf(50, 101, rank / 101) for rank in range(1, 102)]
    assert not bounds.any()
    assert np.abs(np.subtract(shares, exact)).max() < 1.63 / 200  # Kolmogorov's, of one in a hundred


@pytest.mark.parametrize('never', [0, 130])
def test_the_median_of_many_seeds_is_drawn_as_if_all_of_each_resample_were(never):
    """Of an even number, where the two in the middle go together; and some of which never got there."""
    random = np.random.default_rng(1)
    values = np.append(random.lognormal(size=256 - never), [math.inf] * never)
    medians, _ = resampled_medians(values, 4000, random)
    whole = np.median(random.choice(values, (4000, 256)), axis=1)
    assert stats.ks_2samp(medians, whole).pvalue > 0.01


@pytest.mark.parametrize(
    ('values', 'says'),
    [
        ([], 'no seeds'),
        ([0], 'not positive'),
        ([-1], 'not positive'),
        ([math.nan], 'not positive'),
        (['x'], 'no number'),
    ],
)
def test_what_are_no_seeds_says_why(values, says):
    with pytest.raises(UserError, match=says):
        summary_over_seeds(values)


@pytest.mark.parametrize(
    ('values', 'censored', 'says'),
    [
        ((), (), 'no seeds'),
        ((1.0,), (), '0 are said'),
        ((-1.0,), (False,), 'negative'),
        ((math.inf,), (True,), 'finite'),
    ],
)
def test_what_cannot_be_stopped_seeds_says_why(values, censored, says):
    with pytest.raises(UserError, match=says):
        Seeds(values, censored)
