"""Images on the host: evaluated as torchvision would, cropped at random within what was asked, errors named."""

import io
import pathlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from efficiency.tasks.images.data import catalogue, images
from efficiency.tasks.images.data.encoded import header

GOLDEN = pathlib.Path(__file__).parent / 'torchvision_crops.npz'


@pytest.fixture(scope='session')
def photographs(tfds_dir):
    """The 250 of imagenet_sample, encoded."""
    split = catalogue.open_source('imagenet_sample', tfds_dir).splits['validation']
    return [split[i][0] for i in range(len(split))]


def encoded(pixels, suffix='.jpg'):
    return cv2.imencode(suffix, pixels[..., ::-1])[1].tobytes()


def smooth(height, width):
    """Pixels that say where they are: red grows downwards, green to the right."""
    red = np.linspace(0, 255, height)[:, None].repeat(width, 1)
    green = np.linspace(0, 255, width)[None].repeat(height, 0)
    return np.stack([red, green, np.zeros_like(red)], -1).astype(np.uint8)


def triangle(start, end):
    """(end, start): the weights of an antialiased bilinear resizing, which fall linearly from a pixel's middle."""
    scale = start / end
    middles = (np.arange(end)[:, None] + 0.5) * scale
    weights = np.maximum(0, 1 - abs(np.arange(start) + 0.5 - middles) / max(scale, 1))
    return weights / weights.sum(1, keepdims=True)


def resized(pixels, rows, columns):
    """(..., h, w, c) resized by the formula, without a rounding."""
    narrow = np.einsum('vw,...hwc->...hvc', triangle(pixels.shape[-2], columns), pixels, optimize=True)
    return np.einsum('uh,...hvc->...uvc', triangle(pixels.shape[-3], rows), narrow, optimize=True)


# Rows and columns are resized one after the other, and each time rounded to whole numbers; Pillow's weights are too.
OF_ROUNDING = 1.1


def test_the_centre_crop_is_torchvisions(photographs):
    # 64 pixels of every image at places drawn once, and the mean of all, as torchvision's Resize(256) and
    # CenterCrop(224) on Pillow made them (tests/tasks/images/data/make_torchvision_crops.py).
    golden = np.load(GOLDEN, allow_pickle=False)
    assert len(photographs) == len(golden['pixels']) == 250
    rows, columns = golden['places'].T
    for photograph, pixels, mean in zip(photographs, golden['pixels'], golden['means'], strict=True):
        crop = images.centre_crop(photograph, 224)
        np.testing.assert_array_equal(crop[rows, columns], pixels)
        assert crop.mean() == pytest.approx(mean, rel=1e-12)


@pytest.mark.parametrize('size', [32, 97, 224, 299])
@pytest.mark.parametrize('shape', [(300, 400), (400, 300), (40, 1000), (64, 64)])
def test_the_centre_crop_is_the_middle_of_the_resized_image_at_every_size(shape, size):
    pixels = np.random.RandomState(size).randint(0, 256, (*shape, 3)).astype(np.uint8)
    # torchvision's Resize: the shorter side in the proportion of 256 to 224, the longer cut off to whole pixels.
    shorter = size * 256 // 224
    rows, columns = (shorter * side // min(shape) for side in shape)
    top, left = round((rows - size) / 2), round((columns - size) / 2)
    expected = resized(pixels, rows, columns)[top : top + size, left : left + size]
    np.testing.assert_allclose(images.centre_crop(pixels, size), expected, atol=OF_ROUNDING)


def test_decoding_is_pillows_for_every_photograph(photographs):
    for photograph in photographs[::10]:
        theirs = np.asarray(Image.open(io.BytesIO(photograph)).convert('RGB'))
        np.testing.assert_array_equal(images.decode(photograph), theirs)


def test_an_orientation_in_exif_is_left_alone():
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    file = io.BytesIO()
    Image.fromarray(smooth(40, 60)).save(file, 'JPEG', exif=exif)
    assert images.decode(file.getvalue()).shape == (40, 60, 3)


# Of 255, by a JPEG whose colours are kept at half of the size, of slopes of up to 5.4 a pixel.
LOST = {'.jpg': 4}


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.webp', '.bmp'])
def test_grey_and_colour_of_every_format(suffix):
    grey = np.tile(np.arange(0, 200, 10, dtype=np.uint8), (30, 1))
    colour = smooth(64, 48)
    for pixels, file in ((grey[..., None], cv2.imencode(suffix, grey)[1].tobytes()), (colour, encoded(colour, suffix))):
        decoded = images.decode(file)
        np.testing.assert_array_equal(decoded, np.asarray(Image.open(io.BytesIO(file)).convert('RGB')))
        # And what was encoded: a JPEG of quality 95 alone loses some of it.
        np.testing.assert_allclose(
            decoded.astype(int), np.broadcast_to(pixels, decoded.shape), atol=LOST.get(suffix, 0)
        )


def test_what_does_not_decode_is_an_error():
    whole = encoded(smooth(100, 100))
    for broken in (b'', b'no image', whole[: len(whole) // 2], whole[:-2], whole[:20]):
        with pytest.raises(ValueError, match=r'decode|ends before'):
            images.decode(broken)
    images.decode(whole + b'trailing bytes')


@given(
    height=st.integers(1, 700), width=st.integers(1, 700), size=st.integers(1, 64), seed=st.integers(0, 99),
    stored=st.booleans(),
)  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_a_random_crop_is_a_part_of_the_image_at_the_size_asked_for(height, width, size, seed, stored):
    image = encoded(smooth(height, width), '.png') if stored else smooth(height, width)
    crop = images.resized_crop_flip(image, size, np.random.default_rng(seed))
    again = images.resized_crop_flip(image, size, np.random.default_rng(seed))
    assert crop.shape == (size, size, 3)
    assert crop.dtype == np.uint8
    np.testing.assert_array_equal(crop, again)
    # Red grows downwards alone, green to one side alone, but for a rounding, and there is no blue.
    red, green, blue = np.moveaxis(crop.astype(int), -1, 0)
    assert (np.ptp(red, axis=1) <= 1).all()
    assert (np.ptp(green, axis=0) <= 1).all()
    assert (np.diff(red[:, 0]) >= 0).all()
    assert (np.diff(green[0]) >= 0).all() or (np.diff(green[0]) <= 0).all()
    assert not blue.any()


def test_random_crops_are_spread_as_torchvisions():
    # What is seen of the image: 8 to 100 per cent of its area, evenly; mirrored half of the time.
    image = smooth(512, 512)
    areas, mirrored = [], 0
    for seed in range(400):
        crop = images.resized_crop_flip(image, 64, np.random.default_rng(seed)).astype(float)
        down, right = crop[-1, 0, 0] - crop[0, 0, 0], crop[0, -1, 1] - crop[0, 0, 1]
        areas.append(down * abs(right) / 255**2)
        mirrored += right < 0
    assert 160 < mirrored < 240
    assert 0.06 < min(areas) < 0.12
    assert 0.9 < max(areas) <= 1
    assert abs(np.mean(areas) - 0.53) < 0.05


def test_a_large_image_is_reduced_while_it_is_decoded_and_stays_in_place():
    image = smooth(1600, 1600)
    for seed in range(5):
        whole = images.resized_crop_flip(image, 64, np.random.default_rng(seed)).astype(int)
        reduced = images.resized_crop_flip(encoded(image), 64, np.random.default_rng(seed)).astype(int)
        # A pixel of what is reduced by 8 is 8 of the whole; the rest is the JPEG's rounding.
        np.testing.assert_allclose(reduced, whole, atol=255 * 8 / 1600 + 2)


@pytest.mark.parametrize(('height', 'width'), [(375, 500), (1, 1), (333, 77)])
def test_the_size_is_read_from_the_header(height, width):
    for suffix in ('.jpg', '.png'):
        assert header(encoded(smooth(height, width), suffix))[:3] == (height, width, True)
