"""Whether a point beats another is what all ways to deal its seeds say."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from efficiency.analysis.compare import compare, compare_with_baseline, holm
from efficiency.analysis.survival import Seeds
from efficiency.errors import UserError

SEEDS = st.lists(st.integers(1, 30).map(float) | st.just(math.inf), min_size=3, max_size=5)


def by_enumeration(a, b):
    """Twice the smaller tail of all ways to deal the seeds to two sides."""
    values = np.array([*a, *b])
    values = np.log2(values) if np.isfinite(values).all() else stats.rankdata(values)
    differences = []
    for chosen in itertools.combinations(range(len(values)), len(a)):
        rest = [i for i in range(len(values)) if i not in chosen]
        differences.append(values[rest].mean() - values[list(chosen)].mean())
    differences = np.array(differences)
    seen = differences[0]
    tails = [(differences <= seen + 1e-9).mean(), (differences >= seen - 1e-9).mean()]
    return min(1, 2 * min(tails))


@settings(deadline=None)
@given(SEEDS, SEEDS)
def test_the_permutation_p_is_that_of_brute_force(a, b):
    result = compare(a, b)
    if not np.isfinite([*a, *b]).any():
        assert result.permutation_p is None
        return
    assert result.permutation_p == pytest.approx(by_enumeration(a, b))
    assert result.smallest_p == 2 / math.comb(len(a) + len(b), len(a)) <= result.permutation_p + 1e-12
    assert result.statistic == ('mean log2 compute' if np.isfinite([*a, *b]).all() else 'mean rank')


@settings(deadline=None)
@given(SEEDS, SEEDS)
@example([1.0, 3.0, 7.0], [3.0, 6.0, 1.0])  # 1 x 6 = 2 x 3: differences that are equal but for rounding
def test_sides_can_be_exchanged_and_units_do_not_matter(a, b):
    there, back, scaled = compare(a, b), compare(b, a), compare([2**40 * x for x in a], [2**40 * x for x in b])
    assert back.permutation_p == pytest.approx(there.permutation_p)
    assert scaled.permutation_p == pytest.approx(there.permutation_p)
    assert not (there.beats and back.beats)
    assert scaled.hedges_g == pytest.approx(there.hedges_g)
    if there.hedges_g is not None:
        assert back.hedges_g == pytest.approx(-there.hedges_g)
    assert str(scaled.factor) == str(there.factor)
    assert str(back.factor.inverse) == str(there.factor)


def test_three_against_three_cannot_show_it_by_permutation_and_says_so():
    result = compare([1, 1.1, 1.2], [4, 4.4, 4.1], ('a', 'b'))
    assert result.permutation_p == result.smallest_p == pytest.approx(0.1)
    assert result.factor.value == pytest.approx(4.1 / 1.1)
    assert (result.decided_by, result.beats) == ('welch', True)
    logs = np.log2([1, 1.1, 1.2]), np.log2([4, 4.4, 4.1])
    assert result.welch_p == pytest.approx(stats.ttest_ind(*logs, equal_var=False).pvalue)
    # Hedges's correction for 4 degrees of freedom is Gamma(2) / (sqrt(2) Gamma(1.5)).
    pooled = math.sqrt((logs[0].var(ddof=1) + logs[1].var(ddof=1)) / 2)
    plain = (logs[1].mean() - logs[0].mean()) / pooled
    assert result.hedges_g == pytest.approx(plain / (math.sqrt(2) * math.gamma(1.5)))
    assert result.verdict == (
        'a takes 3.73 [3.33, 4.40] x less compute than b in the median; the seeds show a difference at 0.05 '
        '(permutation test on mean log2 compute, p = 0.1, where 3 against 3 seeds cannot give less than 0.1; '
        f"Welch's t on log2 compute, p = {result.welch_p:.2g}, which takes log2 compute for normal)."
    )


def test_five_against_five_are_decided_by_permutation():
    a, b = [1, 2, 3, 4, 5], [6, 7, 8, 9, 10]
    result = compare(a, b, ('mine', 'theirs'))
    assert (result.decided_by, result.beats) == ('permutation', True)
    assert result.permutation_p == pytest.approx(2 / 252)
    assert result.verdict.startswith('mine takes 2.67 [1.50, 8.00] x less compute than theirs in the median; the seeds')
    assert compare(b, a).beats is False
    assert compare(a, a).permutation_p == 1
    assert compare(a, a).verdict.startswith('a and b take the same compute in the median, factor 1.00 [0.333, 3.00]; ')


def test_seeds_that_never_reached_count_as_worst():
    result = compare([1, 2, 3, 4], [5, math.inf, math.inf, math.inf], ('a', 'b'))
    assert (result.factor.value, result.statistic) == (math.inf, 'mean rank')
    assert (result.welch_p, result.hedges_g) == (None, None)
    assert (result.permutation_p, result.beats) == (pytest.approx(2 / 70), True)
    assert 'a reaches the target in the median and b does not, 4 of 4 seeds of a do and 1 of 4' in result.verdict
    three = compare([1, 2, 3], [math.inf] * 3, ('a', 'b'))
    assert (three.permutation_p, three.decided_by, three.beats) == (pytest.approx(0.1), None, None)
    assert 'but 3 against 3 seeds cannot show a difference at 0.05' in three.verdict
    neither = compare([math.inf] * 3, [math.inf] * 4, ('a', 'b'))
    assert (neither.factor.value, neither.permutation_p) == (None, None)
    assert neither.verdict == 'No seed of a or b reaches the target.'
    most = compare([1, math.inf, math.inf], [2, math.inf, math.inf], ('a', 'b'))
    assert most.factor.value is None
    assert most.verdict.startswith('neither reaches the target in the median')


def test_seeds_that_do_not_vary_leave_nothing_for_welch():
    result = compare([2, 2, 2], [3, 3, 3])
    assert (result.welch_p, result.hedges_g, result.beats) == (None, None, None)
    assert compare([2, 2, 2], [3, 3, 4]).decided_by == 'welch'


def test_fewer_than_three_seeds_are_not_tested():
    result = compare([1, 2], [4, 5, 6], ('lenet5', 'alexnet'))
    assert (result.permutation_p, result.welch_p, result.hedges_g, result.beats) == (None,) * 4
    assert result.factor.value == pytest.approx(5 / 1.5)
    assert result.verdict == (
        'lenet5 takes 3.33 [2.00, 6.00] x less compute than alexnet in the median, untested: a test needs 3 seeds a '
        'side, and lenet5 has 2.'
    )
    with pytest.raises(UserError, match='alexnet has no seeds'):
        compare([1], [], ('lenet5', 'alexnet'))


def test_many_seeds_are_dealt_at_random_but_the_same_each_time():
    generator = np.random.default_rng(0)
    a, b = 2 ** generator.normal(0, 1, 20), 2 ** generator.normal(1, 1, 20)
    result = compare(a, b)
    assert result == compare(a, b)
    assert result.permutation_p == pytest.approx(result.welch_p, abs=0.02)
    assert result.smallest_p == 2 / 20_001


def test_holms_correction_is_that_of_r():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # p.adjust(..., 'holm')
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []


def test_the_log_rank_scores_of_stopped_seeds_say_what_scipys_log_rank_test_does():
    generator = np.random.default_rng(1)
    for shift in (0.0, 0.4, 0.8):
        sides, scipys = [], []
        for middle in (0.0, shift):
            takes, stops = np.exp(generator.normal([[middle], [0.6]], 0.7, (2, 40)))
            sides.append(Seeds(tuple(np.minimum(takes, stops)), tuple(takes > stops)))
            scipys.append(stats.CensoredData(takes[takes <= stops], right=stops[takes > stops]))
        result = compare(*sides)
        assert result.statistic == 'log-rank scores'
        assert result.permutation_p == pytest.approx(stats.logrank(*scipys).pvalue, abs=0.02)
    assert result.beats
    assert 'seeds of a and' in result.verdict
    assert 'were stopped before it; the seeds show a difference' in result.verdict


def test_stopped_seeds_that_say_nothing_are_said_to():
    stopped = Seeds((2.0, 2.0, 3.0), (True,) * 3)
    result = compare(stopped, [math.inf] * 3, ('a', 'b'))
    assert (result.permutation_p, result.beats) == (None, None)
    assert result.verdict == 'No seed of a or b reaches the target, and 3 of 3 seeds of a were stopped before it.'
    open_result = compare(stopped, Seeds((1.0, 2.0, 9.0), (True, False, True)), ('a', 'b'))
    assert open_result.verdict.startswith(
        'which of a and b takes less compute in the median is not known, as 3 of 3 seeds of a and 2 of 3 seeds of b '
        'were stopped before it, but 3 against 3 seeds cannot show a difference at 0.05'
    )


def test_of_many_comparisons_with_one_baseline_chance_finds_few_differences():
    generator = np.random.default_rng(0)
    corrected = plain = 0
    for _ in range(60):
        systems = {f's{i}': 2 ** generator.normal(0, 0.2, 5) for i in range(6)}
        results = compare_with_baseline(systems, 's0').values()
        corrected += min(result.p for result in results) <= 0.05
        plain += min(result.permutation_p for result in results) <= 0.05
    assert corrected <= 6 < plain  # 3 are expected at the most


def test_a_comparison_among_many_says_where_it_cannot_be_shown():
    cheap, dear = [1.0, 1.0, 1.0, 1.0], [8.0, 9.0, 10.0, math.inf]
    alone = compare(cheap, dear, ('a', 'base'))
    assert (alone.decided_by, alone.p, alone.beats) == ('permutation', pytest.approx(2 / 70), True)
    among = compare_with_baseline({'base': dear, 'a': cheap, 'b': cheap, 'c': [1.0]}, 'base')
    assert list(among) == ['a', 'b', 'c']
    assert (among['a'].comparisons, among['a'].p, among['a'].beats) == (2, pytest.approx(4 / 70), None)
    assert 'but 4 against 4 seeds cannot show a difference at 0.05 among 2 comparisons' in among['a'].verdict
    assert among['a'].verdict.endswith("p = 0.057 after Holm's correction for 2 comparisons).")
    assert 'untested' in among['c'].verdict
    # Ten seeds a side can show it among two, and the second is held against one comparison less.
    both = compare_with_baseline({'base': dear * 2, 'a': cheap * 2, 'b': [7.0, *dear] * 2}, 'base')
    assert (both['a'].beats, both['b'].beats) == (True, False)
    assert 'the seeds do not show a difference' in both['b'].verdict


def test_which_takes_less_is_not_said_where_a_bound_leaves_it_open():
    stopped = Seeds((1.0,) * 5, (True,) * 5)
    assert 'which takes less is not known' in compare(stopped, [10.0] * 5, ('A', 'B')).verdict
    assert 'which takes less is not known' in compare([10.0] * 5, stopped, ('A', 'B')).verdict
    assert 'takes 10.0' in compare([1.0] * 5, Seeds((10.0,) * 5, (True,) * 5), ('A', 'B')).verdict


def test_a_difference_the_other_way_than_the_medians_is_said_to_be_that():
    # Most of the first are cheap, and the others so dear that over all of them the second takes less.
    found = compare([2e9] * 7 + [29e9] * 6, [3e9] * 13, ('A', 'B'))
    assert found.factor.value == pytest.approx(1.5)
    assert found.difference < 0
    assert 'the seeds show a difference the other way, as over all of them B takes less at 0.05' in found.verdict
