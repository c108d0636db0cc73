"""What a figure shows, apart from how it is drawn: the same chart goes to print and onto the page."""

import dataclasses
import datetime
import hashlib
import re
from collections.abc import Sequence

Value = float | datetime.date

# Colours that people with any colour vision tell apart (Okabe & Ito, 2008), dark ones first; black is for frontiers.
COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9')
BLACK, GRAY = '#000000', '#767676'
MARKERS = ('circle', 'square', 'diamond', 'triangle-up', 'triangle-down', 'cross')
TO_THE_LEFT = 'triangle-left'  # of what lies beyond the edge
DASHES = ('solid', 'dash', 'dot', 'dashdot')
_LISTED = 12
# Of the 255 letters that file systems take, with room for what is put before and behind.
_LONGEST_NAME = 160


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """One line, or points of one kind.

    Attributes:
        name: in the legend.
        x, y: the values, dates among them; None in `y` breaks a line.
        marker: one of `MARKERS`, or '' for a bare line.
        dash: one of `DASHES`, or '' for points alone.
        step: the line keeps its value until the next point, as a running minimum does.
        hollow: markers are outlines: published points, where filled ones are measured.
        labels: a text beside each point, '' for none.
        hover: lines of text for each point, on the page.
        low, high: ends of an interval of y for each point, or None; of a point None where it has no interval, 0 on a
            logarithmic axis or infinite where that end has no bound.
        left, right: the same of x.
        band: whether the interval of y is an area around a line, and has both ends everywhere.
    """

    name: str
    x: Sequence[Value]
    y: Sequence[float | None]
    colour: str = COLOURS[0]
    marker: str = 'circle'
    dash: str = ''
    step: bool = False
    hollow: bool = False
    labels: Sequence[str] = ()
    hover: Sequence[str] = ()
    low: Sequence[float | None] | None = None
    high: Sequence[float | None] | None = None
    left: Sequence[float | None] | None = None
    right: Sequence[float | None] | None = None
    band: bool = False


def file_name(name: str) -> str:
    """Of a name one for a file, another for each, also where disks take capitals for small letters.

    What has capitals or other letters, or is too long, ends in a hash.
    """
    plain = re.sub(r'[^\w.,=+-]+', '_', name, flags=re.ASCII).lower()
    if plain == name and len(name) <= _LONGEST_NAME:
        return name
    return f'{plain[: _LONGEST_NAME - 7]}-{hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:6]}'


@dataclasses.dataclass(frozen=True, eq=False)
class Chart:
    """A figure.

    Attributes:
        name: of its files, see `file_name`.
        title, x_label, y_label: with units.
        text: what it shows and where it is from, for the caption.
        log_x, log_y: whether an axis is logarithmic.
        percent_x, percent_y: whether an axis has shares, told in percent.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    text: str = ''
    log_x: bool = False
    log_y: bool = False
    percent_x: bool = False
    percent_y: bool = False

    def __post_init__(self):
        object.__setattr__(self, 'name', file_name(self.name))


def style(i: int) -> dict:
    """Colour, marker and dash of the i-th of many series: no two of 36 are alike, in print without colour too."""
    return {
        'colour': COLOURS[i % len(COLOURS)],
        'marker': MARKERS[(i + i // len(COLOURS)) % len(MARKERS)],
        'dash': DASHES[(i // len(COLOURS)) % len(DASHES)],
    }


def with_undrawn(text: str, systems: Sequence[str], why: str) -> str:
    """A chart's text, and what has no place in it."""
    return f'{text} Not drawn, {why}: {listed(systems)}.' if systems else text


def listed(names: Sequence[str]) -> str:
    """Names in a caption, of very many the first."""
    more = f' and {len(names) - _LISTED} more' if len(names) > _LISTED else ''
    return f'{", ".join(names[:_LISTED])}{more}'
