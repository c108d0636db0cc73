"""What plotly draws on the page: charts that can be pointed at, zoomed into and read without a network.

`page.js` draws a chart when it comes into view, and finds its labels' places there, at the size that it then has.
"""

import html
import json
import math
import re

from efficiency.analysis.charts import Chart, Series


def library() -> str:
    """plotly's own JavaScript, whole."""
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def figure_json(chart: Chart) -> str:
    """The chart as plotly's JSON, safe within a script element: `data` and `layout`."""
    import plotly.graph_objects as go

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
    figure = go.Figure([trace for series in chart.series for trace in _traces(go, series)])
    figure.update_layout(
        template='plotly_white', margin={'l': 60, 'r': 15, 't': 20}, hovermode='closest', **axes,
        legend={'orientation': 'h', 'yref': 'container', 'y': 0, 'yanchor': 'bottom', 'font': {'size': 11}},
        hoverlabel={'align': 'left', 'font': {'size': 12}},
    )  # fmt: skip
    written = json.loads(figure.to_json(validate=False))
    written['layout'].pop('template')  # of which 7 kB a chart would be the same; `page.js` has what is needed of it
    text = json.dumps(written, separators=(',', ':'))
    return re.sub('[<>&]', lambda found: f'\\u{ord(found.group()):04x}', text)


def _traces(go, series: Series) -> list:
    if series.band:
        return [_band(go, series), _trace(go, series, None, None)]
    return [_trace(go, series, series.low, series.high)]


def _band(go, series: Series):
    """The interval of a line, as an area around it."""
    return go.Scatter(
        x=[*series.x, *reversed(series.x)],
        y=[*series.high, *reversed(series.low)],
        fill='toself',
        fillcolor=series.colour,
        opacity=0.15,
        mode='lines',
        line={'width': 0},
        hoverinfo='skip',
        showlegend=False,
    )


def _trace(go, series: Series, low, high):
    hover = [_text(text).replace('\n', '<br>') for text in series.hover]
    parts = (('lines', series.dash), ('markers', series.marker), ('text', any(series.labels)))
    mode = '+'.join(part for part, there in parts if there)
    return go.Scatter(
        x=list(series.x),
        y=list(series.y),
        name=_text(series.name),
        showlegend=bool(series.name),
        mode=mode,
        line={
            'color': series.colour,
            'dash': series.dash or 'solid',
            'shape': 'hv' if series.step else 'linear',
            'width': 2,
        },
        marker={
            'color': series.colour,
            'symbol': f'{series.marker or "circle"}{"-open" if series.hollow else ""}',
            'size': 9,
        },
        text=[_text(label) for label in series.labels] or None,
        textposition='top center',
        textfont={'size': 11},
        hovertext=hover or None,
        hoverinfo='text' if hover else 'skip',
        error_y=_intervals(series.y, low, high),
        error_x=_intervals(series.x, series.left, series.right),
    )


def _intervals(middles, lows, highs) -> dict | None:
    """Bars around the points; an end without a bound has none, and is told in the point's text."""
    if lows is None or highs is None:
        return None
    up, down = [], []
    for middle, low, high in zip(middles, lows, highs, strict=True):
        known = middle is not None and low is not None
        up.append(high - middle if known and math.isfinite(high) else 0)
        down.append(middle - low if known and low > 0 else 0)
    return {'type': 'data', 'symmetric': False, 'array': up, 'arrayminus': down, 'width': 3, 'thickness': 1}


def _text(text: str) -> str:
    """plotly takes some HTML in texts for HTML."""
    return html.escape(text, quote=False)
