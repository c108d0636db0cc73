"""What an encoded image says of itself before any of it is decoded: its size, its kind, and whether it is all there."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

_JPEG, _PNG = b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n'
_PNG_END = b'\0\0\0\0IEND\xaeB`\x82'
# Markers of a JPEG (ITU-T T.81, table B.1).
_END_OF_IMAGE = 0xD9
_SCAN, _END = b'\xff\xda', b'\xff\xd9'
_BEGINNING = np.frombuffer(b'\xff\xd8', np.uint16)
# Frames and tables, scans, applications' own, comments; all else that a marker can be is the beginning or reserved.
_INSIDE = frozenset((*range(0xC0, 0xD0), *range(0xDA, 0xDE), *range(0xE0, 0xF0), 0xFE))
# SOF0 to SOF15, but for the three of those numbers that are tables.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BASELINE_EXTENDED_PROGRESSIVE = (0xC0, 0xC1, 0xC2)
# But for those with nothing behind them, as restarts; and in coded data a byte of 255 is followed by 0.
_MARKER = re.compile(rb'\xff[\x02-\xcf\xd8-\xfe]')


class Header(NamedTuple):
    """An image's size in pixels, and whether OpenCV decodes its kind to the very pixels that Pillow does."""

    height: int
    width: int
    plain: bool


def is_jpeg(encoded: bytes) -> bool:
    """Whether it begins as a JPEG does."""
    return encoded[:3] == _JPEG


def header(encoded: bytes) -> Header | None:
    """What a JPEG or a PNG says at its beginning; None of other kinds, and where it says nothing.

    Plain are JPEGs of 8 bits, in grey or three colours, baseline or progressive; and whole PNGs of 8 bits, in grey or
    RGB, that are neither transparent nor animated.
    """
    if is_jpeg(encoded):
        # The frame header (ITU-T T.81, B.2.2).
        for marker, at in _segments(encoded):
            if marker in _FRAMES and at + 8 <= len(encoded):
                height, width = (int.from_bytes(encoded[at + i : at + i + 2]) for i in (3, 5))
                plain = marker in _BASELINE_EXTENDED_PROGRESSIVE and encoded[at + 2] == 8 and encoded[at + 7] in (1, 3)
                return Header(height, width, plain) if min(height, width) > 0 else None
    elif encoded[:8] == _PNG and encoded[12:16] == b'IHDR' and len(encoded) >= 33:
        # Width, height, depth and type of colour (ISO/IEC 15948, 11.2.2).
        width, height = (int.from_bytes(encoded[i : i + 4]) for i in (16, 20))
        plain = encoded[24] == 8 and encoded[25] in (0, 2) and _PNG_END in encoded[-1024:]
        plain = plain and b'tRNS' not in encoded and b'acTL' not in encoded
        return Header(height, width, plain) if min(height, width) > 0 else None
    return None


def ends_early(jpeg: bytes) -> bool:
    """Whether a JPEG is cut short: whether it has no end, or what is no part of a JPEG stands before it.

    What follows its end is not looked at: a film, another image, zeros. A decoder takes zeros, or what else stands in
    the place of the rest, for the rest.
    """
    if jpeg[-2:] == _END and not _has_beginning(jpeg):
        return False  # as nearly all are, in a quarter of the time that looking at each marker takes
    for marker, _ in _segments(jpeg):
        if marker == _END_OF_IMAGE:
            return False
        if marker not in _INSIDE:
            return True
    return True


def _has_beginning(jpeg: bytes) -> bool:
    """Whether a JPEG may begin behind the header of this one's first scan."""
    begun = max(jpeg.find(_SCAN), 2)
    return any(
        (np.frombuffer(jpeg, np.uint16, (len(jpeg) - at) // 2, at) == _BEGINNING).any() for at in (begun, begun + 1)
    )


def _segments(jpeg: bytes) -> Iterator[tuple[int, int]]:
    """The markers of a JPEG in order, each with where what it marks begins; thumbnails lie inside of one."""
    at = 2
    while match := _MARKER.search(jpeg, at):
        at = match.end()
        yield jpeg[at - 1], at
        # Its length counts itself. What is coded follows a scan's header, up to the next marker.
        at += max(2, int.from_bytes(jpeg[at : at + 2]))
