"""One image on the host: decoded, cropped at random for training, or resized and cropped for evaluation."""

import functools
import io
import math
import warnings

import numpy as np

from efficiency.tasks.images.data.encoded import Header, header
from efficiency.tasks.images.data.part_of_jpeg import decode_part

# RandomResizedCrop (Szegedy et al., 2015, arXiv:1409.4842, section 6), with torchvision's defaults.
_AREA = (0.08, 1.0)
_LOG_ASPECT = (math.log(3 / 4), math.log(4 / 3))
_ATTEMPTS = 10
# Resize(256) before CenterCrop(224), and in that proportion at every other size.
_CROP_OF_RESIZED = 224 / 256
_WHOLE = (slice(None), slice(None))
# Pillow's modes of one channel, with alpha and of more bits too.
_GREY_MODES = ('1', 'L', 'I', 'F')


def decode(encoded: bytes, channels: int | None = 3, reduced: int = 1) -> np.ndarray:
    """Decodes an image to the pixels that `PIL.Image.open(file).convert('RGB')` has, as torchvision's loader does.

    So an orientation in EXIF data is left alone, transparency dropped, grey of 16 bits cut off at 255, and of what is
    animated the first frame taken. JPEGs and PNGs of the usual kinds are OpenCV's, which is faster and has the same
    pixels; all others Pillow's.

    Args:
        encoded: the file's bytes.
        channels: 3 for RGB whatever the file has; None for the file's own, 1 or 3.
        reduced: 1, 2, 4 or 8: by how much a JPEG whose header says that it can be is scaled down while it is decoded;
            1 where channels is None.

    Returns:
        (h, w, channels) uint8.

    Raises:
        ValueError: if it does not decode, the file ends before its image does, or it has more pixels than Pillow takes.
    """
    return _decode(encoded, header(encoded), channels, reduced)


def _decode(
    encoded: bytes, found: Header, channels: int | None, reduced: int, part: tuple[slice, slice] = _WHOLE
) -> np.ndarray:
    """As `decode`; of the image only a part, rows and columns of what it is reduced to."""
    if not encoded:
        raise ValueError('the file is empty, there is nothing to decode')
    if found.ends_early:
        raise ValueError('the file ends before its image does, or is damaged in it')
    if found.plain:
        most = 2 * (_pillow().MAX_IMAGE_PIXELS or math.inf)  # from which on Pillow raises
        if found.height * found.width > most:
            raise ValueError(f'it has {found.height * found.width:,} pixels, and images are decoded up to {most:,}')
        image = _part_alone(encoded, part) if found.reducible and channels == 3 and reduced == 1 else None
        if image is not None:
            return image
        image = _by_opencv(encoded, channels, reduced)
        if image is not None:
            return image[part]
    # Also what OpenCV refuses and others take, as a PNG with something between its chunks.
    return _by_pillow(encoded, channels, reduced)[part]


def _part_alone(jpeg: bytes, part: tuple[slice, slice]) -> np.ndarray | None:
    if part is _WHOLE:
        return None
    rows, columns = part
    return decode_part(jpeg, rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start)


def _by_opencv(encoded: bytes, channels: int | None, reduced: int) -> np.ndarray | None:
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
        return None
    if image is None or image.ndim == 2:
        return image if image is None else image[..., None]
    return image if channels == 3 else np.ascontiguousarray(image[..., ::-1])


def _by_pillow(encoded: bytes, channels: int | None, reduced: int) -> np.ndarray:
    try:
        with _pillow().open(io.BytesIO(encoded)) as image:
            grey = channels is None and image.mode.startswith(_GREY_MODES) and image.mode != 'LAB'
            pixels = np.asarray(image.convert('L' if grey else 'RGB').reduce(reduced))
    except Exception as error:  # each of its formats raises what it likes
        if type(error).__name__ == 'UnidentifiedImageError':  # whose text is of the buffer it is in
            raise ValueError('Pillow cannot decode it: it is no image of a kind that it reads') from error
        raise ValueError(f'Pillow cannot decode it: {error}') from error
    return pixels[..., None] if grey else pixels


@functools.cache
def _pillow():
    """Pillow's module of images, without its warnings, which would be of single files among a million."""
    from PIL import Image

    warnings.filterwarnings('ignore', module=r'PIL\.')
    return Image


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

    found = header(image) if isinstance(image, bytes) else None
    if found and not found.reducible:
        image = _decode(image, found, 3, 1)
    height, width = image.shape[:2] if isinstance(image, np.ndarray) else (found.height, found.width)
    top, left, rows, columns = _random_box(height, width, rng)
    mirrored = rng.random() < 0.5
    if isinstance(image, bytes):
        reduced = next((scale for scale in (8, 4, 2) if min(rows, columns) >= scale * size), 1)
        top, left = top // reduced, left // reduced
        rows, columns = max(1, rows // reduced), max(1, columns // reduced)
        part = _decode(image, found, 3, reduced, (slice(top, top + rows), slice(left, left + columns)))
    else:
        part = rgb(image)[top : top + rows, left : left + columns]
    shrinks = max(rows, columns) >= 2 * size
    part = cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return cv2.flip(part, 1) if mirrored else part


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
