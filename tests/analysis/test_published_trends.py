"""The ledger's trends say whether there is one, all of them corrected together."""

import pytest

from efficiency.analysis.compare import holm
from efficiency.analysis.published_sections import published_sections
from efficiency.analysis.trend_tests import regression, shuffled_dates
from efficiency.published import points as published


@pytest.fixture(scope='module')
def sections():
    found = published_sections(published.points(), published.targets(), published.networks(), published.claims())
    return {section.name: section for section in found}


@pytest.fixture(scope='module')
def rows(sections):
    return {table.name: table.rows for table in sections['trends'].tables}


def test_the_tests_of_the_section_are_one_family(rows, sections):
    tests = rows['trend-tests']
    p_values = [row[key] for row in tests for key in ('p', 'frontier_p')]
    corrected = [row[key] for row in tests for key in ('corrected_p', 'frontier_corrected_p')]
    assert corrected == pytest.approx(holm(p_values))
    assert f"by Holm's method for the {len(p_values)} tests of this section" in ' '.join(sections['trends'].text)
    for row in tests:
        assert row['least_p'] <= row['p']
        assert ('show' in row['verdict']) == (row['corrected_p'] <= 0.05)
        assert ('could exclude it' in row['verdict']) == (row['least_p'] > 0.05)


def test_every_trend_along_a_frontier_has_its_verdict_beside_it(rows):
    tests = {(row['target'], row['which']): row for row in rows['trend-tests']}
    for row in rows['trends']:
        test = tests.get((row['target'], row['which']))
        assert (test is None) == (row['points'] < 3)
        assert row['verdict'] == (test['verdict'] if test else 'two points always make a trend')
        assert row['as_fast_percent'] == (pytest.approx(100 * test['frontier_p']) if test else None)


def test_the_papers_points_show_progress_and_their_frontiers_speed_does_not(rows, sections):
    paper = [point for point in published.points() if point.series == 'hb2020-table3']
    dates, macs = [point.published for point in paper], [point.dense_macs for point in paper]
    row = rows['trend-tests'][0]
    assert row['which'] == 'the paper, operations'
    assert row['interval'] == str(regression(dates, macs).interval)
    assert row['frontier_p'] == pytest.approx(shuffled_dates(dates, macs).frontier_p, abs=0.03)
    text = ' '.join(sections['paper'].text)
    assert f'a frontier as fast comes in {100 * row["frontier_p"]:.2g} % of cases' in text
    assert 'no evidence of progress' in text
    assert 'the points show progress. The tests are those of the trends below.' in text


def test_each_domain_has_an_answer_of_its_headline_with_what_it_rests_on(sections):
    by_domain = {answer.partition(':')[0]: answer for answer in sections['trends'].answers}
    assert list(by_domain) == [
        f'Published, {domain}' for domain in ('image classification', 'translation', 'games', 'language modelling')
    ]
    assert ' 41.7 x less compute to AlexNet level ' in by_domain['Published, image classification']
    assert ' 60 x less compute to Seq2Seq level ' in by_domain['Published, translation']
    for answer in by_domain.values():
        assert 'so that the factor has no interval' in answer
