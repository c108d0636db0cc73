"""Every kind of image that Pillow reads, beside Pillow itself, as torchvision's loader uses it."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile

from efficiency.tasks.images.data import images

# A phone's motion photo has a film at its end, in which there are bytes that mark a JPEG's beginning and end.
FILM = b'\0\0\0\x18ftypmp42\0\0\0\0isommp42' + np.random.RandomState(0).bytes(20_000) + b'\xff\xd8\xff\xda\xff\xd9'
SHAPES = [(37, 53), (64, 48), (1, 1), (8, 200)]


def picture(height=37, width=53):
    """Smooth, with some noise, so that decoders that round or interpolate otherwise differ."""
    down, right = np.mgrid[0:height, 0:width]
    pixels = np.stack([down * 255 / height, right * 255 / width, (down * right) % 256], -1).astype(np.uint8)
    pixels[::3] ^= np.random.RandomState(height).randint(0, 64, pixels[::3].shape, np.uint8)
    return Image.fromarray(pixels)


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def deep(shape=(37, 53)):
    """Grey of 16 bits, of which some is below 256."""
    return Image.fromarray(np.random.RandomState(0).randint(0, 600, shape).astype(np.uint16))


def with_chunk(png, name, content):
    chunk = struct.pack('>I', len(content)) + name + content + struct.pack('>I', zlib.crc32(name + content))
    return png[:33] + chunk + png[33:]


def see_through(image):
    image.putalpha(Image.fromarray(np.arange(37 * 53, dtype=np.uint32).astype(np.uint8).reshape(37, 53)))
    return image


def turned(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(picture(), kind, exif=exif)


def as_ycck(jpeg):
    """The same file, said to be YCCK instead of CMYK: the last byte of its Adobe segment."""
    at = jpeg.index(b'Adobe') + 11
    return jpeg[:at] + b'\x02' + jpeg[at + 1 :]


def of_frames(kind, mode, **options):
    frames = [picture().convert(mode), picture().rotate(180).convert(mode)]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)


def kinds():
    rgb = picture()
    grey, cmyk, palette = rgb.convert('L'), rgb.convert('CMYK'), rgb.convert('P')
    jpeg = saved(rgb, 'JPEG')
    deep_rgb = np.asarray(rgb).astype(np.uint16) * 257 + 3
    thumbnail = saved(rgb.resize((16, 12)), 'JPEG')
    return {
        'JPEG, colour and grey': [
            saved(picture(*shape).convert(mode), 'JPEG', quality=quality, progressive=progressive, subsampling=halved)
            for shape in SHAPES for mode in ('RGB', 'L') for quality in (50, 95) for progressive in (False, True)
            for halved in ('4:4:4', '4:2:2', '4:2:0', '4:1:1')
        ] + [
            saved(rgb, 'JPEG', **options)
            for options in ({'keep_rgb': True}, {'restart_marker_rows': 1}, {'optimize': True})
        ],
        'JPEG, CMYK and YCCK': [
            change(saved(picture(*shape).convert('CMYK'), 'JPEG', quality=quality, progressive=progressive))
            for shape in SHAPES for quality in (50, 95) for progressive in (False, True)
            for change in (bytes, as_ycck)
        ],
        'JPEG, with bytes after its end': [
            start + tail
            for start in (jpeg, saved(grey, 'JPEG'), saved(cmyk, 'JPEG'), saved(rgb, 'JPEG', progressive=True))
            for tail in (FILM, bytes(1), bytes(100_000), thumbnail, b'\xff' * 50, b'SEFT' * 600, b'\xff\xd9', b'\n')
        ] + [jpeg[:2] + b'\xff\xe1' + struct.pack('>H', len(thumbnail) + 2) + thumbnail + jpeg[2:] + FILM],
        'JPEG, turned by EXIF': [turned('JPEG', orientation) for orientation in range(1, 9)],
        'other kinds, turned by EXIF': [turned(kind, 6) for kind in ('PNG', 'WEBP', 'TIFF')],
        'PNG, colour and grey': [
            saved(picture(*shape).convert(mode), 'PNG') for shape in SHAPES for mode in ('RGB', 'L')
        ] + [
            with_chunk(saved(rgb, 'PNG'), b'gAMA', struct.pack('>I', 100_000)),
            with_chunk(saved(rgb, 'PNG'), b'gAMA', struct.pack('>I', 30_000)),
            saved(rgb, 'PNG') + b'behind its end', saved(rgb, 'PNG') + bytes(5000), saved(rgb, 'PNG')[:-12],
        ],
        'PNG, 1 to 4 bits': [
            saved(grey.convert('1'), 'PNG'),
            *(saved(rgb.quantize(2**bits), 'PNG', bits=bits) for bits in (1, 2, 4)),
        ],
        'PNG, 16 bits': [
            saved(deep(), 'PNG'), cv2.imencode('.png', deep_rgb)[1].tobytes(),
            cv2.imencode('.png', np.dstack([deep_rgb, deep_rgb[..., :1]]))[1].tobytes(),
        ],
        'PNG, palette and transparent': [
            saved(palette, 'PNG'), saved(palette, 'PNG', transparency=3),
            saved(palette, 'PNG', transparency=bytes(range(256))), saved(see_through(rgb.copy()), 'PNG'),
            saved(see_through(grey.copy()), 'PNG'), saved(rgb, 'PNG', transparency=(0, 0, 0)),
            saved(grey, 'PNG', transparency=0), of_frames('PNG', 'RGB'), of_frames('PNG', 'RGBA'),
        ],
        'GIF': [
            saved(rgb, 'GIF'), saved(grey, 'GIF'), saved(palette, 'GIF', transparency=0), saved(rgb, 'GIF')[:-2],
            saved(see_through(rgb.copy()), 'GIF'), of_frames('GIF', 'P', duration=40, loop=0),
            of_frames('GIF', 'RGBA', disposal=2), of_frames('GIF', 'L', optimize=True),
        ],
        'WebP': [
            saved(rgb, 'WEBP'), saved(rgb, 'WEBP', lossless=True), saved(grey, 'WEBP'),
            saved(see_through(rgb.copy()), 'WEBP'), saved(see_through(rgb.copy()), 'WEBP', lossless=True),
            of_frames('WEBP', 'RGB'), of_frames('WEBP', 'RGBA', lossless=True), saved(picture(1, 1), 'WEBP'),
        ],
        'TIFF': [
            saved(image, 'TIFF', **options)
            for image in (
                rgb, grey, cmyk, palette, grey.convert('1'), grey.convert('I'), grey.convert('F'), deep(),
                rgb.convert('YCbCr'), rgb.convert('LAB'), see_through(rgb.copy()), see_through(grey.copy()),
            )
            for options in ({}, {'compression': 'tiff_lzw'}, {'compression': 'tiff_adobe_deflate'})
        ] + [saved(rgb, 'TIFF', compression='jpeg'), of_frames('TIFF', 'RGB')],
        'BMP': [saved(image, 'BMP') for image in (rgb, grey, palette, grey.convert('1'), see_through(rgb.copy()))],
        'PPM, PGM and PBM': [saved(image, 'PPM') for image in (rgb, grey, grey.convert('1'), deep())],
    }  # fmt: skip


KINDS = kinds()


def pillows(encoded):
    return np.asarray(Image.open(io.BytesIO(encoded)).convert('RGB'))


@pytest.mark.parametrize('kind', KINDS)
def test_the_pixels_are_pillows(kind, trials):
    for encoded in KINDS[kind]:
        with trials(kind):
            theirs = pillows(encoded)
            np.testing.assert_array_equal(images.decode(encoded), theirs)
            # On the way to a batch, too.
            np.testing.assert_array_equal(images.centre_crop(encoded, 24), images.centre_crop(theirs, 24))
            assert images.resized_crop_flip(encoded, 24, np.random.default_rng(0)).shape == (24, 24, 3)


@pytest.mark.parametrize('kind', KINDS)
def test_what_is_cut_short_is_refused(kind, trials):
    # With bytes after its end a file can lose those.
    wholes = [saved(picture(), 'JPEG')] if 'after its end' in kind else KINDS[kind]
    for encoded in wholes[:10]:
        ends = [b''] if encoded[:2] != b'\xff\xd8' else [b'', bytes(1000), bytes(len(encoded) // 2), FILM[:-20]]
        for end in ends:
            for share in (0.3, 0.6, 0.9):
                cut = encoded[: int(share * len(encoded))] + end
                if end == b'' and _pillow_reads(cut):
                    continue  # what is missing is not of the image that is taken, as frames behind the first
                with trials(f'cut short: {kind}'), pytest.raises(ValueError, match=r'decode|ends before'):
                    images.decode(cut)


def _pillow_reads(encoded):
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        pillows(encoded)
    except Exception:
        return False
    return True


def _of_pixels(jpeg, height, width):
    """The same file, said to be of another size."""
    at = jpeg.index(b'\xff\xc0') + 5
    return jpeg[:at] + struct.pack('>HH', height, width) + jpeg[at + 4 :]


def test_what_is_larger_than_pillow_takes_is_refused_before_it_is_decoded(trials):
    blank = io.BytesIO()
    Image.new('1', (20_000, 20_000)).save(blank, 'PNG')
    header = struct.pack('>II', 30_000, 30_000) + b'\x08\x02\0\0\0'
    png = saved(picture(), 'PNG')
    png = png[:16] + header + struct.pack('>I', zlib.crc32(b'IHDR' + header)) + png[33:]
    bitmap = saved(picture(), 'BMP')
    bitmap = bitmap[:18] + struct.pack('<ii', 30_000, 30_000) + bitmap[26:]
    for bomb in (_of_pixels(saved(picture(), 'JPEG'), 65_500, 65_500), blank.getvalue(), png, bitmap):
        with trials('larger than Pillow takes'), pytest.raises(ValueError, match='pixels'):
            images.decode(bomb)


def test_grey_stays_grey_where_it_is_asked_for_as_it_is():
    for encoded in (saved(deep(), 'PNG'), saved(picture().convert('1'), 'PNG'), saved(picture().convert('L'), 'GIF')):
        assert images.decode(encoded, channels=None).shape[2] == (3 if encoded[:3] == b'GIF' else 1)
