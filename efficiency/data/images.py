"""One image on the host: decoded, cropped at random for training, or resized and cropped for evaluation."""

import math

import numpy as np

# RandomResizedCrop (Szegedy et al., 2015, arXiv:1409.4842, section 6), with torchvision's defaults.
_AREA = (0.08, 1.0)
_LOG_ASPECT = (math.log(3 / 4), math.log(4 / 3))
_ATTEMPTS = 10
# Resize(256) before CenterCrop(224), and in that proportion at every other size.
_CROP_OF_RESIZED = 224 / 256

_JPEG, _START_OF_SCAN, _END_OF_IMAGE = b'\xff\xd8', b'\xff\xda', b'\xff\xd9'


def decode(encoded: bytes, channels: int | None = 3, reduced: int = 1) -> np.ndarray:
    """Decodes a JPEG, PNG or any other image that OpenCV reads. An orientation in its EXIF data is left alone.

    Args:
        encoded: the file's bytes.
        channels: 3 for RGB whatever the file has; None for the file's own, 1 or 3.
        reduced: 1, 2, 4 or 8: by how much the image is scaled down while it is decoded; 1 where channels is None.

    Returns:
        (h, w, channels) uint8.

    Raises:
        ValueError: if it does not decode, or the file ends before its image does.
    """
    import cv2

    if channels is None:
        mode = cv2.IMREAD_ANYCOLOR
    else:
        # Of the flags for a reduced image, those for grey are the bits that say nothing about colour.
        smaller = {
            1: 0,
            2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
            4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
            8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
        }
        mode = cv2.IMREAD_COLOR_RGB | smaller[reduced]
    try:
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), mode | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        image = None
    if image is None:
        raise ValueError('OpenCV cannot decode it')
    if _ends_early(encoded):
        raise ValueError('the file ends before its image does')
    if image.ndim == 2:
        return image[..., None]
    return image if channels == 3 else np.ascontiguousarray(image[..., ::-1])


def _ends_early(encoded: bytes) -> bool:
    """Whether a JPEG has no end; a decoder would fill up what is missing with grey."""
    if encoded[:2] != _JPEG:
        return False
    end = encoded.rfind(_END_OF_IMAGE)
    # An end that stands before the scan is that of a thumbnail.
    return end < 0 or (len(encoded) - end > 1024 and encoded.rfind(_START_OF_SCAN) > end)


def resized_crop_flip(image: bytes | np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """A random part of an image at a fixed size, mirrored half of the time: (size, size, 3) uint8.

    The part and its proportions are drawn as torchvision's RandomResizedCrop draws them. What shrinks by less than 2
    is interpolated bilinearly, which then misses no pixel; what shrinks by more is averaged over areas.

    Args:
        image: an encoded file, or (h, w, 1 or 3) uint8.
        size: pixels a side.
        rng: what all that is random comes from.

    Raises:
        ValueError: as `decode`.
    """
    import cv2

    shape = _jpeg_shape(image) if isinstance(image, bytes) else None
    if isinstance(image, bytes) and shape is None:
        image = decode(image)
    height, width = shape or image.shape[:2]
    top, left, rows, columns = _random_box(height, width, rng)
    mirrored = rng.random() < 0.5
    if isinstance(image, bytes):
        reduced = next((scale for scale in (8, 4, 2) if min(rows, columns) >= scale * size), 1)
        image = decode(image, reduced=reduced)
    else:
        reduced, image = 1, rgb(image)
    top, left = top // reduced, left // reduced
    rows, columns = max(1, rows // reduced), max(1, columns // reduced)
    part = image[top : top + rows, left : left + columns]
    shrinks = max(rows, columns) >= 2 * size
    part = cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return cv2.flip(part, 1) if mirrored else part


def _jpeg_shape(encoded: bytes) -> tuple[int, int] | None:
    """Height and width from a JPEG's frame header (ITU-T T.81, B.2.2), None where there is none."""
    at = 2
    while encoded[:2] == _JPEG and at + 9 <= len(encoded) and encoded[at] == 0xFF:
        marker = encoded[at + 1]
        # SOF0 to SOF15, but for the three of those numbers that are tables.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            shape = int.from_bytes(encoded[at + 5 : at + 7]), int.from_bytes(encoded[at + 7 : at + 9])
            return shape if min(shape) > 0 else None
        at += 2 + int.from_bytes(encoded[at + 2 : at + 4])
    return None


def _random_box(height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Top, left, rows and columns of a random part of an image."""
    for _ in range(_ATTEMPTS):
        area = height * width * rng.uniform(*_AREA)
        aspect = math.exp(rng.uniform(*_LOG_ASPECT))
        rows, columns = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < rows <= height and 0 < columns <= width:
            return int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1)), rows, columns
    # None fitted: the largest part in the middle whose proportions are allowed.
    low, high = map(math.exp, _LOG_ASPECT)
    rows, columns = height, width
    if width / height < low:
        rows = max(1, round(width / low))
    elif width / height > high:
        columns = max(1, round(height * high))
    return (height - rows) // 2, (width - columns) // 2, rows, columns


def centre_crop(image: bytes | np.ndarray, size: int) -> np.ndarray:
    """The middle of an image at a fixed size, as torchvision's Resize(256) and CenterCrop(224): (size, size, 3) uint8.

    The shorter side is first resized to 256 / 224 of `size`, antialiased.

    Raises:
        ValueError: as `decode`.
    """
    pixels = decode(image) if isinstance(image, bytes) else rgb(image)
    height, width = pixels.shape[:2]
    shorter = int(size / _CROP_OF_RESIZED)
    if width <= height:
        rows, columns = int(shorter * height / width), shorter
    else:
        rows, columns = shorter, int(shorter * width / height)
    top, left = round((rows - size) / 2), round((columns - size) / 2)
    return resize(pixels, rows, columns)[top : top + size, left : left + size]


def resize(pixels: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Resizes (h, w, c) uint8 to (rows, columns, c), c of 1 or 3, bilinearly and antialiased, as Pillow does it."""
    from PIL import Image

    if pixels.shape[:2] == (rows, columns):
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels))
    return np.asarray(image.resize((columns, rows), Image.Resampling.BILINEAR)).reshape(rows, columns, -1)


def rgb(pixels: np.ndarray) -> np.ndarray:
    """(h, w, 1 or 3) as (h, w, 3)."""
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))
