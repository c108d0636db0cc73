"""What is not bounded is drawn as such, and takes nothing else out of its place."""

import datetime
import json
import math
import xml.etree.ElementTree as ET

import numpy as np
from scipy import stats

from efficiency.analysis import figures, interactive, over_date, plots
from efficiency.analysis.charts import Chart, Series, file_name
from efficiency.analysis.factors import Factor
from efficiency.analysis.trend_tests import line_at

BARS = Series(
    'factors', [1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, None], low=[5.0, 0.0, None, None],
    high=[math.inf, 25.0, None, None], left=[0.5, 2.0, None, None], right=[math.inf, 2.0, None, None],
)  # fmt: skip


def test_an_end_without_a_bound_is_an_arrow_in_print():
    svg = ET.fromstring(figures.draw(Chart('bars', 'Bars', 'x', 'y', [BARS], log_x=True, log_y=True))['bars.svg'])
    groups = [group.get('id', '') for group in svg.iter('{http://www.w3.org/2000/svg}g')]
    # Up, down and to the right, beside the bars themselves.
    assert sum(group.startswith('Quiver') for group in groups) == 3
    assert sum(group.startswith('LineCollection') for group in groups) == 2


def test_an_end_without_a_bound_has_no_bar_on_the_page_and_its_point_says_so():
    found = interactive.figure_json(Chart('bars', 'Bars', 'x', 'y', [BARS], log_y=True))
    bars = json.loads(found)['data'][0]['error_y']
    assert (bars['array'], bars['arrayminus']) == ([0, 5.0, 0, 0], [5.0, 0, 0, 0])
    points = [('a', Factor(2.0, '', 1.5, math.inf), Factor(3.0, '', 3.0, 3.0), 'measured')]
    (series, *_) = plots.epochs_against_macs('f', 'F', points, '').series
    assert series.hover == ['a\nepochs factor 2.00 [1.50, unbounded)\nmacs factor 3.00 [3.00, 3.00]\n'
                            'efficiency factor 6.00\nmeasured']  # fmt: skip


def test_what_has_no_place_in_a_figure_is_named_below_it():
    points = [
        ('a', Factor(2.0, '', 1.5, 3.0), Factor(3.0, '', 3.0, 3.0), 'measured'),
        ('b', Factor(2.0, 'or less', 0.0, 3.0), Factor(3.0, '', 3.0, 3.0), 'measured'),
        ('c', Factor(0.0, '', 0.0, 0.0), Factor(3.0, '', 3.0, 3.0), 'measured'),
        ('d', Factor(None, 'not known'), Factor(3.0, '', 3.0, 3.0), 'measured'),
    ]
    chart = plots.epochs_against_macs('f', 'F', points, 'Factors.')
    assert [(s.labels, s.hollow) for s in chart.series[:2]] == [(['a'], False), (['b'], True)]
    assert chart.text == 'Factors. Not drawn, as there is no factor, or not a known one: c, d.'
    date = datetime.date(2020, 1, 1)
    dated = [
        over_date.DatedPoint('reached', date, 10.0, 'here', measured=True, low=5.0, high=20.0, of_seeds='[5, 20]'),
        over_date.DatedPoint('bound', date, 20.0, 'here', measured=True, is_bound=True),
        over_date.DatedPoint('never', date, math.inf, 'here', measured=True),
        over_date.DatedPoint('spent', date, math.inf, 'here', measured=True, spent=30.0),
    ]
    chart = over_date.compute_over_date('d', 'D', dated, 'reached', 'Compute.')
    assert chart.text == 'Compute. Not drawn, as half of their seeds or more never get there: never.'
    by_label = {label: series for series in chart.series for label in series.labels}
    assert (by_label['bound'].marker, by_label['bound'].hollow) == ('triangle-up', True)
    assert by_label['bound'].hover == ['bound\n2020-01-01, measured\n20.0 or more macs\nhere']
    assert (by_label['spent'].marker, by_label['spent'].hollow, by_label['spent'].y) == ('cross', True, [30.0])
    assert by_label['spent'].hover == ['spent\n2020-01-01, measured\nnever in the median, with 30.0 macs spent\nhere']
    assert by_label['reached'].hover == ['reached\n2020-01-01, measured\n10.0 macs [5, 20]\nhere']


def test_what_is_much_older_than_the_baseline_stands_at_the_edge_and_says_so():
    years = {'old': 1998, 'base': 2012, 'a': 2014, 'b': 2016}
    points = [
        over_date.DatedPoint(name, datetime.date(year, 1, 1), 1e12 / 2 ** (year - 1990), 'here', measured=True)
        for name, year in years.items()
    ]
    chart = over_date.compute_over_date('d', 'D', points, 'base', 'Compute.')
    (early,) = (series for series in chart.series if series.marker == 'triangle-left')
    assert early.labels == ['old (1998)']
    assert early.hover[0].startswith('old\n1998-01-01')
    assert datetime.date(2011, 1, 1) < early.x[0] < datetime.date(2012, 1, 1)
    assert chart.text == 'Compute. At the left edge, and earlier than it: old (1998).'
    # Compute that halves each year lies on its own line, whose band has no width.
    (line,) = (series for series in chart.series if series.band)
    expected = [1e12 / 2 ** ((day - datetime.date(1990, 1, 1)).days / 365.25) for day in line.x]
    np.testing.assert_allclose(line.y, expected, rtol=2e-3)
    np.testing.assert_allclose(line.low, line.high, rtol=3e-2)  # leap years


def test_the_band_of_three_points_leaves_them_apart():
    points = [
        over_date.DatedPoint(name, datetime.date(year, 1, 1), macs, 'here', measured=True)
        for name, year, macs in (('dqn', 2015, 2e13), ('ppo', 2017, 4e11), ('pqn', 2024, 3e11))
    ]
    chart = over_date.compute_over_date('d', 'D', points, 'dqn', 'Compute.')
    (band,) = (series for series in chart.series if series.band)
    assert band.name.endswith(', cut')
    assert 3e10 <= min(band.low) < max(band.high) <= 2e14


def test_the_band_of_a_line_is_that_of_its_mean():
    days = [datetime.date(2012, 1, 1) + datetime.timedelta(days=400 * i) for i in range(6)]
    macs = [2.0**y for y in (40.0, 39.1, 39.4, 37.2, 38.0, 36.5)]
    at = [days[0], days[3], datetime.date(2020, 6, 1)]
    middle, low, high = line_at(days, macs, at)
    # By the design matrix and the residuals, as in any book on regression.
    x = np.array([[1.0, day.toordinal() / 30.4375] for day in days])
    x[:, 1] -= x[0, 1]
    new = np.array([[1.0, (day.toordinal() - days[0].toordinal()) / 30.4375] for day in at])
    beta, residuals, _, _ = np.linalg.lstsq(x, np.log2(macs), rcond=None)
    error = np.sqrt(residuals[0] / 4 * np.einsum('ij,jk,ik->i', new, np.linalg.inv(x.T @ x), new))
    width = stats.t.ppf(0.975, 4) * error
    np.testing.assert_allclose(np.log2(middle), new @ beta, rtol=1e-9)
    np.testing.assert_allclose(np.log2(low), new @ beta - width, rtol=1e-9)
    np.testing.assert_allclose(np.log2(high), new @ beta + width, rtol=1e-9)


def test_names_that_no_file_can_have_are_another_for_each():
    assert file_name('gains-plain-top1-0.9') == 'gains-plain-top1-0.9'
    names = ['a/b', 'A_B', 'a_B', 'a_b', 'a b', 'a' * 300, 'a' * 301, 'データ', '../x']
    found = [file_name(name) for name in names]
    assert len({name.lower() for name in found}) == len(names)  # as some disks take them
    assert all(len(name.encode()) < 200 and '/' not in name for name in found)
    assert [file_name(name) for name in found] == found
