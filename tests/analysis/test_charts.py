"""What is not bounded is drawn as such, and takes nothing else out of its place."""

import datetime
import json
import math
import re
import xml.etree.ElementTree as ET

from efficiency.analysis import figures, interactive, plots
from efficiency.analysis.charts import Chart, Series
from efficiency.analysis.factors import Factor

BARS = Series(
    'factors', [1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, None], low=[5.0, 0.0, None, None],
    high=[math.inf, 25.0, None, None], left=[0.5, 2.0, None, None], right=[math.inf, 2.0, None, None],
)  # fmt: skip


def test_an_end_without_a_bound_is_an_arrow_in_print(tmp_path):
    figures.draw(Chart('bars', 'Bars', 'x', 'y', [BARS], log_x=True, log_y=True), tmp_path)
    svg = ET.fromstring((tmp_path / 'bars.svg').read_text())
    groups = [group.get('id', '') for group in svg.iter('{http://www.w3.org/2000/svg}g')]
    # Up, down and to the right, beside the bars themselves.
    assert sum(group.startswith('Quiver') for group in groups) == 3
    assert sum(group.startswith('LineCollection') for group in groups) == 2


def test_an_end_without_a_bound_has_no_bar_on_the_page_and_its_point_says_so():
    found = interactive.figure_html(Chart('bars', 'Bars', 'x', 'y', [BARS], log_y=True))
    (bars,) = re.findall(r'"error_y":({[^{}]*"array"[^{}]*})', found)
    bars = json.loads(bars)
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
        plots.DatedPoint('reached', date, 10.0, 'here', measured=True, low=5.0, high=20.0, of_seeds='[5, 20]'),
        plots.DatedPoint('bound', date, 20.0, 'here', measured=True, is_bound=True),
        plots.DatedPoint('never', date, math.inf, 'here', measured=True),
    ]
    chart = plots.compute_over_date('d', 'D', dated, 'reached', 'Compute.')
    assert chart.text == 'Compute. Not drawn, as half of their seeds or more never get there: never.'
    by_label = {label: series for series in chart.series for label in series.labels}
    assert (by_label['bound'].marker, by_label['bound'].hollow) == ('triangle-up', True)
    assert by_label['bound'].hover == ['bound\n2020-01-01, measured\n20.0 or more macs\nhere']
    assert by_label['reached'].hover == ['reached\n2020-01-01, measured\n10.0 macs [5, 20]\nhere']
