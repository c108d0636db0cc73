"""What an encoded image says of itself before any of it is decoded: its size, its kind, and whether it is all there."""

import re
import struct
from typing import NamedTuple

_JPEG, _PNG = b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n'
_PNG_END = b'\0\0\0\0IEND\xaeB`\x82'
# Markers of a JPEG (ITU-T T.81, table B.1).
_END_OF_IMAGE = 0xD9
# Frames and tables, scans, applications' own, comments; all else that a marker can be is the beginning or reserved.
_INSIDE = frozenset((*range(0xC0, 0xD0), *range(0xDA, 0xDE), *range(0xE0, 0xF0), 0xFE))
# SOF0 to SOF15, but for the three of those numbers that are tables.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BASELINE_EXTENDED_PROGRESSIVE = (0xC0, 0xC1, 0xC2)
# The frame header (ITU-T T.81, B.2.2): length, bits, height, width, components; and PNG's (ISO/IEC 15948, 11.2.2):
# width, height, bits, type of colour.
_FRAME, _PNG_HEADER = struct.Struct('>HBHHB'), struct.Struct('>IIBB')
# But for those with nothing behind them, as restarts; and in coded data a byte of 255 is followed by 0.
_next_marker = re.compile(rb'\xff[\x02-\xcf\xd8-\xfe]').search


class Header(NamedTuple):
    """What an encoded image says of itself.

    Attributes:
        height, width: in pixels; 0 where it does not say.
        plain: whether OpenCV decodes its kind to the very pixels that Pillow does.
        reducible: whether it can be scaled down while it is decoded, too.
        ends_early: whether it is a JPEG that is cut short: that has no end, or before it what is no part of a JPEG.
    """

    height: int
    width: int
    plain: bool = False
    reducible: bool = False
    ends_early: bool = False


def header(encoded: bytes) -> Header:
    """What an image says of itself.

    Plain are JPEGs of 8 bits, in grey or three colours, baseline or progressive; and whole PNGs of 8 bits, in grey or
    RGB, that are neither transparent nor animated.
    """
    if encoded.startswith(_JPEG):
        return _of_jpeg(encoded)
    if encoded.startswith(_PNG) and encoded[12:16] == b'IHDR' and len(encoded) >= 33:
        width, height, bits, colour = _PNG_HEADER.unpack_from(encoded, 16)
        plain = bits == 8 and colour in (0, 2) and _PNG_END in encoded[-1024:]
        plain = plain and b'tRNS' not in encoded and b'acTL' not in encoded
        return Header(height, width, bool(plain and height and width))
    return Header(0, 0)


def _of_jpeg(jpeg: bytes) -> Header:
    """Looks at its markers up to the first that is its end; those of a thumbnail are inside of what one marks.

    What follows its end is not looked at: a film, another image, zeros. A decoder would take zeros, or what else stands
    in the place of the rest, for the rest. In as few steps as can be, as in between images they are slow.
    """
    height = width = 0
    plain, ends_early, at = False, True, 2
    while match := _next_marker(jpeg, at):
        at = match.end()
        marker = jpeg[at - 1]
        if marker not in _INSIDE:
            ends_early = marker != _END_OF_IMAGE
            break
        if marker in _FRAMES and not height and at + _FRAME.size <= len(jpeg):
            _, bits, height, width, components = _FRAME.unpack_from(jpeg, at)
            plain = marker in _BASELINE_EXTENDED_PROGRESSIVE and bits == 8 and components in (1, 3)
        # The length counts itself. What is coded follows a scan's header, up to the next marker.
        at += max(2, int.from_bytes(jpeg[at : at + 2]))
    plain = bool(plain and height and width)
    return Header(height, width, plain, plain, ends_early)
