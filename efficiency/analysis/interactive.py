"""What plotly draws on the page: charts that can be pointed at, zoomed into and read without a network.

`page.js` draws a chart when it comes into view, and finds its labels' places there, at the size that it then has.
"""

import datetime
import html
import importlib.resources
import json
import math
from collections.abc import Sequence

from efficiency.analysis.charts import Chart, Series, Value


def library() -> bytes:
    """plotly's own JavaScript, whole."""
    # Its Python is asked for nothing more: figures are written here, in a tenth of the time.
    return importlib.resources.files('plotly').joinpath('package_data', 'plotly.min.js').read_bytes()


def figure_json(chart: Chart) -> str:
    """The chart as plotly's JSON, safe within a script element: `data` and `layout`."""
    axes = {}
    for axis, label, is_log, is_percent in (
        ('xaxis', chart.x_label, chart.log_x, chart.percent_x),
        ('yaxis', chart.y_label, chart.log_y, chart.percent_y),
    ):
        axes[axis] = {'title': {'text': _text(label)}, 'automargin': True}
        if is_log:
            # On shares the digits between 1, 2 and 5 would stand on one another.
            axes[axis] |= {'type': 'log', 'exponentformat': 'power'} | ({'dtick': 'D2'} if is_percent else {})
        if is_percent:
            axes[axis] |= {'tickformat': '.3~%'}
    figure = {
        'data': [trace for series in chart.series for trace in _traces(series)],
        'layout': {
            'margin': {'l': 60, 'r': 15, 't': 20},
            **axes,
            'legend': {'font': {'size': 11}, 'orientation': 'h', 'yref': 'container', 'y': 0, 'yanchor': 'bottom'},
            'hoverlabel': {'font': {'size': 12}, 'align': 'left'},
            'hovermode': 'closest',
        },
    }
    text = json.dumps(figure, separators=(',', ':'), allow_nan=False)
    for character in '<>&':
        text = text.replace(character, f'\\u{ord(character):04x}')
    return text


def _traces(series: Series) -> list[dict]:
    if series.band:
        return [_band(series), _trace(series, None, None)]
    return [_trace(series, series.low, series.high)]


def _band(series: Series) -> dict:
    """The interval of a line, as an area around it."""
    return {
        'fill': 'toself',
        'fillcolor': series.colour,
        'hoverinfo': 'skip',
        'line': {'width': 0},
        'mode': 'lines',
        'opacity': 0.15,
        'showlegend': False,
        'x': _values([*series.x, *reversed(series.x)]),
        'y': _values([*series.high, *reversed(series.low)]),
        'type': 'scatter',
    }


def _trace(series: Series, low, high) -> dict:
    parts = (('lines', series.dash), ('markers', series.marker), ('text', any(series.labels)))
    trace = {
        'error_x': _intervals(series.x, series.left, series.right),
        'error_y': _intervals(series.y, low, high),
        'hoverinfo': 'text' if series.hover else 'skip',
        'hovertext': [_text(text).replace('\n', '<br>') for text in series.hover] or None,
        'line': {
            'color': series.colour,
            'dash': series.dash or 'solid',
            'shape': 'hv' if series.step else 'linear',
            'width': 2,
        },
        'marker': {
            'color': series.colour,
            'size': 9,
            'symbol': f'{series.marker or "circle"}{"-open" if series.hollow else ""}',
        },
        'mode': '+'.join(part for part, there in parts if there),
        'name': _text(series.name),
        'showlegend': bool(series.name),
        'text': [_text(label) for label in series.labels] or None,
        'textfont': {'size': 11},
        'textposition': 'top center',
        'x': _values(series.x),
        'y': _values(series.y),
        'type': 'scatter',
    }
    return {key: value for key, value in trace.items() if value is not None}


def _values(values: Sequence[Value | None]) -> list[float | str | None]:
    """What JSON has of them: what is no finite number is not there."""
    return [
        value.isoformat()
        if isinstance(value, datetime.date)
        else value
        if value is not None and math.isfinite(value)
        else None
        for value in values
    ]


def _intervals(middles, lows, highs) -> dict | None:
    """Bars around the points; an end without a bound has none, and is told in the point's text."""
    if lows is None or highs is None:
        return None
    up, down = [], []
    for middle, low, high in zip(middles, lows, highs, strict=True):
        known = middle is not None and low is not None
        up.append(high - middle if known and math.isfinite(high) else 0)
        down.append(middle - low if known and low > 0 else 0)
    return {'array': up, 'arrayminus': down, 'symmetric': False, 'thickness': 1, 'type': 'data', 'width': 3}


def _text(text: str) -> str:
    """plotly takes some HTML in texts for HTML."""
    return html.escape(text, quote=False)
