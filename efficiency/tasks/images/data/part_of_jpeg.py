"""A part of a JPEG decoded without the rest, where nvImageCodec is installed (the extra `decode`).

What is coded below a part is not read, and what is beside it not transformed to pixels, by libjpeg-turbo, which OpenCV
and Pillow have too: the pixels are theirs. No GPU is asked for anything.
"""

import functools
import importlib.util
import os
import threading

import numpy as np

from efficiency import console

_of_thread = threading.local()  # a decoder that two threads use at once fails
_NO_DEVICE = -99999  # NVIMGCODEC_DEVICE_CPU_ONLY, which Python does not name


def decode_part(jpeg: bytes, top: int, left: int, rows: int, columns: int) -> np.ndarray | None:
    """A part of a baseline or progressive JPEG of 8 bits.

    Args:
        jpeg: the file's bytes.
        top, left, rows, columns: of pixels, within the image.

    Returns:
        (rows, columns, 3) uint8, RGB; None where nvImageCodec is not installed, or does not decode it.
    """
    codec = _codec()
    if codec is None:
        return None
    if not hasattr(_of_thread, 'decoder'):
        backends = [codec.Backend(codec.BackendKind.CPU_ONLY)]
        _of_thread.decoder = codec.Decoder(device_id=_NO_DEVICE, max_num_cpu_threads=1, backends=backends)
        _of_thread.parameters = codec.DecodeParams(apply_exif_orientation=False, color_spec=codec.ColorSpec.SRGB)
    region = codec.Region(top, left, top + rows, left + columns)
    try:
        part = codec.CodeStream(jpeg).get_sub_code_stream(region=region)
        image = _of_thread.decoder.decode(part, params=_of_thread.parameters)
    except RuntimeError:
        return None
    return None if image is None else np.asarray(image.cpu())


@functools.cache
def _codec():
    try:
        if importlib.util.find_spec('nvidia.nvimgcodec') is None:
            return None
    except ModuleNotFoundError:  # nor anything else of NVIDIA's
        return None
    # What it cannot decode, others are asked for, and they say why.
    os.environ.setdefault('PYNVIMGCODEC_VERBOSITY', '0')
    with console.hushed():  # it tells of each library for a GPU that is missing, and none is needed
        from nvidia import nvimgcodec
    return nvimgcodec
