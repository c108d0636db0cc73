"""Draws charts with plotly, for the page: they can be pointed at, zoomed into and read without a network."""

import html
import math

from efficiency.analysis.charts import Chart, Series

_CONFIG = {'displaylogo': False, 'responsive': True, 'modeBarButtonsToRemove': ['lasso2d', 'select2d']}


def library() -> str:
    """plotly's own JavaScript, whole, for the page's head."""
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def figure_html(chart: Chart) -> str:
    """The chart as an element of the page, which `library` brings to life."""
    import plotly.graph_objects as go
    import plotly.io

    figure = go.Figure([_trace(go, series) for series in chart.series])
    figure.update_layout(
        template='plotly_white',
        height=460,
        margin={'l': 60, 'r': 15, 't': 20, 'b': 50},
        xaxis={'title': {'text': _text(chart.x_label)}, 'type': 'log' if chart.log_x else None},
        yaxis={'title': {'text': _text(chart.y_label)}, 'type': 'log' if chart.log_y else None},
        legend={'orientation': 'h', 'y': -0.22, 'font': {'size': 11}},
        hoverlabel={'align': 'left', 'font': {'size': 12}},
        hovermode='closest',
    )
    for axis, is_log in (('xaxis', chart.log_x), ('yaxis', chart.log_y)):
        if is_log:
            figure.update_layout({axis: {'exponentformat': 'power'}})
    for axis, is_percent in (('xaxis', chart.percent_x), ('yaxis', chart.percent_y)):
        if is_percent:
            figure.update_layout({axis: {'tickformat': '.3~%'}})
    return plotly.io.to_html(
        figure, full_html=False, include_plotlyjs=False, config=_CONFIG, div_id=f'chart-{chart.name}', validate=False
    )


def _trace(go, series: Series):
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
        textfont={'size': 10},
        hovertext=hover or None,
        hoverinfo='text' if hover else 'skip',
        error_y=_intervals(series.y, series.low, series.high),
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
