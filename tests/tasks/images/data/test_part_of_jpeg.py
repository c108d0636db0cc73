"""A part decoded alone is that part of the whole image, to the pixel: a run is the same with it and without."""

import io
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image

from efficiency.tasks.images.data import images, part_of_jpeg

needs_codec = pytest.mark.skipif(part_of_jpeg._codec() is None, reason='the extra `decode` is not installed')
HEIGHT, WIDTH = 257, 333
KINDS = {
    'whole colour': {'subsampling': 0},
    'colour halved across': {'subsampling': 1},
    'colour halved': {'subsampling': 2},
    'progressive': {'progressive': True},
    'best quality': {'quality': 100, 'subsampling': 0},
    'least quality': {'quality': 1},
    'restarts': {'restart_marker_rows': 1},
    'turned': {'exif': b'Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0'},
    'grey': {},
}


def jpeg(kind='whole colour', height=HEIGHT, width=WIDTH):
    noise = np.random.default_rng(0).integers(0, 256, (9, 11, 3), np.uint8)
    pixels = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if kind == 'grey' else pixels).save(file, 'JPEG', **KINDS[kind])
    return file.getvalue()


@needs_codec
@pytest.mark.parametrize('kind', KINDS)
def test_a_part_has_the_pixels_of_the_whole(kind):
    encoded, rng = jpeg(kind), np.random.default_rng(1)
    whole = images.decode(encoded)
    corners = [(0, 0, 1, 1), (HEIGHT - 1, WIDTH - 1, 1, 1), (0, 0, HEIGHT, WIDTH), (5, 0, 1, WIDTH)]
    for _ in range(40):
        top, left = rng.integers(HEIGHT), rng.integers(WIDTH)
        corners.append((top, left, rng.integers(1, HEIGHT - top + 1), rng.integers(1, WIDTH - left + 1)))
    for corner in corners:
        top, left, rows, columns = map(int, corner)
        part = part_of_jpeg.decode_part(encoded, top, left, rows, columns)
        np.testing.assert_array_equal(part, whole[top : top + rows, left : left + columns])


@needs_codec
def test_threads_decode_side_by_side():
    encoded = jpeg()
    whole = images.decode(encoded)

    def same(top):
        return np.array_equal(part_of_jpeg.decode_part(encoded, top, 3, 50, 200), whole[top : top + 50, 3:203])

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(same, list(range(200)) * 3))


@pytest.mark.parametrize('kind', KINDS)
def test_a_random_crop_is_the_same_without_the_extra(kind, monkeypatch):
    crops = []
    for codec in (part_of_jpeg._codec, lambda: None):
        monkeypatch.setattr(part_of_jpeg, '_codec', codec)
        # Some of these are reduced while they are decoded, and some parts are all of the image.
        crops.append([
            images.resized_crop_flip(jpeg(kind, height, 180), 32, np.random.default_rng(seed))
            for seed in range(5) for height in (40, 90, 700)
        ])  # fmt: skip
    np.testing.assert_array_equal(*crops)


def test_what_cannot_be_decoded_is_said_as_ever():
    encoded = jpeg()
    scan = encoded.index(b'\xff\xda')
    for damaged in (encoded[: len(encoded) // 2], encoded[:scan] + b'\xff\xd9', b'\xff\xd8\xff'):
        with pytest.raises(ValueError, match=r'ends before|decode'):
            images.resized_crop_flip(damaged, 32, np.random.default_rng(0))
