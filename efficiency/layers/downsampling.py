"""How large a map is behind a layer that makes it smaller."""

from typing import NamedTuple


class Downsampling(NamedTuple):
    """A layer that makes the map smaller: its window, stride and padding, the same in both directions.

    `ceil`: whether a last window that does not fit whole counts too (torch's ceil_mode).
    """

    kernel: int
    stride: int
    padding: int
    is_pool: bool = False
    ceil: bool = False

    def output_size(self, size: int, stride: int | None = None) -> int:
        """Pixels a side behind it, with its own stride or another."""
        stride = stride or self.stride
        room = size + 2 * self.padding - self.kernel
        if not self.ceil:
            return max(0, room // stride + 1)
        # A window that would begin in the padding behind the map is left out.
        count = max(0, -(-room // stride) + 1)
        return count - 1 if count and (count - 1) * stride >= size + self.padding else count
