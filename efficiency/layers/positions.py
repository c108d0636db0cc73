"""What tells the positions of a sequence apart where nothing else does."""

import numpy as np


def sinusoids(length: int, width: int) -> np.ndarray:
    """Waves (Vaswani et al., 2017, section 3.5): (length, width), sine and cosine by turns."""
    angles = np.arange(length)[:, None] / 10_000 ** (np.arange(0, width, 2) / width)
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, -1)[:, :width]
