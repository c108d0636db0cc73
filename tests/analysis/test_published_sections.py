"""What the page says of the ledger: a point whose level is not known to be met is on no frontier, and is listed."""

import dataclasses

import pytest

from efficiency.analysis import published_sections as page
from efficiency.analysis import published_trends
from efficiency.published import points as ledger

POINTS = ledger.points()


@pytest.fixture
def sections(monkeypatch):
    monkeypatch.setattr(published_trends, '_DRAWS', 20)

    def of(points):
        found = page.published_sections(points, ledger.targets(), ledger.networks(), ledger.claims())
        return {section.name: section for section in found}

    return of


def tables(sections):
    """All tables but those that list points one by one, and what each chart is drawn from."""
    listed = ('ledger',)
    return {
        name: {table.name: table.rows for table in section.tables if table.name not in listed}
        for name, section in sections.items()
    }


# Cheaper than everything: it would be on every frontier.
CHEAP = {'system': 'a cheap one', 'dense_macs': 1e3, 'tfs_days_macs': 1e3 / 8.64e16, 'note': 'its level is not stated'}


def cheap(of, **cells):
    point = next(point for point in POINTS if point.id == of)
    return dataclasses.replace(point, **CHEAP | {'id': f'{of}-cheap'} | cells)


@pytest.mark.parametrize('of', ['hb2020-table3-efficientnet_b0', 'dawnbench-lambda-92.9', 'gpt2-level-2026-01-29'])
@pytest.mark.parametrize('level', ['unpublished', 'missed'])
def test_a_level_that_is_not_known_to_be_met_is_on_no_frontier(sections, of, level):
    added = cheap(of, level=level, series='other')
    before, after = sections(POINTS), sections([*POINTS, added])
    assert tables(after) == tables(before)
    charts = {name: [chart.name for chart in section.charts] for name, section in after.items()}
    assert charts == {name: [chart.name for chart in section.charts] for name, section in before.items()}
    (row,) = (row for row in after['ledger'].tables[0].rows if row['id'] == added.id)
    assert row['dense_macs'] == 1e3
    assert row['off_frontier'] == {'unpublished': 'its level is not published', 'missed': 'it missed the level'}[level]


def test_published_it_would_be(sections):
    rows = tables(sections([*POINTS, cheap('gpt2-level-2026-01-29')]))['trends']['trends']
    assert 'a cheap one' in [row['last'] for row in rows]


def test_the_level_of_llm_c_is_on_no_frontier(sections):
    found = sections(POINTS)
    (row,) = (row for row in tables(found)['trends']['trends'] if 'CORE' in row['target'])
    assert (row['points'], row['first'], row['last']) == (2, 'GPT-2 1.5B', 'nanochat d24')
    (row,) = (row for row in found['ledger'].tables[0].rows if row['id'] == 'gpt2-level-llm.c')
    assert row['off_frontier'] == 'its level is not published'


def test_the_largest_runs_are_of_no_capability(sections):
    rows = sections(POINTS)['ledger'].tables[0].rows
    runs = [row for row in rows if row['target'] == 'ai-and-compute-run']
    assert {row['off_frontier'] for row in runs} == {'its target is no capability'}
    assert sum(row['off_frontier'] is None for row in rows) > 150


def test_a_row_of_the_paper_without_its_level_is_not_in_its_doubling_time():
    from efficiency.analysis.rederive import derive

    def months(points):
        figures = {figure.claim: figure for figure in derive(points, ledger.networks(), ledger.claims())}
        return figures['headline.doubling_months'].one_convention

    without = [
        dataclasses.replace(point, level='unpublished') if point.id == 'hb2020-table3-googlenet' else point
        for point in POINTS
    ]
    assert months(without) != months(POINTS)
    off = [
        dataclasses.replace(point, level='unpublished') if point.id == 'hb2020-table3-vgg11' else point
        for point in POINTS
    ]
    assert months(off) == months(POINTS)
