"""Draws charts with matplotlib, for print: SVG with its text as text, and PNG."""

import datetime
import io
import re
import textwrap

import numpy as np

from efficiency.analysis.charts import DASHES, MARKERS, TO_THE_LEFT, Chart, Series

_MARKERS = dict(zip((*MARKERS, TO_THE_LEFT, ''), ('o', 's', 'D', '^', 'v', 'X', '<', ''), strict=True))
_DASHES = dict(zip((*DASHES, ''), ('-', '--', ':', '-.', ''), strict=True))
_INCHES = (7.0, 4.4)
_KINDS = {'svg': {'metadata': {'Date': None}}, 'png': {'dpi': 200}}
_LEGEND_INSIDE = 6
_MANY = 20
_MOST_LABELS = 40
_MANY_POINTS = 1000  # where looking for the best place takes longer than drawing
_TITLE_WIDTH, _LABEL_WIDTH = 70, 40
_ARROW_INCHES = 0.3
_ARROW = {
    'angles': 'uv',
    'units': 'inches',
    'scale_units': 'inches',
    'scale': 1,
    'width': 0.012,
    'headwidth': 7,
    'headlength': 7,
}
# Away from one another and from points, in at most so many rounds; a line leads back where one had to go far.
_LABELS = {
    'iter_lim': 60,  # no limit of time: a figure does not depend on how fast it was made
    'expand': (1.15, 1.7),
    'force_static': (0.2, 0.4),
    'ensure_inside_axes': True,
    'arrowprops': {'arrowstyle': '-', 'color': '#b0b0b0', 'linewidth': 0.5},
}
# What matplotlib's formatter writes of powers of ten, and what is read as the same.
_FORMULAS = (
    (re.compile(r'\\times'), '\N{MULTIPLICATION SIGN}'),
    (re.compile(r'\^\{(.*?)\}'), lambda power: power[1].translate(_RAISED)),
    (re.compile(r'\$\\mathdefault\{(.*)\}\$'), r'\1'),
)
_RAISED = str.maketrans('-\N{MINUS SIGN}0123456789', '⁻⁻⁰¹²³⁴⁵⁶⁷⁸⁹')
_STYLE = {
    'font.size': 9,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.grid': True,
    'grid.color': '#e4e4e4',
    'grid.linewidth': 0.6,
    'legend.frameon': False,
    'legend.fontsize': 8,
    'svg.fonttype': 'none',
    'svg.hashsalt': 'efficiency',  # the same chart is the same file
}


def file_names(chart: Chart) -> list[str]:
    """Those of `draw`."""
    return [f'{chart.name}.{kind}' for kind in _KINDS]


def draw(chart: Chart) -> dict[str, bytes]:
    """The figure as files, by their names: `<name>.svg` and `<name>.png`."""
    import matplotlib as mpl
    import matplotlib.dates
    import matplotlib.ticker
    from adjustText import adjust_text
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        # No pyplot: nothing looks for a display, and no figure is kept.
        figure = Figure(figsize=_INCHES, layout='tight')
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        few = sum(map(bool, (label for series in chart.series for label in series.labels))) <= _MOST_LABELS
        labels = [label for series in chart.series for label in _draw_series(axes, series, few)]
        axes.set_title(textwrap.fill(_plain(chart.title), _TITLE_WIDTH), loc='left', fontsize=10, fontweight='bold')
        axes.set_xlabel(_plain(chart.x_label))
        axes.set_ylabel(_plain(chart.y_label))
        axes.set_axisbelow(True)
        if chart.log_x:
            axes.set_xscale('log')
        if chart.log_y:
            axes.set_yscale('log')
        for is_log, axis in ((chart.log_x, axes.xaxis), (chart.log_y, axes.yaxis)):
            if is_log and _within_a_few_decades(axis.get_view_interval()):
                axis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
                axis.set_major_formatter(mpl.ticker.StrMethodFormatter('{x:g}'))
                axis.set_minor_formatter(mpl.ticker.NullFormatter())
            elif is_log:
                _write_powers_plainly(axis)
        for is_percent, axis in ((chart.percent_x, axes.xaxis), (chart.percent_y, axes.yaxis)):
            if is_percent:
                axis.set_major_formatter(mpl.ticker.FuncFormatter(lambda share, _: f'{100 * share:g} %'))
        axes.margins(x=0.09, y=0.1)
        if chart.series and chart.series[0].x and isinstance(chart.series[0].x[0], datetime.date):
            axes.xaxis.set_major_formatter(mpl.dates.ConciseDateFormatter(axes.xaxis.get_major_locator()))
        named = [series for series in chart.series if series.name]
        if len(named) > _LEGEND_INSIDE:
            axes.legend(loc='center left', bbox_to_anchor=(1.0, 0.5))
        elif len(named) > 1:
            axes.legend(loc='best' if sum(len(series.x) for series in named) < _MANY_POINTS else 'upper right')
        figure.get_layout_engine().execute(figure)
        figure.set_layout_engine(None)  # found once: with an engine each file would be laid out by a draw of its own
        if labels:
            points = [label.get_position() for label in labels]
            adjust_text(labels, *zip(*points, strict=True), ax=axes, **_LABELS)
        files = {}
        for name, (kind, options) in zip(file_names(chart), _KINDS.items(), strict=True):
            file = io.BytesIO()
            figure.savefig(file, format=kind, **options)
            files[name] = file.getvalue()
    return files


def _draw_series(axes, series: Series, labelled: bool) -> list:
    """Draws one series; returns its labels."""
    from matplotlib import patheffects

    if not len(series.x):
        return []
    y = [float('nan') if value is None else value for value in series.y]
    axes.plot(
        series.x,
        y,
        color=series.colour,
        marker=_MARKERS[series.marker],
        linestyle=_DASHES[series.dash],
        drawstyle='steps-post' if series.step else 'default',
        markerfacecolor='white' if series.hollow else series.colour,
        markersize=4.5 if len(series.x) < _MANY else 2.5,
        markeredgewidth=1.0,
        linewidth=1.4,
        label=_plain(series.name) or '_',  # which legends leave out
        zorder=3 if series.marker else 2,
    )
    if series.band:
        axes.fill_between(series.x, series.low, series.high, color=series.colour, alpha=0.12, linewidth=0)
    elif series.low is not None and series.high is not None:
        _draw_bars(axes, series, list(zip(series.low, series.high, strict=True)), upright=True)
    if series.left is not None and series.right is not None:
        _draw_bars(axes, series, list(zip(series.left, series.right, strict=True)), upright=False)
    return [
        axes.text(
            x,
            value,
            _plain(textwrap.shorten(label, _LABEL_WIDTH, placeholder='...')),
            fontsize=7.5,
            zorder=2.9,  # its own point stays seen
            color=series.colour,
            path_effects=[patheffects.withStroke(linewidth=2.5, foreground='white')],
        )
        for x, value, label in zip(_numbers(axes.xaxis, series.x), y, series.labels, strict=False)
        if label and labelled
    ]


def _draw_bars(axes, series: Series, intervals, upright: bool) -> None:
    """The intervals of a series in one direction; an end without a bound is an arrow."""
    points = zip(_numbers(axes.xaxis, series.x), series.y, intervals, strict=True)
    # What is the same at both ends would be as wide as a point.
    known = [(x, y, *ends) for x, y, ends in points if None not in (y, *ends) and ends[0] < ends[1]]
    if not known:
        return
    x, y, low, high = np.array(known).T
    at, middle = (x, y) if upright else (y, x)
    look = {'color': series.colour, 'alpha': 0.7, 'zorder': 2.5}
    lines = axes.vlines if upright else axes.hlines
    lines(at, np.where(low > 0, low, middle), np.where(np.isfinite(high), high, middle), linewidth=1.0, **look)
    for is_open, way in ((low <= 0, -_ARROW_INCHES), (np.isinf(high), _ARROW_INCHES)):
        if is_open.any():
            tip = (0, way) if upright else (way, 0)
            axes.quiver(x[is_open], y[is_open], *tip, **_ARROW, **look)


def _numbers(axis, values) -> list[float]:
    """What the axis makes of dates."""
    return [float(value) for value in axis.convert_units(list(values))]


def _write_powers_plainly(axis) -> None:
    """Has a logarithmic axis write 10⁹ as text: the same digits as formulas take most of the time of a figure."""
    from matplotlib.ticker import LogFormatterSciNotation

    class Powers(LogFormatterSciNotation):
        def __call__(self, value, position=None):
            text = super().__call__(value, position)
            for formula, plain in _FORMULAS:
                text = formula.sub(plain, text)
            return text

    axis.set_major_formatter(Powers())
    axis.set_minor_formatter(Powers(minor_thresholds=None))


def _within_a_few_decades(interval) -> bool:
    """Whether numbers say more than powers of ten: few of them, and near 1."""
    low, high = sorted(interval)
    return low > 1e-5 and high < 1e5 and high / low < 1e4


def _plain(text: str) -> str:
    """Text that matplotlib shows as it is: a dollar sign would begin a formula, and it refuses what is not UTF-8."""
    return text.encode(errors='backslashreplace').decode().replace('$', r'\$')
